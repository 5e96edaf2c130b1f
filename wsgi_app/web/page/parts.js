// What an answer is made of besides text: tool calls and questions. Data goes in as text only.

const PREVIEW_CHARS = 200;

/** An element with attributes and children; strings become text nodes. */
export function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** A tool call: one line while it runs, the result behind it afterwards, all of both inside. */
export class ToolPart {
  #state = element("span", { class: "visually-hidden" }, "running");
  #preview = element("span", { class: "tool-preview" });
  #body = element("div", { class: "tool-body" });

  constructor(event) {
    this.#preview.append(preview(event.input));
    const summary = element(
      "summary",
      {},
      element("span", { class: "tool-icon", "aria-hidden": "true" }),
      element("span", { class: "tool-name" }, event.tool),
      this.#preview,
      this.#state,
    );
    this.node = element("details", { class: "tool", "data-state": "running" }, summary, this.#body);
    this.#show("Input", event.input);
  }

  finish(event) {
    this.#end(event.status);
    const result = element("span", { class: "tool-output" }, preview(event.output));
    this.#preview.after(result);
    this.#show(event.status === "error" ? "Error" : "Result", event.output);
  }

  /** The turn is over: a tool without a result was stopped. */
  stop() {
    if (this.node.dataset.state === "running") this.#end("stopped");
  }

  #end(state) {
    this.node.dataset.state = state;
    this.#state.textContent = state;
  }

  #show(label, value) {
    const text = typeof value === "string" ? value : JSON.stringify(value, null, 2);
    this.#body.append(element("h3", {}, label), element("pre", { tabindex: "0" }, text));
  }
}

/** A question of the agent; `answer(value)` sends what the user says. */
export class QuestionPart {
  #field;
  #button = element("button", { type: "submit" }, "Answer");
  #fault = element("p", { class: "fault", role: "alert" });

  constructor(event, answer) {
    this.#field = field(event.schema ?? {});
    const label = element("label", {}, element("span", {}, event.prompt), this.#field.node);
    this.node = element("form", { class: "question" }, label, this.#button, this.#fault);
    this.node.addEventListener("submit", (submit) => {
      submit.preventDefault();
      this.#send(answer);
    });
  }

  async #send(answer) {
    const value = this.#field.value();
    this.close();
    this.#fault.textContent = "";
    try {
      await answer(value);
    } catch (error) {
      this.#fault.textContent = error.message;
      if (error.code !== "no_pending_input") this.#enable(true);
    }
  }

  /** The agent waits no longer. */
  close() {
    this.#enable(false);
  }

  #enable(enabled) {
    this.#button.disabled = !enabled;
    this.#field.node.disabled = !enabled;
  }
}

/** The form field that fits a JSON schema, and how to read it; plain text if the schema is more. */
function field(schema) {
  if (Array.isArray(schema.enum)) return choice(schema.enum.map((item) => [preview(item), item]));
  if (schema.type === "boolean") return choice([["Yes", true], ["No", false]]);
  const attributes = { required: "", autocomplete: "off" };
  if (schema.type === "number" || schema.type === "integer") {
    const step = schema.type === "integer" ? "1" : "any";
    const node = element("input", { ...attributes, type: "number", step });
    return { node, value: () => node.valueAsNumber };
  }
  const node = element("input", { ...attributes, type: "text" });
  return { node, value: () => node.value };
}

function choice(options) {
  const items = options.map(([text], index) => element("option", { value: index }, text));
  const node = element("select", {}, ...items);
  return { node, value: () => options[node.selectedIndex][1] };
}

/** A value in one short line. */
function preview(value) {
  const values = isRecord(value) ? Object.values(value) : [];
  const shown = values.length === 1 ? values[0] : value;
  if (isRecord(shown) && Object.keys(shown).length === 0) return "";
  const text = typeof shown === "string" ? shown : JSON.stringify(shown);
  return text.length > PREVIEW_CHARS ? `${text.slice(0, PREVIEW_CHARS)}…` : text;
}

function isRecord(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
