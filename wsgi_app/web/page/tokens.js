// The access token: kept for this tab, asked for when the host refuses it.

const KEY = "agent-token";
const DEVELOPMENT_TOKEN = "dev"; // good only for a host without a configuration of its own

/** Keeps the token and asks the user for another one in a `<dialog>`. */
export class Tokens {
  #dialog;

  /** Whether the user may be asked; not again after a refusal, until a message is sent. */
  mayAsk = true;

  constructor(dialog) {
    this.#dialog = dialog;
  }

  /** What AgentClient wants as `getToken`: null if the user gives none. */
  get = async ({ refused, message }) => {
    const known = sessionStorage.getItem(KEY) ?? DEVELOPMENT_TOKEN;
    if (known !== refused) return known;
    if (!this.mayAsk) return null;
    const again = refused === DEVELOPMENT_TOKEN ? "" : "This token was refused. ";
    const token = await this.#ask(again + message);
    if (token !== null) sessionStorage.setItem(KEY, token);
    else this.mayAsk = false;
    return token;
  };

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
