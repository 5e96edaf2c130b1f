#!/usr/bin/env bash
# The toolCalls of useStream have what a sub-agent calls, though not what it says or its own sub-agents call.
#
# Behaviour: `toolCalls` of useStream() (@langchain/react) is documented as "root-namespace tool calls". It has
# those of every namespace of one segment, so also of `["tools:<call>"]`, where an agent works that a tool runs.
# What that agent says in the same namespace is left out of `messages`, and calls two segments deep are left
# out of both: a page that renders `toolCalls` below `messages` shows calls that nobody seems to have made.
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
const tool = (namespace, id, name) => [
  event("tools", namespace, { event: "tool-started", tool_call_id: id, tool_name: name, input: {} }),
  event("tools", namespace, { event: "tool-finished", tool_call_id: id, output: "done" }),
];
const said = (namespace, id, text) => [
  event("messages", namespace, { event: "message-start", role: "ai", id }),
  event("messages", namespace, { event: "content-block-start", index: 0, content: { type: "text", text: "" } }),
  event("messages", namespace, { event: "content-block-delta", index: 0, delta: { type: "text-delta", text } }),
  event("messages", namespace, { event: "content-block-finish", index: 0, content: { type: "text", text } }),
  event("messages", namespace, { event: "message-finish" }),
];
// A tool of the agent's is a sub-agent, which says something and calls a tool of its own; the
// second one's namespace is two deep.
const inner = ["tools:call-1"];
const events = [
  event("lifecycle", [], { event: "running" }),
  event("tools", [], { event: "tool-started", tool_call_id: "call-1", tool_name: "research", input: {} }),
  ...said(inner, "m-1", "I search."),
  ...tool(inner, "call-2", "search"),
  ...tool([...inner, "tools:call-2"], "call-3", "fetch"),
  event("tools", [], { event: "tool-finished", tool_call_id: "call-1", output: "found" }),
  ...said([], "m-2", "Found."),
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
const { messages, toolCalls } = controller.rootStore.getSnapshot();
const calls = toolCalls.map((one) => `${one.name} in [${one.namespace}]`).join(", ");
console.log(`messages: ${messages.map((one) => one.text)}; toolCalls: ${calls}`);
const isSeen = calls === "research in [], search in [tools:call-1]" && messages.length === 1;
process.exit(isSeen ? 0 : 1);
JS
timeout 30 node see.mjs
echo "the sub-agent's call is among the root's, and its message is not"
