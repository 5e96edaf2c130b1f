// Tools of the page's own through the AI SDK and AG-UI, against a running host.
import { HttpAgent } from '@ag-ui/client';
import { setTimeout as pause } from 'node:timers/promises';

const { scenario, url, token, session } = JSON.parse(process.argv[2]);
const headers = { Authorization: `Bearer ${token}`, Connection: 'close' };
const schema = { type: 'object', properties: { wall: { type: 'integer' } } };
const description = 'Paint a wall.';
const painted = ({ wall }) => `wall ${wall} is blue`;

/** `how`: from start to end by itself, `elsewhere` with the answer to another worker, after a `reload`, or a `stop`. */
const { how = '', other = url } = JSON.parse(process.argv[2]);
const at = (base, ...path) => [`${base}/agents`, ...path].join('/');

async function aiSdk(version) {
  const { DefaultChatTransport, lastAssistantMessageIsCompleteWithToolCalls } = await import(version);
  const { Chat } = await import(`ai-sdk-react-${version.at(-1)}`);
  const open = (base, runs) => {
    const chat = new Chat({
      id: session,
      transport: new DefaultChatTransport({
        api: at(base, 'ai-sdk/chat'),
        headers,
        body: { tools: { paint: { description, parameters: schema } } },
      }),
      sendAutomaticallyWhen: lastAssistantMessageIsCompleteWithToolCalls,
      onToolCall: ({ toolCall }) => {
        if (toolCall.dynamic || !runs) return;
        chat.addToolOutput({ tool: toolCall.toolName, toolCallId: toolCall.toolCallId, output: painted(toolCall.input) });
      },
    });
    return chat;
  };
  let chat = open(url, how === '');
  await chat.sendMessage({ text: 'paint' });
  if (how === 'reload') {
    chat = open(other, true);
    await chat.resumeStream();
  } else if (how !== '') {
    if (how === 'stop') await fetch(at(other, 'ai-sdk/chat', session, 'stop'), { method: 'POST', headers });
    const answering = open(other, false);
    answering.messages = chat.messages;
    chat = answering;
    for (const part of chat.messages.at(-1).parts.filter(({ type }) => type === 'tool-paint')) {
      await chat.addToolOutput({ tool: 'paint', toolCallId: part.toolCallId, output: painted(part.input) });
    }
  }
  const text = () => chat.messages.at(-1).parts.findLast((part) => part.type === 'text')?.text;
  for (let tries = 0; tries < (how === 'stop' ? 20 : 200) && !text(); tries += 1) await pause(50);
  if (how !== '') return [text() || null];
  const { parts } = chat.messages.at(-1);
  const tools = parts.filter((part) => part.type.startsWith('tool-'));
  return [tools.map((part) => [part.type, part.state, part.output]), text(), chat.status, chat.messages.length];
}

async function agUi() {
  const open = (base, initialMessages = []) =>
    new HttpAgent({ url: at(base, 'ag-ui'), threadId: session, headers, initialMessages });
  let agent = open(url);
  agent.addMessage({ id: 'u1', role: 'user', content: 'paint' });
  const tools = [{ name: 'paint', description, parameters: schema }];
  await agent.runAgent({ tools });
  if (how === 'stop') {
    const body = '{}';
    const json = { 'Content-Type': 'application/json' };
    await fetch(at(other, 'chat', session, 'cancel'), { method: 'POST', headers: { ...headers, ...json }, body });
  }
  if (how !== '') agent = open(other, agent.messages);
  const calls = agent.messages.at(-1).toolCalls;
  for (const { id, function: { arguments: json } } of calls) {
    agent.addMessage({ id: `r-${id}`, role: 'tool', toolCallId: id, content: painted(JSON.parse(json)) });
  }
  await agent.runAgent({ tools });
  if (how !== '') return [agent.messages.findLast(({ role, content }) => role === 'assistant' && content)?.content ?? null];
  return [calls.map((call) => call.function.name), agent.messages.at(-1).content];
}

const made = scenario === 'ag-ui' ? await agUi() : await aiSdk(scenario);
console.log(JSON.stringify(made));
process.exit(0);
