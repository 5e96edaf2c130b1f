// The host's HTTP interface, one method for each kind of request.

import { ConnectionFault } from "./sse.js";

const BASE = new URL("../", import.meta.url); // the mount prefix, wherever a proxy puts it
const CALL_TIMEOUT_MS = 20_000;
const PASSING_STATUS = new Set([429, 502, 503, 504]);
const LONGEST_WAIT_MS = 10_000; // nobody watches a page that says "trying again" for longer

/** The host refused a request, or cannot be reached; `message` is in words for people. */
export class HostError extends Error {
  constructor(status, code, message, retryAfterMs = 0) {
    super(message);
    this.status = status;
    this.code = code;
    this.retryAfterMs = retryAfterMs;
  }

  static async from(response) {
    const body = await response.json().catch(() => ({})); // a proxy's page, not the host's JSON
    const message = body.message ?? `The server answered with status ${response.status}.`;
    const seconds = Number(response.headers.get("Retry-After") ?? 0);
    return new HostError(response.status, body.code ?? "unknown", message, seconds * 1000);
  }

  /** Whether the same request may succeed a little later. */
  get passing() {
    return PASSING_STATUS.has(this.status) && this.retryAfterMs <= LONGEST_WAIT_MS;
  }
}

/** Sends requests with the user's token; a 401 asks for another one and tries again. */
export class Client {
  #tokens;

  /** `tokens` has `current()` and `renew(refused, message)`, which rejects if the user declines. */
  constructor(tokens) {
    this.#tokens = tokens;
  }

  /**
   * Sends one request and returns the response, whatever its status but 401.
   *
   * Throws ConnectionFault if there is no response, HostError if the user gives no token.
   */
  async fetch(path, { method = "GET", headers = {}, json, signal }) {
    for (;;) {
      const token = this.#tokens.current();
      const response = await reach(new URL(path, BASE), {
        method,
        headers: {
          ...headers,
          Authorization: `Bearer ${token}`,
          ...(json === undefined ? {} : { "Content-Type": "application/json" }),
        },
        body: json === undefined ? undefined : JSON.stringify(json),
        cache: "no-store",
        signal: signal ?? AbortSignal.timeout(CALL_TIMEOUT_MS),
      });
      if (response.status !== 401) return response;
      await this.#tokens.renew(token, (await HostError.from(response)).message);
    }
  }

  async #call(path, options) {
    const response = await this.fetch(path, options);
    if (!response.ok) throw await HostError.from(response);
    return response.json();
  }

  /** The session with its messages, or null if the host does not know it. */
  async session(sessionId) {
    try {
      return await this.#call(`session/${sessionId}`, {});
    } catch (error) {
      if (error.code === "not_found") return null;
      throw error;
    }
  }

  /** Ends the turn, or, without a turn id, whatever runs in the session. */
  cancel(sessionId, turnId) {
    const json = turnId === null ? {} : { turn_id: String(turnId) };
    return this.#call(`chat/${sessionId}/cancel`, { method: "POST", json });
  }

  /** Answers the agent's question. */
  input(sessionId, requestId, value) {
    const json = { request_id: requestId, value };
    return this.#call(`chat/${sessionId}/input`, { method: "POST", json });
  }
}

/** A name that nobody can guess, also on a page that is not served over HTTPS. */
export function randomName() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function reach(url, options) {
  try {
    return await fetch(url, options);
  } catch (error) {
    throw new ConnectionFault("The server cannot be reached.", { cause: error });
  }
}
