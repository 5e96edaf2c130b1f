// Markdown that grows while it is read: what is complete stays untouched, the rest is patched.

import { element } from "./dom.js";
import { readBlocks } from "./markdown.js";

const HIDDEN_PAUSE_MS = 250; // a page that nobody sees gets no animation frames
const CHEAP_MS = 8;
const REST_FACTOR = 6; // of drawing time, so that a huge block leaves time for the user

/** One stretch of an answer's text. */
export class Prose {
  #source = ""; // of what may still change
  #settled = 0; // nodes that will not change
  #cancel = null;
  #costMs = 0;
  #changed;

  /** `changed()` is called when something has been drawn. */
  constructor(changed = () => undefined) {
    this.#changed = changed;
    this.node = element("div", { class: "prose" });
  }

  append(text) {
    this.#source += text;
    this.#cancel ??= this.#later(() => this.#draw(true));
  }

  /** Draws what is there now; nothing more will come, unless it says that the text is open. */
  end({ isOpen = false } = {}) {
    this.#cancel?.();
    this.#draw(isOpen);
  }

  #later(draw) {
    if (!document.hidden && this.#costMs < CHEAP_MS) {
      const frame = requestAnimationFrame(draw);
      return () => cancelAnimationFrame(frame);
    }
    const pause = document.hidden ? HIDDEN_PAUSE_MS : this.#costMs * REST_FACTOR;
    const timer = setTimeout(draw, pause);
    return () => clearTimeout(timer);
  }

  #draw(isOpen) {
    this.#cancel = null;
    const start = performance.now();
    const blocks = readBlocks(this.#source, isOpen);
    const last = blocks.length - 1;
    patchChildren(this.node, this.#settled, blocks.map(({ node }) => node));
    const lines = this.#source.split("\n");
    // A last line that is not complete may turn out to go on with the block before it.
    const firstOpen = blocks[last]?.line === lines.length - 1 ? last - 1 : last;
    if (isOpen && firstOpen > 0) {
      this.#settled += firstOpen;
      this.#source = lines.slice(blocks[firstOpen].line).join("\n");
    }
    this.#costMs = performance.now() - start;
    this.#changed();
  }
}

/** Makes the children from an index on like these, and touches only what differs. */
function patchChildren(parent, from, wanted) {
  const present = [...parent.childNodes].slice(from);
  wanted.forEach((node, index) => {
    if (index < present.length) patch(present[index], node);
    else parent.append(node);
  });
  for (const node of present.slice(wanted.length)) node.remove();
}

function patch(present, wanted) {
  if (present.nodeName !== wanted.nodeName) return present.replaceWith(wanted);
  if (present.nodeType === Node.TEXT_NODE) return patchText(present, wanted.data);
  for (const { name } of [...present.attributes]) {
    if (!wanted.hasAttribute(name)) present.removeAttribute(name);
  }
  for (const { name, value } of wanted.attributes) {
    if (present.getAttribute(name) !== value) present.setAttribute(name, value);
  }
  patchChildren(present, 0, [...wanted.childNodes]);
}

function patchText(present, text) {
  if (present.data === text) return;
  // Appending keeps what the user has selected.
  if (text.startsWith(present.data)) present.appendData(text.slice(present.data.length));
  else present.data = text;
}
