// One session on the page: its messages, the answers that are being read, and how they go on.

import { ConnectionFault, HostError } from "./agent-client.js";

const MAX_READING = 3; // each holds a connection, of which a browser may open six

/**
 * One session. `callbacks`: `changed()` when it begins or ends to read, `connection(state)` in
 * between, `refused(text, error, files)` for a message that started no turn, `fault(error)` for the rest.
 */
export class Conversation {
  #client;
  #transcript;
  #callbacks;
  #reading = new Set(); // {answer, stream, controller}
  #newestTurn = 0; // that is on the page
  #answered = new Set(); // turns that came after it
  #isStale = false; // a turn of another tab is missing
  #closed = new AbortController();

  constructor(sessionId, client, transcript, callbacks) {
    this.sessionId = sessionId;
    this.#client = client;
    this.#transcript = transcript;
    this.#callbacks = callbacks;
  }

  get isReading() {
    return this.#reading.size > 0;
  }

  get isFull() {
    return this.#reading.size >= MAX_READING;
  }

  /** Reads no more; what runs goes on without this page. */
  close() {
    this.#closed.abort();
  }

  /**
   * Shows what the host has, if it is not what the page shows, and goes on with what runs.
   * Answers whether the host knows the session.
   */
  async sync() {
    const session = await this.#client.session(this.sessionId);
    if (this.#closed.signal.aborted || this.isReading) return true;
    const turn = Number(session?.turn_id ?? 0);
    const isRunning = session?.state === "running";
    // A copy has messages and no turn yet.
    const isNews = turn !== this.#newestTurn || (turn === 0 && session?.messages.length > 0);
    if (session !== null && (isNews || this.#isStale)) {
      this.#draw(session.messages, turn);
      if (isRunning) this.#attach(turn);
    }
    return session !== null;
  }

  /** Whether the list of sessions tells something that the page does not show. */
  isBehind({ turn_id: turn }) {
    return !this.isReading && Number(turn) !== this.#newestTurn;
  }

  /**
   * Sends a message. An answer that is being written gets it, and its events show it; if the agent
   * takes none meanwhile, it waits for its turn.
   */
  async send(text, files = []) {
    try {
      const [first] = this.#reading;
      if (files.length === 0 && first?.stream.steerable && (await this.#steer(text))) return;
    } catch (error) {
      this.#callbacks.refused(text, error, files);
      return;
    }
    const question = this.#transcript.user(text, files);
    const answer = this.#newAnswer();
    if (this.isReading) answer.hold("Waits for the answer above.");
    const controller = new AbortController();
    const ids = files.map(({ id }) => id);
    const options = { ...this.#options(controller), ifBusy: "enqueue", files: ids.length ? ids : undefined };
    const stream = this.#client.chat(this.sessionId, text, options);
    const fault = await this.#read({ answer, stream, controller });
    if (fault === null || stream.turnId !== null) return;
    question.remove();
    answer.node.remove();
    this.#callbacks.refused(text, fault, files);
  }

  async #steer(text) {
    try {
      await this.#client.steer(this.sessionId, text);
      return true;
    } catch (error) {
      if (error.code !== "not_steerable" && error.code !== "queue_full") throw error;
      return false;
    }
  }

  /** Ends the answer that is being written; those that wait come next. */
  async stop() {
    const [first] = this.#reading;
    if (first === undefined) return;
    const turn = first.stream.turnId;
    if (turn === null) first.controller.abort(); // or it would send the message again
    await this.#client.cancel(this.sessionId, turn);
  }

  async #attach(turn) {
    const answer = this.#newAnswer();
    const controller = new AbortController();
    const options = { ...this.#options(controller), after: `${turn}-0` };
    const stream = this.#client.events(this.sessionId, options);
    await this.#read({ answer, stream, controller });
    // Nobody tells this page of a turn that follows.
    if (!this.#closed.signal.aborted) this.#syncLater();
  }

  /** Adds the turn that follows those on the page, or draws them all. */
  #draw(messages, turn) {
    const isNext = !this.#isStale && this.#newestTurn > 0 && turn === this.#newestTurn + 1;
    const start = isNext ? messages.findLastIndex(({ role, steered }) => role === "user" && !steered) : 0;
    if (!isNext) this.#transcript.clear();
    this.#newestTurn = turn;
    this.#isStale = false;
    for (const { role, content, files } of messages.slice(Math.max(start, 0))) {
      if (role === "user") this.#transcript.user(content, files);
      else if (content || files) this.#transcript.agent(content, files, (id) => this.#client.file(id));
    }
  }

  #newAnswer() {
    const reply = (requestId, value) => this.#client.answer(this.sessionId, requestId, value);
    return this.#transcript.answer(reply, (fileId) => this.#client.file(fileId));
  }

  #options(controller) {
    this.#closed.signal.addEventListener("abort", () => controller.abort());
    return { signal: controller.signal, onConnection: this.#callbacks.connection };
  }

  /** Draws a turn until it ends or the page turns to something else; answers what went wrong. */
  async #read(one) {
    this.#reading.add(one);
    this.#callbacks.changed();
    const fault = await this.#drawEvents(one);
    this.#reading.delete(one);
    if (this.#closed.signal.aborted) return null;
    const turn = one.stream.turnId ?? 0;
    if (turn > this.#newestTurn) this.#answered.add(turn);
    if (!this.isReading) this.#settle();
    this.#callbacks.changed();
    if (this.#isStale && !this.isReading) this.#syncLater();
    return fault;
  }

  #syncLater() {
    this.sync().catch((error) => this.#callbacks.fault(error));
  }

  async #drawEvents({ answer, stream, controller }) {
    try {
      for await (const event of stream) {
        answer.apply(event);
        if (answer.isOver) break;
      }
      if (!answer.isOver) answer.end("note", "");
      return null;
    } catch (error) {
      if (controller.signal.aborted) answer.end("note", "You stopped this answer.");
      else if (error instanceof HostError || error instanceof ConnectionFault) {
        answer.end("fault", error.message);
        return error;
      } else throw error;
      return null;
    }
  }

  /** Several answers may end in any order: only then it shows whether one is missing. */
  #settle() {
    const newest = Math.max(this.#newestTurn, ...this.#answered);
    if (newest - this.#newestTurn !== this.#answered.size) this.#isStale = true;
    this.#newestTurn = newest;
    this.#answered.clear();
  }
}
