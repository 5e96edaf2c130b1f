// The SDK for JavaScript as it is; prints what it got as one JSON document.
import { Client, handleHeadlessToolInterrupt, parseHeadlessToolInterruptPayload } from "@langchain/langgraph-sdk";

const { url, cutting } = JSON.parse(process.argv[2]);
const client = new Client({ apiUrl: url, apiKey: "dev" });
const input = { messages: [{ role: "user", content: "hello" }] };
const tool = { tool: { name: "add", input: { a: 1 }, output: { sum: 2 } } };
const told = {};

{
  const thread = client.threads.stream({ assistantId: "agent" });
  const steps = [{ text: "So. " }, tool, { tokens: 5 }];
  const texts = [];
  const calls = [];
  const read = async () => {
    for await (const message of thread.messages) texts.push(await message.text);
  };
  const follow = async () => {
    // The SDK gives each call twice, when it begins and when it ends.
    const known = new Map();
    for await (const call of thread.toolCalls) known.set(call.callId, call);
    for (const call of known.values()) calls.push([call.name, call.input, await call.output]);
  };
  // Before the run: of one that has ended, the SDK gives late readers nothing.
  const reading = Promise.all([read(), follow()]);
  await thread.run.start({ input, metadata: { steps } });
  const values = await thread.values;
  await reading;
  told.stream = { texts, calls, kinds: values.messages.map((one) => one.getType?.() ?? one.type) };
  await thread.close();
}
{
  const thread = client.threads.stream({ assistantId: "agent" });
  await thread.run.start({ input, metadata: { steps: [{ ask: "The color?" }, { text: "!" }] } });
  await thread.values;
  const [interrupt] = thread.interrupts;
  await thread.input.respond({
    namespace: interrupt.namespace,
    interrupt_id: interrupt.interruptId,
    response: "red",
  });
  await client.runs.join(thread.threadId, (await client.runs.list(thread.threadId))[0].run_id);
  const state = await client.threads.getState(thread.threadId);
  told.interrupt = [interrupt.payload, state.values.messages.at(-1).content];
  await thread.close();
}
{
  const thread = client.threads.stream({ assistantId: "agent" });
  const page = { call_id: "c1", tool: "paint", input: { wall: 2 } };
  await thread.run.start({ input, metadata: { steps: [{ page }, { text: "!" }] } });
  // At the interrupt of a headless tool the SDK keeps its stream, so its values end with the run.
  let early = true;
  const ended = thread.values.then((values) => [early, values.messages.at(-1).content]);
  while (!thread.interrupted) await new Promise((resolve) => setTimeout(resolve, 20));
  const [interrupt] = thread.interrupts;
  const paint = { tool: { name: "paint" }, execute: async ({ wall }) => `wall ${wall} is blue` };
  const made = await handleHeadlessToolInterrupt(parseHeadlessToolInterruptPayload(interrupt.payload), [paint]);
  early = false;
  await thread.input.respond({
    namespace: interrupt.namespace,
    interrupt_id: interrupt.interruptId,
    response: { [made.toolCallId]: made.value },
  });
  await client.runs.join(thread.threadId, (await client.runs.list(thread.threadId))[0].run_id);
  const state = await client.threads.getState(thread.threadId);
  told.headless = [state.values.messages.at(-1).content, ...(await ended)];
  await thread.close();
}
{
  const made = await client.threads.create({ metadata: { by: "js" } });
  const changed = await client.threads.update(made.thread_id, { metadata: { title: "A" } });
  const ids = async () => (await client.threads.search({ metadata: { by: "js" } })).map((one) => one.thread_id);
  const found = await ids();
  const again = await client.threads.create({ threadId: made.thread_id, ifExists: "do_nothing" });
  await client.threads.copy(made.thread_id);
  const copies = (await ids()).filter((id) => id !== made.thread_id);
  for (const id of [made.thread_id, ...copies]) await client.threads.delete(id);
  const gone = await client.threads.get(made.thread_id).catch((error) => error.status);
  const refused = await client.assistants.delete("agent").catch((error) => error.status);
  told.threads = {
    found: found.length === 1 && found[0] === made.thread_id,
    metadata: [made.metadata, changed.metadata, again.metadata],
    copies: copies.length,
    gone,
    refused,
    assistants: (await client.assistants.search()).length,
  };
}
{
  const { thread_id } = await client.threads.create();
  const far = new Client({ apiUrl: cutting, apiKey: "dev" });
  const steps = [{ tokens: 40, pause: 0.02 }];
  const options = { input, metadata: { steps }, streamMode: ["messages-tuple"], onDisconnect: "continue" };
  const words = [];
  let created;
  for await (const part of far.runs.stream(thread_id, "agent", {
    ...options,
    onRunCreated: (run) => (created = run.run_id),
  }))
    if (part.event === "messages") words.push(part.data[0].content);
  told.runs = { text: words.join(""), ended: (await client.runs.get(thread_id, created)).status };
}
{
  const thread = client.threads.stream({ assistantId: "agent" });
  // It is found by its start, and late readers get nothing.
  const begun = [{ status: "busy" }, { wait: 1 }];
  const child = { name: "finder", steps: [...begun, { text: "I look. " }, tool, { text: "Found." }] };
  const [texts, calls] = [[], []];
  const follow = async () => {
    const { value: one } = await thread.subgraphs[Symbol.asyncIterator]().next();
    const read = async () => {
      for await (const message of one.messages) texts.push(await message.text);
    };
    const note = async () => {
      for await (const call of one.toolCalls) calls.push(call.name);
    };
    const [output] = await Promise.all([one.output, read(), note()]);
    return [one.name, one.graphName, texts, [...new Set(calls)], output.messages.length];
  };
  const following = follow();
  await thread.run.start({ input, metadata: { steps: [{ child }, { text: "Done." }] } });
  told.subgraph = await following;
  await thread.close();
}
console.log(JSON.stringify(told));
process.exit(0);
