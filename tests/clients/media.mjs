// Images and files through the AI SDK and AG-UI, against a running host.
import { HttpAgent } from '@ag-ui/client';

const { scenario, url, token, session } = JSON.parse(process.argv[2]);
const headers = { Authorization: `Bearer ${token}` };
const png = Buffer.from('\x89PNG\r\n\x1a\n and more', 'latin1');

async function upload() {
  const form = new FormData();
  form.append('file', new Blob(['a stored text'], { type: 'text/plain' }), 'stored.txt');
  const address = `${url}/agents/files?session_id=${session}`;
  const response = await fetch(address, { method: 'POST', headers, body: form });
  if (response.status !== 201) throw new Error(await response.text());
  return (await response.json()).id;
}

async function aiSdk(version) {
  const { DefaultChatTransport } = await import(version);
  const { Chat } = await import(`ai-sdk-react-${version.at(-1)}`);
  const transport = new DefaultChatTransport({ api: `${url}/agents/ai-sdk/chat`, headers });
  const chat = new Chat({ id: session, transport });
  const files = [
    { type: 'file', mediaType: 'image/png', filename: 'a.png', url: `data:image/png;base64,${png.toString('base64')}` },
    { type: 'file', mediaType: 'text/plain', filename: 'stored.txt', url: `/agents/files/${await upload()}` },
  ];
  await chat.sendMessage({ text: 'What is it?', files });
  const told = chat.messages.at(-1).parts.findLast((part) => part.type === 'text')?.text;
  return [told ?? null, chat.status, chat.error?.message ?? null];
}

async function agUi() {
  const agent = new HttpAgent({ url: `${url}/agents/ag-ui`, threadId: session, headers });
  const content = [
    { type: 'text', text: 'What is it?' },
    { type: 'image', source: { type: 'data', value: png.toString('base64'), mimeType: 'image/png' } },
    { type: 'document', source: { type: 'file', value: await upload() } },
  ];
  agent.addMessage({ id: 'u1', role: 'user', content });
  await agent.runAgent();
  return [agent.messages.at(-1).content, 'ready', null];
}

const made = scenario === 'ag-ui' ? await agUi() : await aiSdk(scenario);
console.log(JSON.stringify(made));
process.exit(0);
