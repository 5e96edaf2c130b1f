// Hears when a chat that the page does not show comes to an end: one stream for all that run.

import { SseParser, readText } from "./agent-client.js";

const MAX_WATCHED = 20;
const BATCH_MS = 1_000; // their tokens are not shown: the fewer frames the better
const TERMINAL = new Set(["done", "error", "cancelled"]);

/** Follows sessions over one connection, which it gives up as soon as there are none. */
export class Watcher {
  #client;
  #ended;
  #watched = "";
  #controller = null;

  /** `ended()` is called when a turn of one of them has ended. */
  constructor(client, ended) {
    this.#client = client;
    this.#ended = ended;
  }

  /** Follows these sessions in the place of others; a stream that was lost begins again. */
  watch(sessionIds) {
    const pairs = sessionIds.slice(0, MAX_WATCHED).map((sessionId) => ["session", sessionId]);
    const watched = new URLSearchParams(pairs).toString();
    if (watched === this.#watched) return;
    this.#controller?.abort();
    this.#watched = watched;
    this.#controller = watched === "" ? null : new AbortController();
    if (this.#controller !== null) this.#read(watched, this.#controller);
  }

  async #read(watched, controller) {
    try {
      const response = await this.#client.request(`events?${watched}&batch_ms=${BATCH_MS}`, {
        headers: { Accept: "text/event-stream" },
        signal: controller.signal,
      });
      if (response.ok) await this.#hear(response.body);
    } catch {
      // Nobody misses it: the list is asked for now and then, and begins it again.
    }
    controller.abort(); // or what was refused would keep its connection
    if (this.#controller === controller) this.#watched = "";
  }

  async #hear(body) {
    const parser = new SseParser();
    for await (const text of readText(body, () => undefined)) {
      for (const { data } of parser.push(text)) {
        if (TERMINAL.has(JSON.parse(data).type)) this.#ended();
      }
    }
  }
}
