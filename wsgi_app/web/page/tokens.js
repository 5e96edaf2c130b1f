// The access token: kept for this tab, asked for when the host refuses it.

import { HostError } from "./client.js";

const KEY = "agent-token";
const DEVELOPMENT_TOKEN = "dev"; // good only for a host without a configuration of its own

/** Keeps the token and asks the user for another one in a `<dialog>`. */
export class Tokens {
  #dialog;
  #asking = null;

  constructor(dialog) {
    this.#dialog = dialog;
  }

  current() {
    return sessionStorage.getItem(KEY) ?? DEVELOPMENT_TOKEN;
  }

  /**
   * Asks for another token than the refused one, once for all requests that wait for it.
   * Throws HostError if the user gives none.
   */
  async renew(refused, message) {
    if (this.current() !== refused) return;
    const again = refused === DEVELOPMENT_TOKEN ? "" : "This token was refused. ";
    this.#asking ??= this.#ask(again + message).finally(() => {
      this.#asking = null;
    });
    const token = await this.#asking;
    if (token === null) throw new HostError(401, "unauthorized", message);
    sessionStorage.setItem(KEY, token);
  }

  #ask(message) {
    const dialog = this.#dialog;
    const field = dialog.querySelector("input");
    const over = new AbortController();
    const options = { signal: over.signal };
    dialog.querySelector("p").textContent = message;
    field.value = "";
    dialog.showModal();
    return new Promise((resolve) => {
      const submit = (event) => {
        event.preventDefault();
        resolve(field.value);
      };
      dialog.querySelector("form").addEventListener("submit", submit, options);
      dialog.querySelector("button[type=button]").addEventListener("click", () => dialog.close(), options);
      dialog.addEventListener("close", () => resolve(null), options);
    }).finally(() => {
      over.abort();
      dialog.close();
    });
  }
}
