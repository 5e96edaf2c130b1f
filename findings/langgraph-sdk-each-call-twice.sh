#!/usr/bin/env bash
# A thread's stream of @langchain/langgraph-sdk gives each tool call twice.
#
# Behaviour: `for await (const call of thread.toolCalls)` of client.threads.stream() brings a call when
# `tool-started` comes, and the same call once more when `tool-finished` or `tool-error` does: two objects
# with one callId and one output. A loop that counts calls, or renders a line for each, has every call
# double. `useStream().toolCalls` of @langchain/react is made of the same events and has each call once.
# A guess would be what the documentation shows: one item for each call, whose `output` is a promise.
#
# Seen with @langchain/langgraph-sdk 1.11.0 on Node 24 and 1.15.0 on Node 20, 2026-11-30.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund @langchain/langgraph-sdk@1.15.0 @langchain/core@1.4.0 >&2

cat >see.mjs <<'JS'
import { createServer } from "node:http";
import { Client } from "@langchain/langgraph-sdk";

const event = (seq, method, data) =>
  `id: ${seq}\nevent: ${method}\ndata: ${JSON.stringify({
    type: "event", event_id: `e${seq}`, seq, method,
    params: { namespace: [], timestamp: 1, data },
  })}\n\n`;
const call = { tool_call_id: "call-1", tool_name: "add" };
const events = [
  event(1, "lifecycle", { event: "running" }),
  event(2, "tools", { event: "tool-started", ...call, input: { a: 1 } }),
  event(3, "tools", { event: "tool-finished", tool_call_id: "call-1", output: 2 }),
  event(4, "lifecycle", { event: "completed" }),
];

// The protocol's two routes: a run's start, and the thread's events, which stay open.
const started = [];
const server = createServer((request, response) => {
  request.resume();
  if (request.url.endsWith("/commands")) {
    response.setHeader("Content-Type", "application/json");
    response.end(JSON.stringify({ type: "success", id: 1, result: { run_id: "run" } }));
    for (const one of started) for (const text of events) one.write(text);
    return;
  }
  response.writeHead(200, { "Content-Type": "text/event-stream" });
  response.flushHeaders();
  started.push(response);
});
await new Promise((ready) => server.listen(0, "127.0.0.1", ready));

const apiUrl = `http://127.0.0.1:${server.address().port}`;
const thread = new Client({ apiUrl }).threads.stream({ assistantId: "agent" });
const seen = [];
const reading = (async () => {
  for await (const one of thread.toolCalls) seen.push(`${one.callId} ${await one.output}`);
})();
await new Promise((ready) => setTimeout(ready, 500));
await thread.run.start({ input: { messages: [] } });
await reading;
console.log(seen.join(", "));
process.exit(seen.length === 2 && seen[0] === seen[1] ? 0 : 1);
JS
timeout 30 node see.mjs
echo "one call, and the loop has it twice"
