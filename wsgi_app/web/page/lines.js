// Lines beside an answer's text: thoughts, and what goes on.

import { element } from "./dom.js";

/** What the agent thinks, folded. */
export class Thought {
  #label = element("summary", {}, "Thinking…");
  #text = document.createTextNode("");

  constructor() {
    const body = element("div", { class: "thinking-body" }, this.#text);
    this.node = element("details", { class: "thinking" }, this.#label, body);
  }

  append(content) {
    this.#text.appendData(content);
  }

  end() {
    this.#label.textContent = "Thoughts";
  }
}

export class Line {
  constructor(text = "") {
    this.node = element("p", { class: "note" }, text);
  }
}
