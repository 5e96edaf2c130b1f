// Uses of agent-client.js that TypeScript must take, and some that it must not.

import { AgentClient, AgentWebSocket, HostError } from "../../wsgi_app/web/page/agent-client.js";
import type { AgentEvent, Json } from "../../wsgi_app/web/page/agent-client.js";

const client = new AgentClient({ baseUrl: "https://app.example/agents", getToken: async () => "t" });

export async function chat(): Promise<string> {
  let text = "";
  const stream = client.chat(null, "hello", { metadata: { page: 1 }, ifBusy: "enqueue" });
  for await (const event of stream) {
    if (event.type === "token") text += event.content;
    if (event.type === "tool_result") show(event.output);
    if (event.type === "input_request") await client.answer("s-1", event.request_id, true);
    // @ts-expect-error a token has no tool
    if (event.type === "token") show(event.tool);
  }
  const turn: number | null = stream.turnId;
  if (turn !== null) await client.cancel(stream.sessionId, turn);
  return text;
}

export async function sessions(): Promise<void> {
  const { sessions: found, next_cursor: cursor } = await client.sessions({ limit: 10 });
  if (cursor !== undefined) await client.sessions({ cursor });
  const session = await client.session(found[0].session_id);
  show(session?.messages.at(-1)?.content ?? null);
  // @ts-expect-error it may be unknown
  show(session.state);
  // @ts-expect-error a message is text
  client.chat("s-1", 5);
  // @ts-expect-error there is no such policy
  client.chat("s-1", "hello", { ifBusy: "wait" });
}

export function socket(): () => void {
  const socket: AgentWebSocket = client.socket("s-1");
  socket.on("event", (event) => show(event.type));
  socket.on("error", (event) => show(event.id ?? event.message));
  socket.on("close", (fault) => show(fault instanceof HostError ? fault.code : null));
  // @ts-expect-error there is no such event
  socket.on("tokens", show);
  return socket.on("token", (event) => show(event.content));
}

function show(value: Json | AgentEvent): void {
  console.log(value);
}
