// The AI SDK's WebSocket transport, against a running host of two workers.
import { WebSocketChatTransport } from 'ai-7';
import { Chat } from 'ai-sdk-react-7';
import { setTimeout as pause } from 'node:timers/promises';

const { scenario, url, token, session } = JSON.parse(process.argv[2]);
const headers = { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json', Connection: 'close' };

async function call(method, path, body) {
  const response = await fetch(`${url}/agents${path}`, { method, headers, body: body && JSON.stringify(body) });
  return response.json();
}

async function open(options = {}) {
  const { ticket } = await call('POST', `/chat/${session}/ticket`, {});
  const transport = new WebSocketChatTransport({
    url: `${url}/agents/ai-sdk/chat/${session}/socket`,
    params: { ticket },
  });
  return { chat: new Chat({ id: session, transport, ...options }), transport };
}

const text = (chat) => chat.messages.at(-1)?.parts.filter((part) => part.type === 'text').map((part) => part.text).join('');

async function until(check, what) {
  for (let tries = 0; tries < 400; tries += 1) {
    if (check()) return;
    await pause(25);
  }
  throw new Error(`never: ${what}`);
}

const steps = (...list) => ({ metadata: { steps: list } });

const scenarios = {
  async text() {
    const { chat, transport } = await open();
    await chat.sendMessage({ text: 'one' }, { body: steps({ text: 'first' }) });
    const shown = [text(chat), chat.status];
    await chat.sendMessage({ text: 'two' }, { body: steps({ text: 'second' }) });
    transport.close();
    return [...shown, text(chat), chat.status, chat.messages.length];
  },

  async stop() {
    const { chat } = await open();
    const sent = chat.sendMessage({ text: 'go' }, { body: steps({ text: 'begun' }, { hold: true }) });
    await until(() => text(chat) === 'begun', 'the first words');
    await chat.stop();
    await sent;
    let state;
    for (let tries = 0; tries < 100 && state !== 'idle'; tries += 1) {
      ({ state } = await call('GET', `/session/${session}`));
      await pause(25);
    }
    return [text(chat), chat.status, state];
  },

  async resume() {
    const { chat, transport } = await open();
    chat.sendMessage({ text: 'go' }, { body: steps({ text: 'begun ' }, { wait: 1 }, { text: 'over' }) }).catch(() => null);
    await until(() => text(chat)?.startsWith('begun'), 'the first words');
    transport.close(); // the page is left
    const again = await open({ messages: chat.messages.slice(0, 1) });
    await again.chat.resumeStream();
    const none = await open();
    await none.chat.resumeStream();
    return [text(again.chat), again.chat.status, again.chat.messages.length, none.chat.messages.length];
  },

  async question() {
    const { chat } = await open();
    await chat.sendMessage({ text: 'go' }, { body: steps({ ask: 'Which?' }, { text: ' it is' }) });
    const part = chat.messages.at(-1).parts.findLast((one) => one.toolName === 'ask_user');
    await chat.addToolOutput({ tool: part.toolName, toolCallId: part.toolCallId, output: 'blue' });
    await chat.sendMessage();
    return [part.input.prompt, text(chat), chat.status];
  },

  async busy() {
    const { chat } = await open();
    chat.sendMessage({ text: 'go' }, { body: steps({ text: 'begun' }, { hold: true }) }).catch(() => null);
    await until(() => text(chat) === 'begun', 'the first words');
    const other = await open();
    await other.chat.sendMessage({ text: 'me too' }, { body: steps({ text: 'no' }) });
    const told = [other.chat.status, other.chat.error?.message];
    await call('POST', `/chat/${session}/cancel`, {});
    return told;
  },
};

console.log(JSON.stringify(await scenarios[scenario]()));
process.exit(0);
