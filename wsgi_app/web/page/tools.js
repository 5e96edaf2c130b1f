// Tool calls: one line while they run, and all that went in and came out when folded out.

import { element, hidden, preview } from "./dom.js";

export class ToolPart {
  #state = hidden("span", "running");
  #preview = element("span", { class: "tool-preview" });
  #body = element("div", { class: "tool-body" });
  #subAgents = new Map();

  constructor(event) {
    this.#preview.append(preview(event.input));
    const icon = element("span", { class: "tool-icon", "aria-hidden": "true" });
    const name = element("span", { class: "tool-name" }, event.tool);
    const summary = element("summary", {}, icon, name, this.#preview, this.#state);
    this.node = element("details", { class: "tool", "data-state": "running" }, summary, this.#body);
    this.#show("Input", event.input);
  }

  /** The part of the sub-agent of this name that works for this call; `make()` makes it. */
  subAgent(name, make) {
    if (!this.#subAgents.has(name)) {
      this.#subAgents.set(name, make());
      this.#body.append(this.#subAgents.get(name).node);
    }
    return this.#subAgents.get(name);
  }

  finish(event) {
    this.#end(event.status);
    this.#preview.after(element("span", { class: "tool-output" }, preview(event.output)));
    this.#show(event.status === "error" ? "Error" : "Output", event.output);
  }

  /** The turn is over: a tool without a result was stopped. */
  stop() {
    if (this.node.dataset.state === "running") this.#end("stopped");
  }

  #end(state) {
    for (const part of this.#subAgents.values()) part.end();
    this.node.dataset.state = state;
    this.#state.textContent = state;
  }

  #show(label, value) {
    const text = typeof value === "string" ? value : JSON.stringify(value, null, 2);
    const title = element("h3", {}, label);
    this.#body.append(title, element("pre", { tabindex: "0", "aria-label": label }, text));
  }
}
