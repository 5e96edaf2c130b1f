// Tools of the page's own through the AI SDK and AG-UI, against a running host.
import { HttpAgent } from '@ag-ui/client';
import { setTimeout as pause } from 'node:timers/promises';

const { scenario, url, token, session } = JSON.parse(process.argv[2]);
const headers = { Authorization: `Bearer ${token}`, Connection: 'close' };
const schema = { type: 'object', properties: { wall: { type: 'integer' } } };
const description = 'Paint a wall.';
const painted = ({ wall }) => `wall ${wall} is blue`;

async function aiSdk(version) {
  const { DefaultChatTransport, lastAssistantMessageIsCompleteWithToolCalls } = await import(version);
  const { Chat } = await import(`ai-sdk-react-${version.at(-1)}`);
  const chat = new Chat({
    id: session,
    transport: new DefaultChatTransport({
      api: `${url}/agents/ai-sdk/chat`,
      headers,
      body: { tools: { paint: { description, parameters: schema } } },
    }),
    sendAutomaticallyWhen: lastAssistantMessageIsCompleteWithToolCalls,
    onToolCall: ({ toolCall }) => {
      if (toolCall.dynamic) return;
      chat.addToolOutput({ tool: toolCall.toolName, toolCallId: toolCall.toolCallId, output: painted(toolCall.input) });
    },
  });
  await chat.sendMessage({ text: 'paint' });
  const text = () => chat.messages.at(-1).parts.findLast((part) => part.type === 'text')?.text;
  for (let tries = 0; tries < 200 && text() === undefined; tries += 1) await pause(50);
  const { parts } = chat.messages.at(-1);
  const tools = parts.filter((part) => part.type.startsWith('tool-'));
  return [tools.map((part) => [part.type, part.state, part.output]), text(), chat.status, chat.messages.length];
}

async function agUi() {
  const agent = new HttpAgent({ url: `${url}/agents/ag-ui`, threadId: session, headers });
  agent.addMessage({ id: 'u1', role: 'user', content: 'paint' });
  const tools = [{ name: 'paint', description, parameters: schema }];
  await agent.runAgent({ tools });
  const calls = agent.messages.at(-1).toolCalls;
  for (const { id, function: { arguments: json } } of calls) {
    agent.addMessage({ id: `r-${id}`, role: 'tool', toolCallId: id, content: painted(JSON.parse(json)) });
  }
  await agent.runAgent({ tools });
  return [calls.map((call) => call.function.name), agent.messages.at(-1).content];
}

const made = scenario === 'ag-ui' ? await agUi() : await aiSdk(scenario);
console.log(JSON.stringify(made));
process.exit(0);
