// The conversation as people see it. Data goes in as text only, never as markup.

import { QuestionPart, ToolPart, element } from "./parts.js";

const CANCELLED = {
  user: "You stopped this answer.",
  disconnected: "This answer was stopped, since nobody was reading it.",
  interrupted: "A newer message took this answer's place.",
  deleted: "This chat was deleted.",
};

/** The list of messages; keeps its end in sight unless the reader has scrolled up. */
export class Transcript {
  #root;
  #atEnd = true;

  constructor(root) {
    this.#root = root;
    root.addEventListener("scroll", () => {
      this.#atEnd = root.scrollHeight - root.scrollTop - root.clientHeight < 60;
    });
  }

  clear() {
    this.#root.replaceChildren();
    this.#atEnd = true;
  }

  /** Adds what the user said and returns its element. */
  user(text) {
    const node = element("article", { class: "message user" }, heading("You"), prose(text));
    this.#root.append(node);
    this.#atEnd = true;
    this.follow();
    return node;
  }

  /** Adds an answer that is complete. */
  agent(text) {
    this.#root.append(element("article", { class: "message agent" }, heading("Agent"), prose(text)));
    this.follow();
  }

  /** Adds an answer that is still to come; `reply(requestId, value)` answers its questions. */
  answer(reply) {
    const answer = new Answer(reply, () => this.follow());
    this.#root.append(answer.node);
    this.follow();
    return answer;
  }

  follow() {
    if (!this.#atEnd) return;
    requestAnimationFrame(() => {
      this.#root.scrollTop = this.#root.scrollHeight;
    });
  }
}

/** One answer, drawn as its events come in. */
class Answer {
  #reply;
  #changed;
  #open = null; // the part that takes the next piece of the same kind
  #tools = new Map();
  #question = null;
  #gap = false;
  #waiting = element("p", { class: "waiting" }, visuallyHidden("Waiting for the agent"));

  constructor(reply, changed) {
    this.#reply = reply;
    this.#changed = changed;
    this.node = element("article", { class: "message agent", "aria-busy": "true" }, heading("Agent"));
    this.node.append(this.#waiting);
  }

  /** Draws one event; types that this page does not know are left out. */
  apply(event) {
    const draw = DRAW.get(event.type);
    if (!draw) return;
    if (event.type !== "status" && event.type !== "tool_result") this.#question?.close();
    draw(this, event);
    this.#changed();
  }

  /** Ends the answer with a line in words; `kind` is `note` or `fault`. */
  end(kind, text) {
    this.#close();
    this.#question?.close();
    for (const tool of this.#tools.values()) tool.stop();
    this.#waiting.remove();
    if (text) this.node.append(element("p", { class: kind }, text));
    this.node.setAttribute("aria-busy", "false");
    this.#changed();
  }

  text(content) {
    if (this.#open?.kind !== "text") this.#begin("text", prose(""));
    this.#open.node.firstChild.appendData(content);
  }

  thinking(content) {
    if (this.#open?.kind !== "thinking") this.#begin("thinking", thought());
    this.#open.node.lastChild.firstChild.appendData(content);
  }

  status(content) {
    if (this.#open?.kind !== "status") this.#begin("status", element("p", { class: "note" }));
    this.#open.node.textContent = content;
  }

  toolCall(event) {
    const tool = new ToolPart(event);
    this.#tools.set(event.call_id, tool);
    this.#begin("tool", tool.node);
  }

  toolResult(event) {
    this.#tools.get(event.call_id)?.finish(event);
  }

  ask(event) {
    this.#question = new QuestionPart(event, (value) => this.#reply(event.request_id, value));
    this.#begin("question", this.#question.node);
  }

  gap() {
    this.#gap = true;
    this.#begin("note", element("p", { class: "note" }, "A part of this answer is no longer kept."));
  }

  done(event) {
    if (this.#gap) this.#begin("text", prose(event.reply));
    const total = event.usage?.total_tokens;
    this.end("note", total ? `${total.toLocaleString()} tokens` : "");
  }

  #begin(kind, node) {
    this.#close();
    this.#open = { kind, node };
    this.#waiting.before(node);
  }

  #close() {
    if (this.#open?.kind === "thinking") this.#open.node.firstChild.textContent = "Thoughts";
    this.#open = null;
  }
}

const DRAW = new Map(Object.entries({
  status: (answer, event) => answer.status(event.content),
  thinking: (answer, event) => answer.thinking(event.content),
  token: (answer, event) => answer.text(event.content),
  tool_call: (answer, event) => answer.toolCall(event),
  tool_result: (answer, event) => answer.toolResult(event),
  input_request: (answer, event) => answer.ask(event),
  gap: (answer) => answer.gap(),
  done: (answer, event) => answer.done(event),
  error: (answer, event) => answer.end("fault", event.message),
  cancelled: (answer, event) => answer.end("note", CANCELLED[event.reason] ?? "Stopped."),
}));

function heading(text) {
  return element("h2", { class: "visually-hidden" }, text);
}

function visuallyHidden(text) {
  return element("span", { class: "visually-hidden" }, text);
}

function prose(text) {
  const node = element("div", { class: "prose" });
  node.append(document.createTextNode(text));
  return node;
}

function thought() {
  const body = element("div", { class: "thinking-body" });
  body.append(document.createTextNode(""));
  return element("details", { class: "thinking" }, element("summary", {}, "Thinking…"), body);
}
