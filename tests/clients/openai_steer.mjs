// `response.steer` by the openai package for JavaScript: each scenario's outcome as a JSON line.
import OpenAI from 'openai';
import { ResponsesWS } from 'openai/resources/responses/ws';

const { url, slow, calling, left, tools } = JSON.parse(process.argv[2]);
const model = 'any';
const ENDS = ['response.completed', 'response.failed', 'response.incomplete', 'error'];

/** A connection whose events are read one after the other. */
class Connection {
  #events = [];
  #wake = () => {};

  constructor(agent) {
    this.client = new OpenAI({ baseURL: `${url}/${agent}/v1`, apiKey: 'dev' });
    this.socket = new ResponsesWS(this.client);
    this.socket.on('error', (error) => this.#take(error));
    this.socket.on('event', (event) => this.#take(event));
  }

  #take(event) {
    this.#events.push(event);
    this.#wake();
  }

  send(event) {
    this.socket.send(event);
  }

  /** The events up to one of these kinds. */
  async until(...kinds) {
    for (const seen = []; ; ) {
      while (this.#events.length === 0) await new Promise((resolve) => (this.#wake = resolve));
      const event = this.#events.shift();
      if (!event.type) throw event;
      seen.push(event);
      if (kinds.includes(event.type)) return seen;
    }
  }
}

const last = (events) => events.at(-1);
const said = (response) => response.output.flatMap((item) => item.content ?? []).map((part) => part.text).join('');

async function begin(agent, fields) {
  const connection = new Connection(agent);
  connection.send({ type: 'response.create', model, ...fields });
  const [created] = await connection.until('response.output_text.delta');
  return [connection, created.response.id];
}

const CASES = {
  async steered() {
    const [connection, id] = await begin('chat', { input: slow });
    connection.send({ type: 'response.steer', input: left, previous_response_id: id });
    const accepted = last(await connection.until('response.steer.accepted'));
    const ended = last(await connection.until(...ENDS)).response;
    const successor = last(await connection.until(...ENDS)).response;
    const kept = await connection.client.responses.retrieve(successor.id);
    connection.socket.close();
    return [
      accepted.steer.previous_response_id === id,
      [ended.status, ended.incomplete_details.reason, said(ended)],
      [successor.status, successor.previous_response_id === id, said(successor)],
      kept.output_text,
    ];
  },
  async pending() {
    const [connection, id] = await begin('chat', { input: calling, tools });
    connection.send({ type: 'response.steer', input: left, previous_response_id: id });
    await connection.until('response.steer.accepted');
    const ended = last(await connection.until(...ENDS)).response;
    const pending = last(await connection.until('response.steer.pending'));
    const [{ name, ...stub }] = pending.required_input;
    const input = [{ ...stub, output: 'Shop' }];
    connection.send({ type: 'response.create', model, input, previous_response_id: id, tools });
    const response = last(await connection.until(...ENDS)).response;
    connection.socket.close();
    return [ended.status, pending.reason, name, said(response)];
  },
  async refused() {
    const [connection, id] = await begin('deaf', { input: 'hi' });
    connection.send({ type: 'response.steer', input: 'hello', previous_response_id: id });
    const { error, steer } = last(await connection.until('response.steer.failed'));
    connection.socket.close();
    return [error.code, steer.input];
  },
};

for (const [name, run] of Object.entries(CASES)) {
  console.log(JSON.stringify({ name, outcome: await run() }));
}
