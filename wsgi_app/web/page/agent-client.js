// The host's client for browsers and for Node 20 or newer: one module, no dependencies.
//
//   import { AgentClient } from "/agents/agent-client.js";
//   const client = new AgentClient({ token: "dev" });
//   for await (const event of client.chat("s-1", "hello")) {
//     if (event.type === "token" && !event.parent) show(event.content); // no sub-agent's
//   }
//
// A turn is read over as many connections as it takes: after a drop it goes on behind the last
// event that was seen, and a message whose answer was lost is repeated under its Idempotency-Key.
// When its worker dies, another one goes on: of what was read before the event `withdrawn`, only
// what `stillCounts` counts, and the rest comes again.

const CALL_TIMEOUT_MS = 20_000;
const UPLOAD_TIMEOUT_MS = 300_000;
const POST_TIMEOUT_MS = 60_000; // how long a repeatable POST may be without its headers
const KEEP_ALIVES_MISSED = 2.5;
const FIRST_RETRY_MS = 1_000;
const LONGEST_RETRY_MS = 10_000;
const LONGEST_RETRY_AFTER_MS = 30_000; // nobody waits longer for a request that is refused
const MAX_REFUSALS = 5; // of a message, in a row
const POLL_WAIT_SECONDS = 20; // below the patience of the proxies that need polling
const POLL_PAUSE_MS = 1_000; // between polls that do not wait, since the host has no slot left
const SESSION_LOOK_MS = 1_000;
const SETTLE_MS = 100; // after which a request for tools is the newest event
const MAX_TOKENS = 10; // tried for one request
const MARKS = "marks=1"; // asks for the marks of runs
const HELD_BACK = "This network holds streams back.";
const PASSING_STATUS = new Set([408, 425, 429, 502, 503, 504]);
const TERMINAL = new Set(["done", "error", "cancelled"]);
// The host bounds a turn's output to 4 MiB, which JSON escapes at most sixfold.
const MAX_BLOCK_CHARS = 24 * 1024 * 1024;

/** The connection is gone, or what came over it broke the rules. */
export class ConnectionFault extends Error {
  name = "ConnectionFault";
}

/** The host refused a request; `message` is in words for people. */
export class HostError extends Error {
  name = "HostError";

  constructor(status, code, message, details = {}, retryAfterMs = 0) {
    super(message);
    this.status = status;
    this.code = code;
    this.details = details;
    this.retryAfterMs = retryAfterMs;
  }

  static async from(response) {
    const body = await response.json().catch(() => null); // a proxy's page, not the host's JSON
    const message = body?.message ?? `The server answered with status ${response.status}.`;
    const wait = retryAfterMs(response.headers.get("Retry-After"));
    return new HostError(response.status, body?.code ?? "unknown", message, body?.details, wait);
  }

  /** What is none of the host's answers: a redirect, or a page, as of a site's login. */
  static foreign(response) {
    const words = "The site answered with a page of its own, not the agent. Log in again, or check the address.";
    return new HostError(response.status, "foreign_answer", words);
  }

  /** Whether the same request may succeed a little later. */
  get passing() {
    return PASSING_STATUS.has(this.status) && this.retryAfterMs <= LONGEST_RETRY_AFTER_MS;
  }
}

/** One host. All requests bear its token; a 401 asks `getToken` for another one. */
export class AgentClient {
  #base;
  #token;
  #getToken;
  #renewing = null;
  #fetch;
  #credentials;

  /** Whether a proxy was found to hold streams back, so that turns are polled. */
  polls = false;

  constructor({
    baseUrl,
    token = null,
    getToken = null,
    fetch = globalThis.fetch,
    credentials = "same-origin",
    firstByteSeconds = 5,
    keepAliveSeconds = 15,
    maxRetries = 30,
  } = {}) {
    this.#base = baseOf(baseUrl);
    this.#token = token;
    this.#getToken = getToken;
    this.#fetch = fetch;
    this.#credentials = credentials;
    this.firstByteMs = firstByteSeconds * 1000;
    this.silenceMs = keepAliveSeconds * KEEP_ALIVES_MISSED * 1000;
    this.maxRetries = maxRetries;
  }

  /**
   * Starts a turn and yields its events; a session id of null begins a new session. `tools` are
   * functions by their names, `async (args) => result`, that the agent's model may call; they may
   * have a `description` and `parameters`, the JSON schema of their arguments.
   */
  chat(sessionId, message, { metadata, onDisconnect, ifBusy, files, idempotencyKey, ...options } = {}) {
    const tools = offerOf(options.tools);
    const json = { message, metadata, on_disconnect: onDisconnect, if_busy: ifBusy, files, tools };
    const headers = { "Idempotency-Key": idempotencyKey ?? randomName() };
    return new EventStream(this, sessionId ?? randomName(), { ...options, post: { headers, json } });
  }

  /**
   * Yields what comes after the event `after`, until the newest turn has ended. `"3-0"` is the
   * start of turn 3, `"0-0"` of all that is kept; without it: the running turn. Starts no turn.
   */
  events(sessionId, options = {}) {
    return new EventStream(this, sessionId, options);
  }

  /** Ends the turn, or, without a turn id, all that runs and waits in the session. */
  cancel(sessionId, turnId) {
    const json = turnId == null ? {} : { turn_id: String(turnId) };
    return this.#call("POST", `chat/${encodeURIComponent(sessionId)}/cancel`, json);
  }

  /**
   * Says something to the turn that runs, and resolves once it has it. A HostError `not_steerable`:
   * none runs, or it takes no more, and has not got it.
   */
  steer(sessionId, message) {
    return this.#call("POST", `chat/${encodeURIComponent(sessionId)}/steer`, { message });
  }

  /**
   * Sends a file, a Blob, for messages of this session; resolves to `{id, name, media_type, size}`.
   * `files: [id]` of `chat` sends it along.
   */
  async upload(sessionId, file, { name = file.name ?? "", signal } = {}) {
    const query = new URLSearchParams({ session_id: sessionId, name });
    const headers = file.type ? { "Content-Type": file.type } : {};
    const limit = signal ?? AbortSignal.timeout(UPLOAD_TIMEOUT_MS);
    const response = await this.request(`files?${query}`, { method: "POST", headers, body: file, signal: limit });
    if (!response.ok) throw await HostError.from(response);
    return readJson(response);
  }

  /** A file of a `file` event, or one that was sent, as a Blob. */
  async file(fileId) {
    const signal = AbortSignal.timeout(UPLOAD_TIMEOUT_MS);
    const response = await this.request(`files/${encodeURIComponent(fileId)}`, { signal });
    if (!response.ok) throw await HostError.from(response);
    return response.blob();
  }

  /** Forgets a file that was sent. */
  removeFile(fileId) {
    return this.#call("DELETE", `files/${encodeURIComponent(fileId)}`);
  }

  /** Answers the agent's question. */
  answer(sessionId, requestId, value) {
    const json = { request_id: requestId, value };
    return this.#call("POST", `chat/${encodeURIComponent(sessionId)}/input`, json);
  }

  /** Gives the agent what the calls of a `tool_request` came to: `{call_id, output, is_error?}` each. */
  toolResult(sessionId, requestId, results) {
    const json = { request_id: requestId, results };
    return this.#call("POST", `chat/${encodeURIComponent(sessionId)}/tool_result`, json);
  }

  /** The session with its messages, or null if the host does not know it. */
  async session(sessionId) {
    try {
      return await this.#call("GET", `session/${encodeURIComponent(sessionId)}`);
    } catch (error) {
      if (error.code === "not_found") return null;
      throw error;
    }
  }

  /** The user's sessions, newest first, a page at a time. */
  sessions({ limit, cursor } = {}) {
    const query = new URLSearchParams();
    if (limit !== undefined) query.set("limit", limit);
    if (cursor !== undefined) query.set("cursor", cursor);
    return this.#call("GET", `sessions?${query}`);
  }

  /** Ends what runs in the session, and forgets it. */
  remove(sessionId) {
    return this.#call("DELETE", `session/${encodeURIComponent(sessionId)}`);
  }

  /** A ticket that opens this session's streams to who cannot send headers. */
  ticket(sessionId) {
    return this.#call("POST", `chat/${encodeURIComponent(sessionId)}/ticket`, {});
  }

  /** A WebSocket to the session; `options.WebSocket` replaces the platform's. */
  socket(sessionId, options = {}) {
    return new AgentWebSocket({ ...options, client: this, sessionId });
  }

  /** The address of a path below the mount's prefix. */
  url(path) {
    return new URL(path, this.#base);
  }

  /**
   * Sends one request below the prefix; returns the response, whatever its status but 401.
   * Throws ConnectionFault without a response, HostError without a token that is taken, and where
   * a redirect or a page is answered in the host's place.
   */
  async request(path, { method = "GET", headers = {}, json, body, signal } = {}) {
    this.#token ??= (await this.#getToken?.({ refused: null, message: null })) ?? null;
    for (let tried = 1; ; tried += 1) {
      const token = this.#token;
      const response = await this.#reach(path, {
        method,
        headers: {
          ...headers,
          ...(token === null ? {} : { Authorization: `Bearer ${token}` }),
          ...(json === undefined ? {} : { "Content-Type": "application/json" }),
        },
        body: json === undefined ? body : JSON.stringify(json),
        cache: "no-store",
        credentials: this.#credentials,
        // To a login page, mostly: it would be fetched instead, and the message with it.
        redirect: "manual",
        signal: signal ?? AbortSignal.timeout(CALL_TIMEOUT_MS),
      });
      if (isForeign(response)) throw HostError.foreign(response);
      if (response.status !== 401) return response;
      const error = await HostError.from(response);
      if (tried >= MAX_TOKENS) throw error;
      if (this.#token === token) await this.#renew(token, error);
    }
  }

  async #reach(path, options) {
    try {
      const fetch = this.#fetch; // called without `this`, as browsers ask
      return await fetch(this.url(path), options);
    } catch (error) {
      throw new ConnectionFault("The server cannot be reached.", { cause: error });
    }
  }

  /** Asks for another token, once for all requests that wait for it. */
  async #renew(refused, error) {
    if (this.#getToken === null) throw error;
    const ask = async () => (await this.#getToken({ refused, message: error.message })) ?? null;
    this.#renewing ??= ask().finally(() => {
      this.#renewing = null;
    });
    const token = await this.#renewing;
    if (token === null || token === refused) throw error;
    this.#token = token;
  }

  async #call(method, path, json) {
    const response = await this.request(path, { method, json });
    if (!response.ok) throw await HostError.from(response);
    return readJson(response);
  }
}

/**
 * The events of a turn, or of a session from an event on, each once and in order; to be iterated
 * once. Leaving the loop closes the connection, nothing more: `client.cancel` ends a turn.
 */
export class EventStream {
  #client;
  #post;
  #signal;
  #onConnection;
  #iterator = null;
  #cursor = null;
  #midTurn = null; // whether a turn's end is missing; null before anything was seen
  #retryMs = FIRST_RETRY_MS;
  #polls = false;
  #notice = null; // what the host said about the connection
  #told = "";
  #tools;
  #asked = new Set(); // the requests whose calls have run here
  #request = null; // the calls that wait for this page's tools, unless something has followed

  /** The turn of the newest event, or of the message; null until the host has told it. */
  turnId = null;

  /** Whether its agent takes what `steer` says, as far as that is known. */
  steerable = false;

  constructor(client, sessionId, { post = null, after = null, signal = null, onConnection, tools } = {}) {
    this.#client = client;
    this.#tools = tools ?? {};
    this.sessionId = sessionId;
    this.#post = post;
    this.#cursor = parseCursor(after);
    this.#signal = signal;
    this.#onConnection = onConnection ?? (() => undefined);
    if (after !== null && this.#cursor === null) throw new TypeError(`not an event id: ${after}`);
  }

  /** The id of the last event seen: `client.events(id, { after })` goes on behind it. */
  get lastEventId() {
    return this.#cursor && textOf({ ...this.#cursor, run: null });
  }

  /**
   * The same with the mark of the run that made it, for `after` too: numbers begin again when a
   * session is deleted and its name used once more, and the host knows by the mark whose they are.
   */
  get cursor() {
    return this.#cursor && textOf(this.#cursor);
  }

  [Symbol.asyncIterator]() {
    this.#iterator ??= this.#run();
    return this.#iterator;
  }

  async *#run() {
    for (let failures = 0; ; failures += 1) {
      const before = this.#cursor;
      let fault = new ConnectionFault("The connection is lost.");
      try {
        if (yield* this.#connect()) return;
      } catch (error) {
        this.#signal?.throwIfAborted();
        if (!isPassing(error)) throw error;
        fault = error;
      }
      this.#signal?.throwIfAborted();
      if (this.#cursor !== before) failures = 0;
      const refused = this.turnId === null && fault instanceof HostError;
      if (failures >= (refused ? MAX_REFUSALS : this.#client.maxRetries)) throw fault;
      // Behind one that holds streams back the next connection is of another kind.
      if (!(fault instanceof Buffered)) await this.#wait(fault, failures);
    }
  }

  async #wait(fault, failures) {
    const waitMs = Math.max(fault.retryAfterMs ?? 0, backoffMs(this.#retryMs, failures));
    this.#tell("waiting", this.#notice ?? fault.message, waitMs);
    this.#notice = null;
    await pause(waitMs, this.#signal);
  }

  #tell(state, message = null, retryInMs = 0) {
    const transport = this.#holdsBack() ? "poll" : "stream";
    if (state === "open" && this.#told === transport) return;
    this.#told = state === "open" ? transport : "";
    this.#onConnection({ state, transport, message, retryInMs });
  }

  #holdsBack() {
    return this.#polls || this.#client.polls;
  }

  /** Yields the events of one connection; true if there is nothing more to come after them. */
  async *#connect() {
    const connection = new Connection(this.#signal);
    try {
      const posts = this.#post !== null && this.turnId === null;
      if (this.#holdsBack() && !posts) return yield* this.#poll(connection);
      const response = posts ? await this.#send(connection) : await this.#attach(connection);
      if (!response.ok) throw await HostError.from(response);
      if (response.status === 204) return this.#nothingLeft();
      this.#learnTurn(response);
      if (this.#client.polls && this.turnId !== null) throw new Buffered(HELD_BACK);
      return yield* this.#readStream(response, connection);
    } catch (error) {
      throw connection.reason ?? error;
    } finally {
      connection.close();
    }
  }

  async #send(connection) {
    const request = this.#client.request(`${this.#path()}?${MARKS}`, {
      method: "POST",
      headers: { Accept: "text/event-stream", ...this.#post.headers },
      json: this.#post.json,
      signal: connection.signal,
    });
    request.catch(() => undefined); // told by whoever awaits it
    connection.expect(POST_TIMEOUT_MS, () => new ConnectionFault("The server does not answer."));
    let response = await within(request, this.#client.polls ? 0 : this.#client.firstByteMs);
    while (response === undefined) {
      // A proxy may hold the answer back until it is complete: the turn can be polled meanwhile.
      if (await this.#findTurn()) throw new Buffered(HELD_BACK);
      response = await within(request, SESSION_LOOK_MS);
    }
    return response;
  }

  async #findTurn() {
    const session = await this.#client.session(this.sessionId).catch(() => null);
    const asked = session?.messages.findLast((message) => message.role === "user")?.content;
    if (session?.state !== "running" || asked !== this.#post.json.message) return false;
    this.#startAt(Number(session.turn_id));
    this.#client.polls = true;
    return true;
  }

  #attach(connection) {
    const headers = { Accept: "text/event-stream" };
    if (this.#cursor !== null) headers["Last-Event-ID"] = this.cursor;
    this.#expectFirstByte(connection);
    return this.#client.request(`${this.#path()}/events?${MARKS}`, { headers, signal: connection.signal });
  }

  #expectFirstByte(connection) {
    if (this.#post !== null && this.turnId === null) return; // there is nothing to poll for
    connection.expect(this.#client.firstByteMs, () => {
      this.#client.polls = true;
      return new Buffered(HELD_BACK);
    });
  }

  #learnTurn(response) {
    const turn = response.headers.get("X-Turn-Id");
    this.steerable = response.headers.get("X-Steerable") === "1";
    if (this.#post !== null && this.turnId === null && turn !== null) this.#startAt(Number(turn));
  }

  #startAt(turn) {
    this.turnId = turn;
    this.#cursor ??= { turn, seq: 0, run: null };
    this.#midTurn = true;
  }

  async *#readStream(response, connection) {
    const parser = new SseParser();
    this.#expectFirstByte(connection);
    for await (const text of readText(response.body, () => connection.rest())) {
      for (const block of parser.push(text)) {
        this.#retryMs = parser.retryMs ?? this.#retryMs;
        const event = this.#take(parseId(block.id), block.run ?? null, parseEvent(block.data));
        if (event !== null) {
          this.#tell("open"); // a whole answer may come at once
          yield event;
        }
        if (this.#isOver()) return true;
      }
      if (this.#notice === null) this.#tell("open");
      connection.expect(this.#client.silenceMs, () => {
        this.#polls = true;
        return new Buffered("The connection is silent.");
      });
    }
    return this.#midTurn === false;
  }

  async *#poll(connection) {
    for (;;) {
      const query = new URLSearchParams({ wait: POLL_WAIT_SECONDS });
      if (this.#cursor !== null) query.set("after", this.cursor);
      const asked = performance.now();
      const answer = await this.#pollOnce(query, connection);
      if (answer === null) return this.#nothingLeft();
      this.#tell("open");
      const before = this.#cursor;
      for (const { id, run = null, ...event } of answer.events) {
        const taken = this.#take(parseId(id), run, event);
        if (taken !== null) yield taken;
        if (this.#isOver()) return true;
      }
      if (!answer.running) return this.#nothingLeft();
      const isQuick = performance.now() - asked < POLL_PAUSE_MS;
      if (this.#cursor === before && isQuick) await pause(POLL_PAUSE_MS, this.#signal);
      this.#cursor ??= parseCursor(answer.next);
    }
  }

  async #pollOnce(query, connection) {
    const limitMs = POLL_WAIT_SECONDS * 1000 + CALL_TIMEOUT_MS;
    connection.expect(limitMs, () => new ConnectionFault("The server does not answer."));
    const signal = connection.signal;
    const response = await this.#client.request(`${this.#path()}/poll?${MARKS}&${query}`, { signal });
    if (response.status === 404) return null;
    if (!response.ok) throw await HostError.from(response);
    const answer = await readJson(response);
    connection.rest();
    return answer;
  }

  /** What the host says about an event: the event if it is news, else null. */
  #take(id, run, event) {
    const isGap = event.type === "gap";
    const isOther = isOfAnother(id, run, this.#cursor);
    if (id === null || (!isGap && !isOther && !isAfter(id, this.#cursor))) {
      // A status without a new id is about the connection: no free slot, a restart.
      if (event.type === "status") this.#notice = event.content;
      return null;
    }
    const isStrange = this.turnId !== null && (isOther || id.turn !== this.turnId);
    if (this.#post !== null && isStrange) throw lost();
    this.#cursor = { ...id, run: run ?? runOf(id, this.#cursor) };
    this.turnId = isGap ? this.turnId : id.turn;
    this.#midTurn = !TERMINAL.has(event.type);
    this.#notice = null;
    this.#noteRequest(event);
    return { ...event, id: `${id.turn}-${id.seq}` };
  }

  /** Runs what is asked of this page's tools, unless it is history: something follows it then. */
  #noteRequest(event) {
    this.#request = event.type === "tool_request" ? event : null;
    const isMine = this.#request?.calls.every((call) => Object.hasOwn(this.#tools, call.tool));
    if (!isMine || this.#asked.has(event.request_id)) return; // another worker has asked it again
    pause(SETTLE_MS, this.#signal)
      .then(() => this.#request === event && this.#runTools(event))
      .catch(() => undefined); // the reader has gone, or another page was faster
  }

  async #runTools({ request_id: requestId, calls }) {
    this.#asked.add(requestId);
    const results = await Promise.all(calls.map((call) => resultOf(this.#tools[call.tool], call)));
    await this.#client.toolResult(this.sessionId, requestId, results);
  }

  #isOver() {
    return this.#post !== null && this.#midTurn === false;
  }

  #nothingLeft() {
    if (this.#midTurn) throw lost();
    return true;
  }

  #path() {
    return `chat/${encodeURIComponent(this.sessionId)}`;
  }
}

/** A page's tools as the host wants to know them. */
function offerOf(tools) {
  if (tools === undefined) return undefined;
  return Object.entries(tools).map(([name, { description, parameters }]) => ({ name, description, parameters }));
}

/** What a call of a page's tool came to. */
async function resultOf(run, { call_id, input }) {
  try {
    return { call_id, output: (await run(input)) ?? null };
  } catch (error) {
    return { call_id, output: String(error), is_error: true };
  }
}

/** Whether an event that was read before still counts after this one of the type `withdrawn`. */
export function stillCounts(event, { after, calls = [] }) {
  return !isAfter(parseId(event.id), parseId(after)) && !calls.includes(event.parent);
}

/** A turn could not be read to its end, since the host no longer has it. */
function lost() {
  return new HostError(204, "lost", "The server no longer has the rest of this answer.");
}

/** Streams do not get through; polls may. */
class Buffered extends ConnectionFault {}

/** One connection's signal: aborted by its user, in silence, and when the network has changed. */
class Connection {
  #controller = new AbortController();
  #user;
  #timer = null;
  #abort = () => this.#controller.abort();

  /** Why it was ended, where that was not its user's doing. */
  reason = null;

  constructor(user) {
    this.#user = user;
    if (user?.aborted) this.#abort();
    user?.addEventListener("abort", this.#abort);
    // A connection of before may be dead without a word.
    globalThis.addEventListener?.("online", this.#abort);
  }

  get signal() {
    return this.#controller.signal;
  }

  /** Ends the connection unless something comes within the time; `reason()` then says why. */
  expect(ms, reason) {
    this.rest();
    this.#timer = setTimeout(() => {
      this.reason = reason();
      this.#abort();
    }, ms);
  }

  rest() {
    clearTimeout(this.#timer);
  }

  close() {
    this.rest();
    this.#user?.removeEventListener("abort", this.#abort);
    globalThis.removeEventListener?.("online", this.#abort);
    this.#abort();
  }
}

/** Turns server-sent text, cut anywhere, into events, by the rules of the HTML standard. */
export class SseParser {
  #rest = []; // of a line that has not ended
  #data = [];
  #chars = 0;
  #id = null;
  #run = null;

  /** The reconnection time that the server asked for, or null. */
  retryMs = null;

  /**
   * Takes the next piece of text and returns the events that it completes, each
   * `{id, data}`, and `run` for the first event of a run, whose mark stands in a comment before it;
   * `id` is null for a block without an id line of its own.
   */
  push(text) {
    if (text === "") return [];
    this.#chars += text.length;
    if (this.#chars > MAX_BLOCK_CHARS) {
      throw new ConnectionFault("The stream holds a block without an end.");
    }
    const endsInDoubt = this.#rest.at(-1)?.endsWith("\r");
    this.#rest.push(text);
    if (!endsInDoubt && !/[\r\n]/.test(text)) return [];
    // A CR at the very end may be half of a CRLF.
    const lines = this.#rest.join("").split(/\r\n|\n|\r(?!$)/);
    this.#rest = [lines.pop()];
    return lines.map((line) => this.#line(line)).filter((event) => event !== null);
  }

  #line(line) {
    if (line === "") return this.#endBlock();
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "data") this.#data.push(value);
    else if (name === "id" && !value.includes("\0")) this.#id = value;
    else if (name === "retry" && /^[0-9]+$/.test(value)) this.retryMs = Number(value);
    else if (name === "") this.#comment(value);
    return null;
  }

  #comment(text) {
    this.#chars = this.#data.reduce((sum, piece) => sum + piece.length, 0);
    this.#run = /^run ([0-9a-f]{12})$/.exec(text)?.[1] ?? this.#run;
  }

  #endBlock() {
    const run = this.#run === null ? {} : { run: this.#run };
    const data = this.#data.join("\n");
    const event = this.#data.length > 0 ? { id: this.#id, ...run, data } : null;
    this.#data = [];
    this.#chars = 0;
    this.#id = null;
    this.#run = null;
    return event;
  }
}

/**
 * A session over one WebSocket, which comes back by itself after a drop and goes on behind the
 * last event seen. `on("token", handler)` gets native events; `on("event", …)` all of them;
 * `on("connection", …)` the state of the connection; `on("close", …)` the end, after `close()`
 * or a refusal.
 */
export class AgentWebSocket {
  #client;
  #sessionId;
  #WebSocket;
  #handlers = new Map();
  #socket = null;
  #isOpen = false;
  #stopped = new AbortController();
  #cursor = null;
  #waiting = []; // what could not be sent yet
  #unanswered = null; // the message whose turn has not shown itself
  #turn = null; // the newest turn known
  #failures = 0;

  constructor({ client, sessionId, after = null, WebSocket = globalThis.WebSocket, ...options }) {
    this.#client = client ?? new AgentClient(options);
    this.#sessionId = sessionId;
    this.#WebSocket = WebSocket;
    this.#cursor = parseCursor(after);
    this.#run();
  }

  /** Calls the handler with each event of this type; returns what takes it off again. */
  on(type, handler) {
    if (!this.#handlers.has(type)) this.#handlers.set(type, new Set());
    this.#handlers.get(type).add(handler);
    return () => this.#handlers.get(type).delete(handler);
  }

  /** Sends a message, which starts a turn. */
  send(content, { metadata, onDisconnect, ifBusy } = {}) {
    const options = { metadata, on_disconnect: onDisconnect, if_busy: ifBusy };
    this.#transmit({ type: "message", content, ...options });
  }

  /** Says something to the turn that runs. */
  steer(content) {
    this.#transmit({ type: "steer", content });
  }

  /** Ends what runs and waits in the session. */
  cancel() {
    this.#transmit({ type: "cancel" });
  }

  /** Answers the agent's question. */
  answer(requestId, value) {
    this.#transmit({ type: "input", request_id: requestId, value });
  }

  /** Closes the connection for good; what runs goes on as the host decides. */
  close() {
    this.#stopped.abort();
    this.#socket?.close(1000);
  }

  #emit(type, detail) {
    for (const handler of this.#handlers.get(type) ?? []) handler(detail);
  }

  #transmit(message) {
    if (this.#isOpen) this.#put(message);
    else this.#waiting.push(message);
  }

  #put(message) {
    if (message.type === "message") this.#unanswered = message;
    this.#socket.send(JSON.stringify(message));
  }

  async #run() {
    let fault = null;
    while (!this.#stopped.signal.aborted && fault === null) {
      fault = await this.#connect().catch((error) => (isPassing(error) ? null : error));
      if (this.#stopped.signal.aborted || fault !== null) break;
      if (this.#failures > this.#client.maxRetries) {
        fault = new ConnectionFault("The server cannot be reached.");
        break;
      }
      const waitMs = backoffMs(FIRST_RETRY_MS, this.#failures);
      this.#failures += 1;
      this.#emit("connection", { state: "waiting", retryInMs: waitMs });
      await pause(waitMs, this.#stopped.signal).catch(() => undefined); // closed meanwhile
    }
    this.#emit("close", fault);
  }

  /** Opens one connection and returns when it has closed. */
  async #connect() {
    const { ticket } = await this.#client.ticket(this.#sessionId);
    if (this.#stopped.signal.aborted) return null;
    const url = this.#client.url(`ws/chat/${encodeURIComponent(this.#sessionId)}`);
    url.protocol = url.protocol.replace("http", "ws");
    url.searchParams.set("ticket", ticket);
    url.searchParams.set("marks", "1");
    const socket = new this.#WebSocket(url.href);
    this.#socket = socket;
    const closed = new Promise((resolve) => socket.addEventListener("close", resolve));
    socket.addEventListener("error", () => undefined); // a close follows it
    socket.addEventListener("message", ({ data }) => this.#take(data));
    // Without knowing what became of the last message it cannot go on: it tries again.
    socket.addEventListener("open", () => this.#opened(socket).catch(() => socket.close()));
    await closed;
    this.#isOpen = false;
    return null;
  }

  async #opened(socket) {
    const again = await this.#lostMessage();
    if (socket !== this.#socket || socket.readyState !== 1) return;
    this.#isOpen = true;
    this.#failures = 0;
    this.#emit("connection", { state: "open", retryInMs: 0 });
    const cursor = this.#cursor;
    if (cursor !== null) this.#put({ type: "resume", last_event_id: textOf(cursor) });
    for (const message of [again, ...this.#waiting.splice(0)]) {
      if (message !== null) this.#put(message);
    }
  }

  /** The message that went down with the last connection before it started a turn, or null. */
  async #lostMessage() {
    const session = await this.#client.session(this.#sessionId);
    const newest = Number(session?.turn_id ?? 0);
    const before = this.#turn ?? newest;
    this.#turn = Math.max(newest, before);
    if (this.#unanswered === null) return null;
    if (newest <= before) return this.#unanswered;
    this.#cursor ??= { turn: newest, seq: 0, run: null };
    return null;
  }

  #take(data) {
    const { id: idText, run = null, ...event } = parseEvent(data);
    const id = parseId(idText);
    const isOther = isOfAnother(id, run, this.#cursor);
    if (id !== null && event.type !== "gap" && !isOther && !isAfter(id, this.#cursor)) return;
    if (isOther) this.#turn = id.turn - 1;
    if (id !== null) this.#cursor = { ...id, run: run ?? runOf(id, this.#cursor) };
    // Either it has started a turn, or it was refused.
    if (id === null ? event.type === "error" : id.turn > this.#turn) this.#unanswered = null;
    this.#turn = Math.max(this.#turn, id?.turn ?? 0);
    const taken = id === null ? event : { ...event, id: idText };
    this.#emit("event", taken);
    this.#emit(event.type, taken);
  }
}

/** A name that nobody can guess, also on a page that is not served over HTTPS. */
export function randomName() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The mount's prefix: what was given, else where this module lies. */
function baseOf(given) {
  if (given === undefined && !import.meta.url.startsWith("http")) {
    throw new TypeError("AgentClient needs a baseUrl, since it was not loaded from the host");
  }
  const base = new URL(given ?? "./", given === undefined ? import.meta.url : globalThis.location?.href);
  if (!base.pathname.endsWith("/")) base.pathname += "/";
  base.search = "";
  base.hash = "";
  return base;
}

/** Yields the text of a body until it ends; `onText` is called for whatever arrives. */
export async function* readText(body, onText) {
  const reader = body.getReader();
  const decoder = new TextDecoder("utf-8", { fatal: true });
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      onText();
      yield decoder.decode(value, { stream: true });
    }
  } catch (error) {
    throw new ConnectionFault("The stream broke off, or is not UTF-8.", { cause: error });
  } finally {
    reader.cancel().catch(() => undefined); // rejects only if the stream has broken already
  }
}

async function readJson(response) {
  try {
    return await response.json();
  } catch (error) {
    throw new ConnectionFault("The answer is not JSON, or broke off.", { cause: error });
  }
}

function parseEvent(data) {
  try {
    return JSON.parse(data);
  } catch (error) {
    throw new ConnectionFault("An event is not JSON.", { cause: error });
  }
}

function parseCursor(text) {
  const [id, run = null] = (text ?? "").split(".");
  const place = parseId(id);
  return place && { ...place, run };
}

function textOf({ turn, seq, run }) {
  return run === null ? `${turn}-${seq}` : `${turn}-${seq}.${run}`;
}

/** The mark that is known of an id's turn, or null. */
function runOf(id, cursor) {
  return cursor !== null && cursor.turn === id.turn ? cursor.run : null;
}

/** Whether a run's first event shows that the session began again behind the cursor. */
function isOfAnother(id, run, cursor) {
  if (id === null || run === null || cursor === null) return false;
  if (id.turn !== cursor.turn) return id.turn < cursor.turn;
  return cursor.run !== null && cursor.run !== run;
}

function parseId(text) {
  const match = /^([0-9]{1,10})-([0-9]{1,10})$/.exec(text ?? "");
  return match && { turn: Number(match[1]), seq: Number(match[2]) };
}

function isAfter(id, cursor) {
  if (cursor === null || id.turn > cursor.turn) return true;
  return id.turn === cursor.turn && id.seq > cursor.seq;
}

/** Whether a response is a redirect, which browsers show as one of status 0, or a page. */
function isForeign({ type, status, headers }) {
  // Not 204: nothing has a type, and Flask says text/html of it.
  const isPage = status === 200 && (headers.get("Content-Type") ?? "").startsWith("text/html");
  return isPage || type === "opaqueredirect" || (status >= 300 && status < 400);
}

function isPassing(error) {
  return error instanceof ConnectionFault || (error instanceof HostError && error.passing);
}

function retryAfterMs(text) {
  if (text === null) return 0;
  const seconds = Number(text);
  const ms = Number.isNaN(seconds) ? Date.parse(text) - Date.now() : seconds * 1000;
  return Number.isNaN(ms) ? 0 : Math.max(0, ms);
}

/** Full jitter, so that the clients of a restarted server do not come back all at once. */
function backoffMs(baseMs, failures) {
  return Math.random() * Math.min(LONGEST_RETRY_MS, baseMs * 2 ** failures);
}

/** What the promise gives, or undefined if it takes longer. */
function within(promise, ms) {
  let timer;
  const late = new Promise((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Waits, less long if the network comes back; rejects when the signal is aborted. */
function pause(ms, signal) {
  const over = new AbortController();
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    over.signal.addEventListener("abort", () => clearTimeout(timer));
    globalThis.addEventListener?.("online", resolve, { signal: over.signal });
    signal?.addEventListener("abort", () => reject(signal.reason), { signal: over.signal });
  }).finally(() => over.abort());
}
