#!/usr/bin/env bash
# The messages of useStream have what every subgraph says, unless its node is named tools or task.
#
# Behaviour: `messages` of useStream() (@langchain/react) is documented as the projection "at the thread root".
# It has the messages of all namespaces but those with a segment that begins with `tools:` or `task:`. So what
# the graph of a node `researcher` says, in `["researcher:<id>"]`, is among the messages of the root, without
# a word of whose it is. What the graph of a node `tools` says is left out. A server that has sub-agents in
# namespaces has to name them `tools:` for a page that shows `messages` alone to show its own answer alone.
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
// Two nodes of the graph are graphs, each of which says something in its own namespace.
const events = [
  event("lifecycle", [], { event: "running" }),
  ...said(["researcher:1"], "m-1", "I search."),
  ...said(["tools:2"], "m-2", "I call."),
  ...said([], "m-3", "Found."),
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
const { messages } = controller.rootStore.getSnapshot();
const texts = messages.map((one) => one.text).join(" ");
console.log(`messages: ${texts}`);
process.exit(texts === "I search. Found." ? 0 : 1);
JS
timeout 30 node see.mjs
echo "what the node researcher says is among the root's messages, what the node tools says is not"
