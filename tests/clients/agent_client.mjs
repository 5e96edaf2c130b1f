// What agent-client.js does against a running host; the one argument names the scenario.

import { AgentClient, stillCounts } from "../../wsgi_app/web/page/agent-client.js";

const given = JSON.parse(process.argv[2]);
const print = (value) => console.log(JSON.stringify(value));
const states = [];
const onConnection = ({ state, transport }) => states.push(`${state} ${transport}`);

function clientAt(baseUrl, options = {}) {
  return new AgentClient({ baseUrl, token: "dev", ...options });
}

/** Reads a stream to its end and tells what came. */
async function told(stream) {
  const events = [];
  for await (const event of stream) events.push(event);
  return { events, states, turn: stream.turnId, last: stream.lastEventId };
}

const scenarios = {
  async read({ url, session, steps, options }) {
    const client = clientAt(url, options);
    const metadata = { steps };
    print({ ...(await told(client.chat(session, "hello", { metadata, onConnection }))), polls: client.polls });
  },

  async answer({ url, other, session }) {
    const metadata = { steps: [{ ask: "Which colour?" }] };
    const events = [];
    for await (const event of clientAt(url).chat(session, "hello", { metadata })) {
      events.push(event);
      if (event.type === "input_request") {
        print(await clientAt(other).answer(session, event.request_id, "blue"));
      }
    }
    print({ events });
  },

  /** Tools of the page's own; `again` reads the turn again, as a page that was reloaded. */
  async tools({ url, other, session, again }) {
    const paint = async ({ wall }) => `wall ${wall} is blue`;
    paint.description = "Paint a wall.";
    paint.parameters = { type: "object", properties: { wall: { type: "integer" } } };
    const scrape = () => {
      throw new Error("no brush");
    };
    const tools = { paint, scrape };
    if (!again) return print(await told(clientAt(url).chat(session, "paint", { tools })));
    const idle = { paint: () => new Promise(() => undefined), scrape };
    Object.assign(idle.paint, { description: "", parameters: {} });
    const left = new AbortController();
    const options = { tools: idle, onDisconnect: "continue", signal: left.signal };
    try {
      for await (const event of clientAt(url).chat(session, "paint", options)) {
        if (event.type === "tool_request") left.abort();
      }
    } catch (error) {
      if (!left.signal.aborted) throw error;
    }
    print(await told(clientAt(other).events(session, { tools })));
  },

  async cancel({ url, other, session }) {
    const metadata = { steps: [{ tokens: 500, pause: 0.05 }] };
    const stream = clientAt(url).chat(session, "hello", { metadata });
    const events = [];
    for await (const event of stream) {
      events.push(event);
      if (event.id === "1-3") print(await clientAt(other).cancel(session, stream.turnId));
    }
    print({ events });
  },

  /** A second reader, who comes in mid-turn, and a third, who comes too late. */
  async attach({ url, other, session }) {
    const metadata = { steps: [{ tokens: 30, pause: 0.02 }] };
    let second;
    for await (const event of clientAt(url).chat(session, "hello", { metadata })) {
      if (event.id === "1-5") second = told(clientAt(other).events(session));
    }
    print(await second);
    print(await told(clientAt(other).events(session)));
    print(await told(clientAt(other).events(session, { after: "1-28" })));
  },

  /** A session that is deleted and begun again under the readers of its first turn. */
  async reborn({ url, session }) {
    const client = clientAt(url);
    const socket = client.socket(session);
    const seen = [];
    socket.on("event", (event) => seen.push(event));
    const end = () => new Promise((resolve) => socket.on("done", resolve));
    const turn = async (tokens) => {
      const ended = end();
      socket.send("hello", { metadata: { steps: [{ tokens }] } });
      await ended;
      const stream = client.events(session, { after: "1-0" });
      await told(stream);
      return stream;
    };
    const { cursor, lastEventId } = await turn(6);
    await client.remove(session);
    await turn(8);
    socket.close();
    print({ cursor, lastEventId, events: seen });
    print(await told(client.events(session, { after: cursor })));
    client.polls = true;
    print(await told(client.events(session, { after: cursor })));
  },

  async sessions({ url, session }) {
    const client = clientAt(url);
    print(await client.session(session));
    const stream = client.chat(null, "hello", { metadata: { steps: [{ text: "hi" }] } });
    await told(stream);
    const { sessions } = await client.sessions({ limit: 200 });
    print(sessions.some((one) => one.session_id === stream.sessionId));
    print((await client.session(stream.sessionId)).messages);
    print((await client.ticket(stream.sessionId)).expires_in);
    print(await client.remove(stream.sessionId));
    print(await client.session(stream.sessionId));
  },

  /** Turns over one WebSocket, which is cut off in between, and refusals on it. */
  async socket({ url, session, steps }) {
    const socket = clientAt(url).socket(session);
    const events = [];
    const seen = (wanted) =>
      new Promise((resolve) => {
        const off = socket.on("event", (event) => {
          if (!wanted(event)) return;
          off();
          resolve(event);
        });
      });
    const end = () => seen((event) => event.type === "done" || event.type === "cancelled");
    socket.on("event", (event) => events.push(event));
    socket.on("connection", ({ state }) => states.push(state));
    const first = end();
    socket.send("hello", { metadata: { steps } });
    await first;
    print({ events: events.splice(0), states: states.splice(0) });

    const question = seen((event) => event.type === "input_request");
    const second = end();
    socket.send("hello", { metadata: { steps: [{ ask: "Which colour?" }, { wait: 60 }] } });
    const { request_id: requestId } = await question;
    const refusal = seen((event) => event.type === "error");
    socket.send("too early");
    print((await refusal).code);
    const token = seen((event) => event.type === "token");
    socket.answer(requestId, "blue");
    await token;
    socket.cancel();
    await second;
    const closed = new Promise((resolve) => socket.on("close", resolve));
    socket.close();
    print({ events, fault: await closed });
  },

  async refusals({ url, nowhere, session }) {
    const refused = async (promise) => {
      const error = await promise.catch((fault) => fault);
      print({ name: error.name, code: error.code, status: error.status, message: error.message });
    };
    await refused(told(clientAt(url).chat(session, "")));
    await refused(told(clientAt(url, { token: "wrong" }).chat(session, "hello")));
    const asked = [];
    const getToken = ({ refused: token }) => {
      asked.push(token);
      return token === null ? "wrong" : "dev";
    };
    const metadata = { steps: [{ text: "hi" }] };
    const { events } = await told(clientAt(url, { token: null, getToken }).chat(session, "m", { metadata }));
    print({ asked, last: events.at(-1).type });
    await refused(told(clientAt(nowhere, { maxRetries: 1 }).chat(session, "hello")));
    const signal = AbortSignal.timeout(300);
    await refused(told(clientAt(url).chat(session, "m", { metadata: { steps: [{ wait: 60 }] }, signal })));
  },

  /** What a page shows in the end of a turn that another worker goes on with. */
  async resumed({ url, session, message }) {
    let events = [];
    for await (const event of clientAt(url).chat(session, message)) {
      if (event.type === "withdrawn") events = events.filter((one) => stillCounts(one, event));
      events.push(event);
    }
    print({ events });
  },

  /** What a site with a guard answers in the host's place. */
  async guarded({ url, session }) {
    const client = clientAt(url);
    const asked = [
      () => told(client.chat(session, "hello")),
      () => told(client.events(session, { after: "1-1" })),
      () => client.session(session),
      () => client.cancel(session),
    ];
    for (const ask of asked) {
      const error = await ask().catch((fault) => fault);
      print({ name: error.name, code: error.code, status: error.status });
    }
  },
};

await scenarios[given.scenario](given);
