// The conversation as people see it. Data goes in as text only, never as markup.

import { fileList } from "./attachments.js";
import { stillCounts } from "./agent-client.js";
import { element, hidden } from "./dom.js";
import { Line, Thought } from "./lines.js";
import { Prose } from "./prose.js";
import { QuestionPart } from "./questions.js";
import { SubAgentPart } from "./sub-agents.js";
import { ToolPart } from "./tools.js";

const CANCELLED = {
  user: "You stopped this answer.",
  disconnected: "This answer was stopped, since nobody was reading it.",
  interrupted: "A newer message took this answer's place.",
  deleted: "This chat was deleted.",
};
const BESIDE_QUESTIONS = new Set(["status", "tool_result", "steered", "file"]);
const NEAR_END_PX = 60;

/** The list of messages; keeps its end in sight unless the reader has scrolled up. */
export class Transcript {
  #root;
  #toEnd;
  #say;
  #atEnd = true;

  /** `toEnd` is the button that leads to the newest message; `say(text)` tells screen readers. */
  constructor(root, toEnd, say) {
    this.#root = root;
    this.#toEnd = toEnd;
    this.#say = say;
    root.addEventListener("scroll", () => this.#look());
    root.addEventListener("click", copyCode);
    toEnd.addEventListener("click", () => this.#goToEnd());
  }

  clear(...content) {
    this.#root.replaceChildren(...content);
    this.#goToEnd();
  }

  get isEmpty() {
    return this.#root.querySelector(".message") === null;
  }

  /** Adds what the user said and returns its element. */
  user(text, files = []) {
    this.#root.querySelector(".welcome")?.remove();
    const words = element("div", { class: "prose" }, text);
    const node = element("article", { class: "message user" }, hidden("h2", "You"), words);
    if (files.length > 0) node.append(fileList(files));
    this.#root.append(node);
    this.#goToEnd();
    return node;
  }

  /** Adds an answer that is complete; `save(fileId)` gives one of its files. */
  agent(text, files = [], save) {
    const prose = new Prose();
    prose.append(text);
    prose.end();
    const node = element("article", { class: "message agent", "aria-busy": "false" });
    const given = files.map((file) => new FilePart(file, save).node);
    node.append(hidden("h2", "Agent"), prose.node, ...given);
    this.#root.append(node);
    this.#follow();
  }

  /**
   * Adds an answer that is still to come; `reply(requestId, value)` answers its questions, and
   * `save(fileId)` gives a file.
   */
  answer(reply, save) {
    this.#root.querySelector(".welcome")?.remove();
    const send = async (requestId, value) => {
      await reply(requestId, value);
      this.#goToEnd();
    };
    const answer = new Answer(send, () => this.#follow(), this.#say, save);
    this.#root.append(answer.node);
    this.#follow();
    return answer;
  }

  #goToEnd() {
    this.#atEnd = true;
    this.#follow();
  }

  #follow() {
    if (this.#atEnd) {
      requestAnimationFrame(() => {
        // The reader may have scrolled up meanwhile.
        if (this.#atEnd) this.#root.scrollTop = this.#root.scrollHeight;
      });
    }
    this.#toEnd.hidden = this.#atEnd;
  }

  #look() {
    const left = this.#root.scrollHeight - this.#root.scrollTop - this.#root.clientHeight;
    this.#atEnd = left < NEAR_END_PX;
    this.#toEnd.hidden = this.#atEnd;
  }
}

/** One answer, drawn as its events come in. */
class Answer {
  #reply;
  #save;
  #changed;
  #say;
  #open = null; // the part that takes the next piece of the same kind
  #tools = new Map();
  #said = new Map();
  #question = null;
  #hasGap = false;
  #text = "";
  #events = []; // what is drawn
  #isQuiet = false; // while it is drawn again
  #waiting = element("p", { class: "waiting" }, hidden("span", "Waiting for the agent"));

  constructor(reply, changed, say, save) {
    this.#reply = reply;
    this.#save = save;
    this.#changed = changed;
    this.#say = (text) => this.#isQuiet || say(text);
    this.node = element("article", { class: "message agent", "aria-busy": "true" });
    this.node.append(hidden("h2", "Agent"), this.#waiting);
  }

  get isOver() {
    return this.node.getAttribute("aria-busy") === "false";
  }

  /** Draws one event; types that this page does not know are left out. */
  apply(event) {
    const draw = DRAW.get(event.type);
    if (!draw) return;
    if (event.type !== "withdrawn") this.#events.push(event);
    if (event.parent) {
      this.#nested(event);
      return;
    }
    if (!BESIDE_QUESTIONS.has(event.type)) this.#question?.close();
    draw(this, event);
    this.#changed();
  }

  /** Says in the answer's place why it does not begin yet; null when it does. */
  hold(text) {
    this.#waiting.replaceChildren(text === null ? hidden("span", "Waiting for the agent") : text);
    this.#waiting.classList.toggle("note", text !== null);
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
    this.#say(this.#text === "" ? text : `The agent has answered: ${this.#text}`);
  }

  text(content) {
    if (this.#open?.kind !== "text") this.#begin("text", new Prose(this.#changed));
    this.#open.part.append(content);
    this.#text += content;
  }

  thinking(content) {
    if (this.#open?.kind !== "thinking") this.#begin("thinking", new Thought());
    this.#open.part.append(content);
  }

  status(content) {
    if (this.#open?.kind !== "status") this.#begin("status", new Line());
    this.#open.part.node.textContent = content;
  }

  toolCall(event) {
    const tool = new ToolPart(event);
    this.#tools.set(event.call_id, tool);
    this.#begin("tool", tool);
    this.#say(`The agent uses ${event.tool}.`);
  }

  toolResult(event) {
    this.#tools.get(event.call_id)?.finish(event);
  }

  /** What a sub-agent does, in the call that it works for, if that is still kept. */
  #nested(event) {
    const part = this.#tools.get(event.parent)?.subAgent(event.agent, () => {
      this.#say(`The agent ${event.agent} is at work.`);
      return new SubAgentPart(event.agent, this.#tools, this.#changed);
    });
    part?.apply(event);
    this.#changed();
  }

  ask(event) {
    const answer = async (value) => {
      await this.#reply(event.request_id, value);
      document.getElementById("message").focus();
    };
    this.#question = new QuestionPart(event, answer);
    this.#begin("question", this.#question);
    this.#say(`The agent asks: ${event.prompt}`);
    if (isKeyboardFree()) this.#question.focus();
  }

  /** Takes back what counts no more: another worker goes on from an earlier place. */
  withdraw(event) {
    const kept = this.#events.filter((one) => stillCounts(one, event));
    this.#close();
    this.node.replaceChildren(this.node.firstChild, this.#waiting);
    this.#events = [];
    this.#tools.clear();
    this.#said.clear();
    this.#question = null;
    this.#text = "";
    this.#isQuiet = true;
    for (const one of kept) this.apply(one);
    this.#isQuiet = false;
  }

  /** What the user has said meanwhile, in the place where the turn got it. */
  steered(event) {
    const known = this.#said.get(event.steer_id);
    if (known) {
      known.take();
      return;
    }
    const said = new SaidPart(event);
    this.#said.set(event.steer_id, said);
    this.#begin("said", said);
    this.#say("The agent has your message.");
  }

  /** A file of the agent's, to be saved. */
  give(event) {
    this.#begin("file", new FilePart(event, this.#save));
    this.#say(`The agent gives you the file ${event.name}.`);
  }

  gap() {
    this.#hasGap = true;
    this.#begin("note", new Line("A part of this answer is no longer kept."));
  }

  done(event) {
    if (this.#hasGap) this.text(event.reply);
    const total = event.usage?.total_tokens;
    this.end("note", total ? `${total.toLocaleString()} tokens` : "");
  }

  #begin(kind, part) {
    this.#close();
    this.hold(null);
    this.#open = { kind, part };
    this.#waiting.before(part.node);
  }

  #close() {
    this.#open?.part.end?.();
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
  tool_request: (answer, event) => {
    for (const call of event.calls) answer.toolCall(call);
  },
  steered: (answer, event) => answer.steered(event),
  file: (answer, event) => answer.give(event),
  gap: (answer) => answer.gap(),
  withdrawn: (answer, event) => answer.withdraw(event),
  done: (answer, event) => answer.done(event),
  error: (answer, event) => answer.end("fault", event.message),
  cancelled: (answer, event) => answer.end("note", CANCELLED[event.reason] ?? "Stopped."),
}));

/** A file that the agent gives: fetched when it is wanted, as only the page has the token. */
class FilePart {
  constructor({ file_id: id, name, size }, save) {
    const button = element("button", { type: "button" }, `Save ${name} (${size.toLocaleString()} bytes)`);
    const fault = element("p", { class: "fault", role: "status" });
    this.node = element("div", { class: "given" }, button, fault);
    button.addEventListener("click", async () => {
      try {
        const url = URL.createObjectURL(await save(id));
        element("a", { href: url, download: name }).click();
        setTimeout(() => URL.revokeObjectURL(url), 60_000);
      } catch (error) {
        fault.textContent = error.message;
      }
    });
  }
}

/** What the user has said while the agent was at work. */
class SaidPart {
  #state = element("p", { class: "note" }, "The agent reads this at its next step.");

  constructor({ content, status }) {
    const words = element("div", { class: "prose" }, content);
    this.node = element("section", { class: "said", "aria-label": "You" }, words, this.#state);
    if (status === "taken") this.take();
  }

  take() {
    this.#state.remove();
  }
}

/** Whether a question may take the keyboard: nobody is writing or has something else in hand. */
function isKeyboardFree() {
  const active = document.activeElement;
  return active === null || active === document.body || (active.id === "message" && active.value === "");
}

async function copyCode({ target }) {
  if (!target.classList.contains("copy")) return;
  const text = target.closest(".code").querySelector("code").textContent;
  try {
    await navigator.clipboard.writeText(text);
    target.textContent = "Copied";
  } catch {
    target.textContent = "Not allowed"; // by the browser's settings
  }
  setTimeout(() => {
    target.textContent = "Copy";
  }, 2_000);
}
