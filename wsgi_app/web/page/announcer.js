// What screen readers are told: whole sentences now and then, never word by word.

const PAUSE_MS = 1_000;
const MAX_CHARS = 1_000;

/** Speaks through a live region; of what comes too fast only the newest is said. */
export class Announcer {
  #node;
  #pending = null;
  #timer = null;

  constructor(node) {
    this.#node = node;
  }

  say = (text) => {
    if (!text) return;
    this.#pending = text.length > MAX_CHARS ? `${text.slice(0, MAX_CHARS)}…` : text;
    this.#timer ??= setTimeout(() => this.#speak(), PAUSE_MS);
  };

  #speak() {
    this.#node.textContent = this.#pending;
    this.#pending = null;
    this.#timer = null;
  }
}
