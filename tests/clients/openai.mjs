// The openai package for JavaScript, as it is: each call's outcome as a JSON line.
import OpenAI from 'openai';

const { url, dropping, token } = JSON.parse(process.argv[2]);
const connect = (base) =>
  new OpenAI({ baseURL: `${base}/agents/v1`, apiKey: token, defaultHeaders: { Connection: 'close' } });
const client = connect(url);
const model = 'any';
let count = 0;
const hi = () => [{ role: 'user', content: `js ${process.pid} ${(count += 1)}` }];
const doing = (...steps) => ({ metadata: { steps } });
const tool = { tool: { name: 'add', input: { a: 2 }, output: { sum: 5 } } };
const steps = [{ events: ['status', 'thinking'] }, { text: 'Hel' }, tool, { text: 'lo' }, { usage: 3 }];

const collect = async (stream) => {
  const events = [];
  for await (const event of stream) events.push(event);
  return events;
};
const refusal = async (promise) => {
  try {
    await promise;
  } catch (error) {
    return [error.constructor.name, error.code, error.param ?? null];
  }
  return null;
};

const CASES = {
  async models() {
    const listed = [];
    for await (const found of client.models.list()) listed.push(found.id);
    return [listed, (await client.models.retrieve('agent')).id];
  },
  async whole() {
    const made = await client.chat.completions.create({ model, messages: hi(), ...doing(...steps) });
    return [made.choices[0].message.content, made.choices[0].finish_reason, made.usage.total_tokens];
  },
  async streamed() {
    const options = { stream: true, stream_options: { include_usage: true } };
    const body = { model, messages: hi(), ...options, ...doing(...steps) };
    const chunks = await collect(await client.chat.completions.create(body));
    const texts = chunks.map((chunk) => chunk.choices[0]?.delta.content).filter(Boolean);
    return [texts, chunks.at(-1).usage.completion_tokens];
  },
  async helper() {
    const made = client.chat.completions.stream({ model, messages: hi(), ...doing(...steps) });
    return (await made.finalChatCompletion()).choices[0].message.content;
  },
  async failed() {
    const body = { model, messages: hi(), stream: true, ...doing({ text: 'x' }, { raise: 'UpstreamError' }) };
    return refusal(client.chat.completions.create(body).then(collect));
  },
  async refused() {
    const image = { type: 'image_url', image_url: { url: 'data:,' } };
    return refusal(client.chat.completions.create({ model, messages: [{ role: 'user', content: [image] }] }));
  },
  async stopped() {
    const body = { model, messages: hi(), stream: true, ...doing({ text: 'x' }, { hold: 1 }) };
    const { data, response } = await client.chat.completions.create(body).withResponse();
    for await (const chunk of data) if (chunk.choices[0].delta.content) break;
    return response.headers.get('x-session-id');
  },
  async dropped() {
    const body = { model, messages: hi(), stream: true, ...doing({ text: 'once' }) };
    const chunks = await collect(await connect(dropping).chat.completions.create(body));
    return chunks.map((chunk) => chunk.choices[0].delta.content ?? '').join('');
  },
  async socket() {
    const { ResponsesWS } = await import('openai/resources/responses/ws');
    const socket = new ResponsesWS(client);
    const ask = (fields) =>
      new Promise((resolve, reject) => {
        socket.once('error', reject);
        socket.once('response.completed', (event) => resolve(event.response));
        socket.send({ type: 'response.create', model, store: false, ...fields });
      });
    const first = await ask({ input: 'a', ...doing({ text: 'one' }) });
    const second = await ask({ input: 'b', previous_response_id: first.id, ...doing({ tell: 'history' }) });
    socket.close();
    return JSON.parse(second.output.at(-1).content[0].text).map((message) => message.content);
  },
  async response() {
    const tools = [{ type: 'mcp', server_label: 'host' }];
    const stream = client.responses.stream({ model, input: hi(), tools, ...doing(...steps) });
    const numbers = (await collect(stream)).map((event) => event.sequence_number);
    const final = await stream.finalResponse();
    const found = await client.responses.retrieve(final.id);
    const call = final.output[2];
    const rest = await client.responses.retrieve(final.id, { stream: true, starting_after: 9 });
    const again = (await collect(rest)).map((event) => event.sequence_number);
    return {
      text: final.output_text,
      types: final.output.map((item) => item.type),
      call: [call.server_label, call.name, call.arguments, call.status, call.output],
      inOrder: numbers.every((number, index) => number === index),
      foundText: found.output_text,
      resumes: JSON.stringify(numbers.slice(10)) === JSON.stringify(again),
    };
  },
  async conversation() {
    const first = await client.responses.create({ model, input: 'a', ...doing({ text: 'one' }) });
    const next = { model, input: 'b', previous_response_id: first.id, ...doing({ tell: 'history' }) };
    const second = await client.responses.create(next);
    const stale = await refusal(client.responses.create(next));
    await client.responses.delete(second.id);
    return [JSON.parse(second.output_text).at(-1).content, stale, await refusal(client.responses.retrieve(second.id))];
  },
  async background() {
    const body = { model, input: hi(), background: true, ...doing({ text: 'x' }, { hold: 1 }) };
    const made = await client.responses.create(body);
    const cancelled = await client.responses.cancel(made.id);
    const events = client.responses.stream({ response_id: made.id });
    return [made.status, cancelled.status, (await events.finalResponse()).status];
  },
  async question() {
    const asking = { model, input: hi(), ...doing({ ask: 'Which colour?' }) };
    const asked = await client.responses.stream(asking).finalResponse();
    const call = asked.output.at(-1);
    const input = [{ type: 'function_call_output', call_id: call.call_id, output: 'blue' }];
    const answer = await client.responses.create({ model, previous_response_id: asked.id, input });
    return [asked.status, call.name, call.arguments, answer.output_text];
  },
};

for (const [name, run] of Object.entries(CASES)) {
  console.log(JSON.stringify({ name, outcome: await run() }));
}
