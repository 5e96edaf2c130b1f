// Sub-agents: what each of them does, within the call that it works for.

import { element } from "./dom.js";
import { Line, Thought } from "./lines.js";
import { Prose } from "./prose.js";
import { ToolPart } from "./tools.js";

/** One sub-agent's work, drawn as its events come in. */
export class SubAgentPart {
  #tools;
  #changed;
  #open = null; // the part that takes the next piece of the same kind

  /** `tools` are all calls of the answer by their ids, to which this adds its own. */
  constructor(agent, tools, changed) {
    this.#tools = tools;
    this.#changed = changed;
    this.node = element("section", { class: "sub-agent", "aria-label": agent }, element("h3", {}, agent));
  }

  apply(event) {
    if (event.type === "token") this.#part("text", () => new Prose(this.#changed)).append(event.content);
    else if (event.type === "thinking") this.#part("thinking", () => new Thought()).append(event.content);
    else if (event.type === "status") this.#part("status", () => new Line()).node.textContent = event.content;
    else if (event.type === "tool_call") this.#tools.set(event.call_id, this.#begin("tool", new ToolPart(event)));
    else if (event.type === "tool_result") this.#tools.get(event.call_id)?.finish(event);
  }

  /** Its call has ended. */
  end() {
    this.#open?.part.end?.();
    this.#open = null;
  }

  #part(kind, make) {
    return this.#open?.kind === kind ? this.#open.part : this.#begin(kind, make());
  }

  #begin(kind, part) {
    this.end();
    this.#open = { kind, part };
    this.node.append(part.node);
    return part;
  }
}
