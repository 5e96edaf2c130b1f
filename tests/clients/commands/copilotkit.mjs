// CopilotKit's runtime with the host as its agent, asked as its page asks: by an HttpAgent of the
// runtime's own client. Says each message of each conversation, and stops at the message `stop`.

import { createServer } from "node:http";
import { HttpAgent } from "@ag-ui/client";
import { CopilotRuntime } from "@copilotkit/runtime/v2";
import { createCopilotNodeListener } from "@copilotkit/runtime/v2/node";

const { url, key, say, stop, session } = JSON.parse(process.argv[2]);
const headers = { Authorization: `Bearer ${key}` };
const agents = { default: new HttpAgent({ url: `${url}/agents/ag-ui`, headers }) };
const runtime = new CopilotRuntime({ agents });
const server = createServer(createCopilotNodeListener({ runtime, basePath: "/api" }));
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const page = `http://127.0.0.1:${server.address().port}/api/agent/default`;

async function reply(agent, message) {
  const told = { text: "", pieces: 0 };
  agent.addMessage({ id: crypto.randomUUID(), role: "user", content: message });
  const subscriber = {
    onTextMessageContentEvent({ event }) {
      told.text += event.delta;
      told.pieces += 1;
      if (message === stop && told.pieces === 1) {
        fetch(`${page}/stop/${agent.threadId}`, { method: "POST" });
      }
    },
    onRunErrorEvent({ event }) {
      told.error = event.message;
    },
  };
  await agent.runAgent({}, subscriber).catch((error) => (told.error ??= error.message));
  return told;
}

for (const [number, conversation] of say.entries()) {
  const agent = new HttpAgent({ url: `${page}/run`, threadId: `${session}-${number}` });
  for (const message of conversation) {
    console.log(JSON.stringify(await reply(agent, message)));
  }
}
process.exit(0);
