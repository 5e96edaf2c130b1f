// The list of the user's sessions.

import { element, hidden } from "./dom.js";

const SHOWN = 50;
const TITLE_CHARS = 60;
const MAX_TITLES = 8; // asked for at once; the others are named by their time until they are opened

/** Draws the sessions into a list; each is a link to `#<session id>` and a button that deletes it. */
export class SessionList {
  #client;
  #node;
  #titles = new Map();
  #drawn = "";

  /** Whether messages may have files, as far as the host was asked. */
  takesFiles = false;

  /** `remove(sessionId, title)` is called by the button. */
  constructor(client, node, remove) {
    this.#client = client;
    this.#node = node;
    node.addEventListener("click", ({ target }) => {
      const { session, title } = target.closest("button")?.dataset ?? {};
      if (session !== undefined) remove(session, title);
    });
  }

  /** Names a session after its first message, unless it has a name. */
  name(sessionId, message) {
    if (!this.#titles.has(sessionId)) this.#titles.set(sessionId, shortened(message));
  }

  /** Asks the host and draws; answers the sessions. `current()` is the one that the page shows. */
  async refresh(current) {
    const { sessions, takes_files: takesFiles } = await this.#client.sessions({ limit: SHOWN });
    this.takesFiles = takesFiles === true;
    this.#draw(sessions, current());
    await this.#learnTitles(sessions);
    this.#draw(sessions, current());
    return sessions;
  }

  #draw(sessions, current) {
    const rows = sessions.map((session) => [session, this.#titleOf(session)]);
    // Only what differs: the keyboard may be on one of the links.
    const wanted = JSON.stringify([rows.map(([one, title]) => [one.session_id, one.state, title]), current]);
    if (wanted === this.#drawn) return;
    this.#drawn = wanted;
    const focused = this.#node.contains(document.activeElement) ? document.activeElement.id : "";
    this.#node.replaceChildren(...rows.map(([session, title]) => row(session, title, current)));
    if (focused !== "") document.getElementById(focused)?.focus();
  }

  #titleOf({ session_id: sessionId, created_at: createdAt }) {
    const title = this.#titles.get(sessionId);
    if (title) return title;
    const format = { dateStyle: "medium", timeStyle: "short" };
    return `Chat of ${new Date(createdAt).toLocaleString(undefined, format)}`;
  }

  async #learnTitles(sessions) {
    const unknown = sessions.filter((one) => !this.#titles.has(one.session_id)).slice(0, MAX_TITLES);
    for (const { session_id: sessionId } of unknown) {
      const session = await this.#client.session(sessionId);
      const first = session?.messages.find((message) => message.role === "user");
      if (first) this.name(sessionId, first.content);
    }
  }
}

function row({ session_id: sessionId, state }, title, current) {
  const link = element("a", { href: `#${sessionId}`, id: `open-${sessionId}`, title }, title);
  if (sessionId === current) link.setAttribute("aria-current", "page");
  if (state === "running") {
    link.prepend(element("span", { class: "running" }, hidden("span", "Answering: ")));
  }
  const attributes = { type: "button", class: "plain", "aria-label": `Delete “${title}”` };
  const remove = element("button", { ...attributes, id: `delete-${sessionId}` }, "✕");
  remove.dataset.session = sessionId;
  remove.dataset.title = title;
  return element("li", {}, link, remove);
}

function shortened(text) {
  const line = text.trim().replace(/\s+/g, " ");
  return line.length > TITLE_CHARS ? `${line.slice(0, TITLE_CHARS)}…` : line;
}
