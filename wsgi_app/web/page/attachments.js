// Files that go with the next message: sent as soon as they are chosen, shown until they are gone.

import { element, hidden } from "./dom.js";

const MAX_FILES = 10;
const MAX_PREVIEW_BYTES = 5_000_000;

/** `callbacks`: `upload(file)` and `forget(id)` as the client has them, `changed()`, `say(text)`. */
export class Attachments {
  #root;
  #callbacks;
  #items = new Set(); // {name, node, id}

  constructor(root, callbacks) {
    this.#root = root;
    this.#callbacks = callbacks;
  }

  get isEmpty() {
    return this.#items.size === 0;
  }

  /** Their names, in place of a message without words. */
  get names() {
    return [...this.#items].map(({ name }) => name).join(", ");
  }

  /** Whether a file is still on its way. */
  get isBusy() {
    return [...this.#items].some((item) => item.id === null);
  }

  /** Sends files; what is refused is told in its place. */
  add(files) {
    for (const file of files) {
      if (this.#items.size >= MAX_FILES) {
        this.#callbacks.say(`Only ${MAX_FILES} files go with a message.`);
        return;
      }
      this.#send(file);
    }
  }

  /** Takes them all for a message: their ids and names. */
  take() {
    const taken = [...this.#items].map(({ id, name }) => ({ id, name }));
    this.#root.replaceChildren(); // with what was refused
    this.#items.clear();
    this.#callbacks.changed();
    return taken;
  }

  /** Puts back what a refused message has taken. */
  restore(files) {
    for (const { id, name } of files) this.#add(name, id);
  }

  async #send(file) {
    const item = this.#add(file.name || "file", null);
    show(file, item.node);
    try {
      item.id = (await this.#callbacks.upload(file)).id;
      item.state.textContent = "";
      this.#callbacks.say(`${item.name} is attached.`);
    } catch (error) {
      item.node.classList.add("refused");
      item.state.textContent = reasonOf(error);
      this.#callbacks.say(`${item.name} cannot be attached: ${reasonOf(error)}`);
      this.#items.delete(item);
    }
    this.#callbacks.changed();
  }

  #add(name, id) {
    const state = element("span", { class: "file-state" }, id === null ? "Sending…" : "");
    const remove = element("button", { type: "button", class: "plain", "aria-label": `Remove ${name}` }, "✕");
    const node = element("li", { class: "file" }, element("span", { class: "file-name" }, name), state, remove);
    const item = { name, id, node, state };
    remove.addEventListener("click", () => this.#remove(item));
    this.#items.add(item);
    this.#root.append(node);
    this.#callbacks.changed();
    return item;
  }

  #remove(item) {
    this.#items.delete(item);
    item.node.remove();
    // One that is on its way stays with its session, and goes with it.
    if (item.id !== null) this.#callbacks.forget(item.id);
    this.#callbacks.say(`${item.name} was removed.`);
    this.#callbacks.changed();
  }
}

/** The files of a message, as it stands in the conversation. */
export function fileList(files) {
  const items = files.map(({ name }) => element("li", { class: "file" }, name));
  return element("ul", { class: "files" }, hidden("li", "Attached:"), ...items);
}

function reasonOf(error) {
  return error.details?.reason ?? error.message;
}

/** A picture of an image; its address is its content, since pages may load nothing else. */
function show(file, node) {
  if (!file.type.startsWith("image/") || file.size > MAX_PREVIEW_BYTES) return;
  const reader = new FileReader();
  reader.addEventListener("load", () => node.prepend(element("img", { src: reader.result, alt: "" })));
  reader.readAsDataURL(file);
}
