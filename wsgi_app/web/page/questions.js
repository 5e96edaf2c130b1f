// Questions of the agent, with the form that fits the JSON schema of the answer.

import { element, isRecord, preview } from "./dom.js";

const MAX_BUTTONS = 6; // more choices than that become a list

/** A question; `answer(value)` sends what the user says. */
export class QuestionPart {
  #fields;
  #fault = element("p", { class: "fault", role: "alert" });
  #said = element("p", { class: "note" });
  #answer;

  constructor(event, answer) {
    this.#answer = answer;
    this.#fields = element("fieldset");
    this.node = element("form", { class: "question" }, this.#fields, this.#said, this.#fault);
    const schema = isRecord(event.schema) ? event.schema : {};
    const choices = choicesOf(schema);
    if (choices.length > 0 && choices.length <= MAX_BUTTONS) this.#askByButtons(event, choices);
    else if (isRecord(schema.properties)) this.#askByFields(event, schema);
    else this.#askByField(event, schema);
  }

  /** Takes the keyboard to the answer. */
  focus() {
    this.#fields.querySelector("input, select, textarea, button")?.focus();
  }

  /** The agent waits no longer. */
  close() {
    this.#fields.disabled = true;
  }

  #askByButtons(event, choices) {
    const buttons = choices.map(([label, value]) => {
      const button = element("button", { type: "button" }, label);
      button.addEventListener("click", () => this.#send(value, label));
      return button;
    });
    const row = element("div", { class: "choices" }, ...buttons);
    this.#fields.append(element("legend", {}, event.prompt), row);
  }

  #askByField(event, schema) {
    const field = fieldFor(schema, true);
    this.#fields.append(labelled(event.prompt, schema, field), submitButton());
    this.#onSubmit(() => field.value());
  }

  #askByFields(event, schema) {
    const required = new Set(Array.isArray(schema.required) ? schema.required : []);
    const fields = Object.entries(schema.properties).map(([name, part]) => {
      const partSchema = isRecord(part) ? part : {};
      const field = fieldFor(partSchema, required.has(name));
      const title = typeof partSchema.title === "string" ? partSchema.title : name;
      this.#fields.append(labelled(title, partSchema, field));
      return [name, field];
    });
    this.#fields.className = "many";
    this.#fields.prepend(element("legend", {}, event.prompt));
    this.#fields.append(submitButton());
    this.#onSubmit(() => {
      const given = fields.map(([name, field]) => [name, field.value()]);
      return Object.fromEntries(given.filter(([, value]) => value !== undefined));
    });
  }

  #onSubmit(read) {
    this.node.addEventListener("submit", (submit) => {
      submit.preventDefault();
      const value = read();
      this.#send(value, typeof value === "string" ? value : preview(value));
    });
  }

  async #send(value, words) {
    this.close();
    this.#fault.textContent = "";
    try {
      await this.#answer(value);
      this.#said.textContent = `You answered: ${words}`;
      this.node.dataset.state = "answered";
    } catch (error) {
      this.#fault.textContent = error.message;
      this.#fields.disabled = error.code === "no_pending_input";
    }
  }
}

function submitButton() {
  return element("button", { type: "submit" }, "Answer");
}

function labelled(title, schema, field) {
  const label = element("label", {}, element("span", {}, title), field.node);
  if (typeof schema.description === "string") {
    label.append(element("small", {}, schema.description));
  }
  return label;
}

/** `[label, value]` of what a schema lets choose from. */
function choicesOf(schema) {
  const named = schema.oneOf ?? schema.anyOf;
  if (Array.isArray(named) && named.length > 0 && named.every((one) => isRecord(one) && "const" in one)) {
    return named.map((one) => [String(one.title ?? preview(one.const)), one.const]);
  }
  if (Array.isArray(schema.enum)) {
    return schema.enum.map((item, index) => [String(schema.enumNames?.[index] ?? preview(item)), item]);
  }
  return schema.type === "boolean" ? [["Yes", true], ["No", false]] : [];
}

/** The form field that fits a schema, and how to read it; undefined for what was left empty. */
function fieldFor(schema, isRequired) {
  const choices = choicesOf(schema);
  if (choices.length > 0) return selectFor(choices, schema.default, isRequired);
  if (schema.type === "number" || schema.type === "integer") return numberFor(schema, isRequired);
  if (schema.type === "array" || schema.type === "object") return jsonFor(schema, isRequired);
  return textFor(schema, isRequired);
}

function selectFor(choices, preset, isRequired) {
  const none = element("option", { value: "" }, "—");
  const options = choices.map(([label], index) => element("option", { value: String(index) }, label));
  const node = element("select", {}, ...(isRequired ? options : [none, ...options]));
  const known = choices.findIndex(([, value]) => value === preset);
  if (known >= 0) node.value = String(known);
  return { node, value: () => (node.value === "" ? undefined : choices[Number(node.value)][1]) };
}

function numberFor(schema, isRequired) {
  const node = element("input", { type: "number", step: schema.type === "integer" ? "1" : "any" });
  set(node, { required: isRequired, min: schema.minimum, max: schema.maximum, value: schema.default });
  return { node, value: () => (node.value === "" ? undefined : node.valueAsNumber) };
}

function textFor(schema, isRequired) {
  const kinds = { email: "email", uri: "url", date: "date" };
  const node = element("input", { type: kinds[schema.format] ?? "text", autocomplete: "off" });
  const { minLength, maxLength, default: value } = schema;
  set(node, { required: isRequired, minLength, maxLength, value });
  return { node, value: () => (node.value === "" && !isRequired ? undefined : node.value) };
}

function jsonFor(schema, isRequired) {
  const node = element("textarea", { rows: "3", spellcheck: "false", placeholder: "JSON" });
  set(node, { required: isRequired });
  node.addEventListener("input", () => {
    node.setCustomValidity(node.value === "" || isJson(node.value) ? "" : "This is not JSON.");
  });
  return { node, value: () => (node.value === "" ? undefined : JSON.parse(node.value)) };
}

/** Takes what the schema has, as long as the field takes it. */
function set(node, properties) {
  for (const [name, value] of Object.entries(properties)) {
    const isPlain = ["string", "number", "boolean"].includes(typeof value);
    if (isPlain && value !== false) node.setAttribute(name, value === true ? "" : String(value));
  }
}

function isJson(text) {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false; // still being typed
  }
}
