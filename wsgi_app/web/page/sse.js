// Server-sent events, read from the body of a fetch response by the rules of the HTML standard.

// The host bounds a turn's output to 4 MiB, which JSON escapes at most sixfold.
const MAX_BLOCK_CHARS = 24 * 1024 * 1024;

/** The connection is gone, or what came over it broke the rules. */
export class ConnectionFault extends Error {}

/** Turns text, cut anywhere, into events. */
export class SseParser {
  #rest = "";
  #data = [];
  #dataChars = 0;
  #id = null;

  /** The reconnection time that the server asked for, or null. */
  retryMs = null;

  /**
   * Takes the next piece of text and returns the events that it completes, each
   * `{id, data}`; `id` is null for a block without an id line of its own.
   */
  push(text) {
    const events = [];
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop();
    for (const line of lines) {
      const event = line === "" ? this.#endBlock() : this.#field(line);
      if (event) events.push(event);
    }
    if (this.#rest.length + this.#dataChars > MAX_BLOCK_CHARS) {
      throw new ConnectionFault("The stream holds a block without an end.");
    }
    return events;
  }

  #endBlock() {
    const event = { id: this.#id, data: this.#data.join("\n") };
    const dispatched = this.#data.length > 0;
    this.#data = [];
    this.#dataChars = 0;
    this.#id = null;
    return dispatched ? event : null;
  }

  #field(line) {
    const colon = line.indexOf(":");
    if (colon === 0) return; // a comment
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "data") {
      this.#data.push(value);
      this.#dataChars += value.length;
    } else if (name === "id" && !value.includes("\0")) {
      this.#id = value;
    } else if (name === "retry" && /^[0-9]+$/.test(value)) {
      this.retryMs = Number(value);
    }
  }
}

/**
 * Yields the events of a response body until it ends. A block that the end cuts off is dropped,
 * as the standard says. `onBytes` is called for whatever arrives, keep-alive comments too.
 */
export async function* readEvents(body, parser, onBytes) {
  const reader = body.getReader();
  const decoder = new TextDecoder("utf-8", { fatal: true });
  try {
    for (;;) {
      const text = await readText(reader, decoder);
      if (text === null) return;
      onBytes();
      yield* parser.push(text);
    }
  } finally {
    reader.cancel().catch(() => undefined); // rejects only if the stream has broken already
  }
}

async function readText(reader, decoder) {
  try {
    const { done, value } = await reader.read();
    return done ? null : decoder.decode(value, { stream: true });
  } catch (error) {
    throw new ConnectionFault("The stream broke off, or is not UTF-8.", { cause: error });
  }
}
