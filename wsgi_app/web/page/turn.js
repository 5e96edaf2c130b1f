// One turn read to its end, over as many connections as it takes.

import { HostError, randomName } from "./client.js";
import { ConnectionFault, SseParser, readEvents } from "./sse.js";

const SILENCE_TIMEOUT_MS = 60_000; // four keep-alives of the default 15 s
const FIRST_RETRY_MS = 1_000;
const LONGEST_RETRY_MS = 10_000;
const MAX_FAILURES = 30; // in a row; about three minutes
const TERMINAL = new Set(["done", "error", "cancelled"]);

/**
 * One turn, from its start or from where it stands, to its terminal event.
 *
 * The sink's `event(event)` gets each event once, in order; `notice(text)` gets what there is to
 * say about the connection, or null when it is fine again.
 */
export class TurnReader {
  #client;
  #sessionId;
  #sink;
  #cursor = null;
  #retryMs = FIRST_RETRY_MS;
  #controller = new AbortController();

  /** The turn's number, null until the host has told it. */
  turnId = null;

  constructor(client, sessionId, sink) {
    this.#client = client;
    this.#sessionId = sessionId;
    this.#sink = sink;
  }

  /** Starts a turn; the key keeps a request that is sent again from starting a second one. */
  send(message) {
    const headers = { "Idempotency-Key": randomName(), Accept: "text/event-stream" };
    const post = { method: "POST", headers, json: { message } };
    return this.#run(() => (this.turnId === null ? this.#chat(post) : this.#attach()));
  }

  /** Follows a turn that runs, from its first event. */
  resume(turnId) {
    this.turnId = Number(turnId);
    return this.#run(() => this.#attach());
  }

  /** Reads no further; the turn itself goes on. */
  stop() {
    this.#controller.abort();
  }

  get stopped() {
    return this.#controller.signal.aborted;
  }

  #chat(post) {
    return this.#connect(`chat/${this.#sessionId}`, post);
  }

  #attach() {
    this.#cursor ??= { turn: this.turnId, seq: 0 };
    const { turn, seq } = this.#cursor;
    const headers = { "Last-Event-ID": `${turn}-${seq}`, Accept: "text/event-stream" };
    return this.#connect(`chat/${this.#sessionId}/events`, { headers });
  }

  async #run(connect) {
    for (let failures = 0; !this.stopped; failures += 1) {
      const before = this.#cursor;
      let waitMs = 0;
      try {
        if (await connect()) return;
      } catch (error) {
        if (this.stopped) return;
        if (!isPassing(error)) throw error;
        waitMs = error.retryAfterMs ?? 0;
        if (error instanceof HostError) this.#sink.notice(`${error.message} Trying again…`);
      }
      if (this.#cursor !== before) failures = 0;
      if (failures >= MAX_FAILURES) throw new ConnectionFault("The server cannot be reached.");
      if (failures > 0 && waitMs === 0) this.#sink.notice("The connection is lost. Trying again…");
      await this.#pause(Math.max(waitMs, backoffMs(this.#retryMs, failures)));
    }
  }

  /** Reads one connection; true if the turn has ended, false if the connection has. */
  async #connect(path, options) {
    const connection = new AbortController();
    const abort = () => connection.abort();
    let silence = setTimeout(abort, SILENCE_TIMEOUT_MS);
    this.#controller.signal.addEventListener("abort", abort, { once: true });
    try {
      const response = await this.#client.fetch(path, { ...options, signal: connection.signal });
      return await this.#read(response, () => {
        clearTimeout(silence);
        silence = setTimeout(abort, SILENCE_TIMEOUT_MS);
      });
    } finally {
      clearTimeout(silence);
      this.#controller.signal.removeEventListener("abort", abort);
    }
  }

  async #read(response, onBytes) {
    if (!response.ok) throw await HostError.from(response);
    if (response.status === 204) {
      throw new HostError(204, "lost", "The server no longer has the rest of this answer.");
    }
    this.turnId ??= numberOrNull(response.headers.get("X-Turn-Id"));
    const parser = new SseParser();
    for await (const block of readEvents(response.body, parser, onBytes)) {
      this.#retryMs = parser.retryMs ?? this.#retryMs;
      if (this.#take(block)) return true;
    }
    return false;
  }

  #take(block) {
    const event = parseEvent(block.data);
    const id = parseId(block.id);
    if (id === null || (event.type !== "gap" && !isAfter(id, this.#cursor))) {
      // A status without a new id is about the connection: no free slot, a restart.
      if (event.type === "status") this.#sink.notice(event.content);
      return false;
    }
    this.#cursor = id;
    this.turnId ??= id.turn;
    if (id.turn !== this.turnId) return false; // another window went on with this chat
    this.#sink.notice(null);
    this.#sink.event(event);
    return TERMINAL.has(event.type);
  }

  #pause(ms) {
    const over = new AbortController();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      over.signal.addEventListener("abort", () => clearTimeout(timer));
      addEventListener("online", resolve, { signal: over.signal });
      this.#controller.signal.addEventListener("abort", resolve, { signal: over.signal });
    }).finally(() => over.abort());
  }
}

function parseEvent(data) {
  try {
    return JSON.parse(data);
  } catch (error) {
    throw new ConnectionFault("An event is not JSON.", { cause: error });
  }
}

function parseId(text) {
  const match = /^([0-9]{1,10})-([0-9]{1,10})$/.exec(text ?? "");
  return match && { turn: Number(match[1]), seq: Number(match[2]) };
}

function isAfter(id, cursor) {
  if (cursor === null || id.turn > cursor.turn) return true;
  return id.turn === cursor.turn && id.seq > cursor.seq;
}

function numberOrNull(text) {
  return text === null ? null : Number(text);
}

function isPassing(error) {
  return error instanceof ConnectionFault || (error instanceof HostError && error.passing);
}

/** Full jitter, so that the clients of a restarted server do not come back all at once. */
function backoffMs(baseMs, failures) {
  return Math.random() * Math.min(LONGEST_RETRY_MS, baseMs * 2 ** failures);
}
