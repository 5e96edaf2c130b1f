// The host as an MCP server for the TypeScript SDK, of version 1 or 2; prints what each call came to.
const { library, url, token, session } = JSON.parse(process.argv[2]);
const isFirst = library === '@modelcontextprotocol/sdk';
const { Client } = await import(isFirst ? `${library}/client/index.js` : library);
const { StreamableHTTPClientTransport } = await import(isFirst ? `${library}/client/streamableHttp.js` : library);
const elicitation = isFirst ? (await import(`${library}/types.js`)).ElicitRequestSchema : 'elicitation/create';

async function connect(capabilities = { elicitation: {} }) {
  const negotiation = isFirst ? {} : { versionNegotiation: { mode: 'auto' } };
  const client = new Client({ name: 'tests', version: '1' }, { capabilities, ...negotiation });
  if (capabilities.elicitation)
    client.setRequestHandler(elicitation, async () => ({ action: 'accept', content: { answer: 'blue' } }));
  const requestInit = { headers: { Authorization: `Bearer ${token}` } };
  await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit }));
  return client;
}

async function ask(client, steps, { session, ...options } = {}) {
  const progress = [];
  const message = typeof steps === 'string' ? steps : JSON.stringify(steps);
  const call = { name: 'ask', arguments: { message, ...(session && { session }) } };
  const all = { ...options, onprogress: ({ message }) => progress.push(message) };
  const result = await (isFirst ? client.callTool(call, undefined, all) : client.callTool(call, all));
  return { ...result.structuredContent, isError: result.isError ?? false, text: result.content[0].text, progress };
}

const tell = (scenario, came) => console.log(JSON.stringify({ scenario, came }));

const client = await connect();
tell('tools', (await client.listTools()).tools.map((tool) => tool.name));
const first = await ask(client, [{ status: 'busy' }, { tokens: 3 }, { text: '.' }]);
tell('text', first);
tell('again', await ask(client, [{ tell: 'history' }], { session: first.session }));
tell('failed', await ask(client, [{ raise: 'TurnError' }]));
tell('asked', await ask(client, [{ text: 'Well. ' }, { ask: 'Which?' }, { text: '.' }]));
tell('long', await ask(client, [{ tokens: 300, pause: 0.004 }]));
const stop = new AbortController();
setTimeout(() => stop.abort('enough'), 1000);
const stopped = ask(client, [{ text: 'now' }, { hold: 1 }], { session, signal: stop.signal });
tell('stopped', await stopped.then(({ status }) => status, () => 'given up'));
await new Promise((done) => setTimeout(done, 500));
await client.close();
const plain = await connect({});
const asked = await ask(plain, [{ text: 'Well. ' }, { ask: 'Which?' }]);
tell('askedInText', asked);
tell('answeredInText', await ask(plain, 'blue', { session: asked.session }));
await plain.close();
