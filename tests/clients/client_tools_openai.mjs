// Tools of the page's own through the openai package for JavaScript, against two running hosts.
import OpenAI from 'openai';
import { ResponsesWS } from 'openai/resources/responses/ws';

/** `how`: answered by `elsewhere`, after a `reload`, or after a `stop`; all of it at the other host. */
const { scenario, how, url, other, token, input } = JSON.parse(process.argv[2]);
const connect = (base) => new OpenAI({ baseURL: `${base}/agents/v1`, apiKey: token, maxRetries: 0 });
const [here, there] = [connect(url), connect(other)];
const model = 'any';
const schema = { type: 'object', properties: { wall: { type: 'integer' } } };
const paint = { name: 'paint', description: 'Paint a wall.', parameters: schema };
const painted = (json) => `wall ${JSON.parse(json).wall} is blue`;

async function stop() {
  const headers = { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' };
  const { sessions } = await (await fetch(`${other}/agents/sessions`, { headers })).json();
  const path = `${other}/agents/chat/${sessions[0].session_id}/cancel`;
  const { cancelled } = await (await fetch(path, { method: 'POST', headers, body: '{}' })).json();
  if (!cancelled) throw new Error('nothing was stopped');
}

const CLIENTS = {
  /** The messages are the page's; the same request under its key gets the calls that wait. */
  async chat() {
    const tools = [{ type: 'function', function: paint }];
    const messages = [{ role: 'user', content: input }];
    const ask = (client, options) =>
      client.chat.completions.stream({ model, messages, tools }, options).finalChatCompletion();
    const keyed = { headers: { 'Idempotency-Key': input.replaceAll(' ', '-') } };
    let asked = await ask(here, keyed);
    if (how === 'reload') asked = await ask(there, keyed);
    const [{ message, finish_reason: reason }] = asked.choices;
    if (reason !== 'tool_calls') throw new Error(reason);
    if (how === 'stop') await stop();
    messages.push(message);
    for (const { id, function: { arguments: json } } of message.tool_calls)
      messages.push({ role: 'tool', tool_call_id: id, content: painted(json) });
    return (await ask(there)).choices[0].message.content;
  },

  /** The response is the host's, and read again by its id. */
  async responses() {
    const tools = [{ type: 'function', ...paint }];
    let asked = await here.responses.stream({ model, input, tools }).finalResponse();
    if (how === 'reload') asked = await there.responses.retrieve(asked.id);
    if (how === 'stop') await stop();
    const outputs = outputsOf(asked);
    return (await there.responses.create({ model, input: outputs, previous_response_id: asked.id })).output_text;
  },

  /** The same over WebSockets, each response on a connection of its own. */
  async socket() {
    const tools = [{ type: 'function', ...paint }];
    let asked = await overSocket(here, { input, tools });
    if (how === 'reload') asked = await there.responses.retrieve(asked.id);
    if (how === 'stop') await stop();
    const made = await overSocket(there, { input: outputsOf(asked), previous_response_id: asked.id });
    return made.output.flatMap((item) => item.content ?? []).map((part) => part.text).join('');
  },
};

const outputsOf = ({ output }) =>
  output
    .filter(({ type }) => type === 'function_call')
    .map(({ call_id, arguments: json }) => ({ type: 'function_call_output', call_id, output: painted(json) }));

function overSocket(client, fields) {
  return new Promise((resolve, reject) => {
    const socket = new ResponsesWS(client);
    const end = (settle, value) => {
      socket.close();
      settle(value);
    };
    socket.on('error', (error) => end(reject, error));
    socket.on('event', (event) => {
      if (event.type === 'response.completed') end(resolve, event.response);
      else if (event.type === 'response.failed') end(reject, event.response.error);
    });
    socket.send({ type: 'response.create', model, ...fields });
  });
}

let made;
try {
  made = [await CLIENTS[scenario]()];
} catch (error) {
  if (how !== 'stop') throw error;
  made = [error.code ?? error.error.error.code]; // of a request, or what came over the WebSocket
}
console.log(JSON.stringify(made));
process.exit(0);
