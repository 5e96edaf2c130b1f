#!/usr/bin/env bash
# The subagents of useStream are calls of a tool named task, whatever else runs an agent.
#
# Behaviour: `subagents` of useStream() (@langchain/react) lists each call of a tool of the name `task`, which deep
# agents have. Another tool whose call has a namespace of its own, with a lifecycle and messages in it, is none,
# so a page shows nothing of that agent until it asks for `["tools:<call id>"]` itself. `thread.subgraphs` of
# the SDK finds both, by their namespaces. A guess would be that the namespace decides here too.
# This is StreamController of @langchain/langgraph-sdk/stream, which the hook wraps, without React.
#
# Seen with @langchain/langgraph-sdk 1.11.0 and 1.15.0 on Node 20, 2026-11-30.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund @langchain/langgraph-sdk@1.15.0 @langchain/core@1.4.0 >&2

cat >see.mjs <<'JS'
import { createServer } from "node:http";
import { Client } from "@langchain/langgraph-sdk";
import { StreamController } from "@langchain/langgraph-sdk/stream";

let seq = 0;
const event = (method, namespace, data) =>
  `id: ${++seq}\nevent: ${method}\ndata: ${JSON.stringify({
    type: "event", event_id: `e${seq}`, seq, method, params: { namespace, timestamp: seq, data },
  })}\n\n`;
const said = (namespace, id, text) => [
  event("messages", namespace, { event: "message-start", role: "ai", id }),
  event("messages", namespace, { event: "content-block-start", index: 0, content: { type: "text", text: "" } }),
  event("messages", namespace, { event: "content-block-delta", index: 0, delta: { type: "text-delta", text } }),
  event("messages", namespace, { event: "content-block-finish", index: 0, content: { type: "text", text } }),
  event("messages", namespace, { event: "message-finish" }),
];
// Two tools of the agent's each run a sub-agent, which says something in its call's namespace.
const subAgent = (id, name) => [
  event("tools", [], { event: "tool-started", tool_call_id: id, tool_name: name, input: {} }),
  event("lifecycle", [`tools:${id}`], { event: "started", graph_name: name }),
  ...said([`tools:${id}`], `message-of-${id}`, "I search."),
  event("lifecycle", [`tools:${id}`], { event: "completed", graph_name: name }),
  event("tools", [], { event: "tool-finished", tool_call_id: id, output: "found" }),
];
const events = [
  event("lifecycle", [], { event: "running" }),
  ...subAgent("call-1", "research"),
  ...subAgent("call-2", "task"),
  event("lifecycle", [], { event: "completed" }),
];

let began;
const begun = new Promise((resolve) => (began = resolve));
const server = createServer((request, response) => {
  request.resume();
  const json = (status, body) => {
    response.writeHead(status, { "Content-Type": "application/json" });
    response.end(JSON.stringify(body));
  };
  if (request.url.endsWith("/commands")) {
    json(200, { type: "success", id: 1, result: { run_id: "run" } });
    began();
  } else if (request.url.endsWith("/stream/events")) {
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    response.flushHeaders();
    begun.then(() => response.write(events.join("")));
  } else json(404, { message: request.url });
});
await new Promise((ready) => server.listen(0, "127.0.0.1", ready));

const apiUrl = `http://127.0.0.1:${server.address().port}`;
const client = new Client({ apiUrl, callerOptions: { maxRetries: 0 } });
const controller = new StreamController({ client, assistantId: "agent", threadId: null });
await controller.submit({ messages: [] });
await new Promise((done) => setTimeout(done, 1000));
const { toolCalls } = controller.rootStore.getSnapshot();
const found = [...controller.subagentStore.getSnapshot().keys()].join(", ");
console.log(`calls: ${toolCalls.map((one) => one.callId).join(", ")}; sub-agents: ${found}`);
process.exit(toolCalls.length === 2 && found === "call-2" ? 0 : 1);
JS
timeout 30 node see.mjs
echo "two agents worked, and the one whose tool is named task is listed"
