// The chat page: one session at a time, named in the address so that a reload finds it again.

import { Client, randomName } from "./client.js";
import { element } from "./parts.js";
import { Tokens } from "./tokens.js";
import { TurnReader } from "./turn.js";
import { Transcript } from "./view.js";

const SESSION_ID = /^(?!\.{1,2}$)[A-Za-z0-9._~-]{1,128}$/;

const byId = (id) => document.getElementById(id);
const composer = byId("composer");
const field = byId("message");
const sendButton = byId("send");
const stopButton = byId("stop");
const log = byId("log");

const transcript = new Transcript(log);
const client = new Client(new Tokens(byId("token-dialog")));

let sessionId = null;
let reader = null; // of the turn that is being drawn

function notice(text) {
  byId("notice").textContent = text ?? "";
}

function showBusy() {
  sendButton.hidden = reader !== null;
  stopButton.hidden = reader === null;
  stopButton.disabled = false;
}

/** Shows the session that the address names, and goes on with the turn that it runs. */
async function showSession() {
  reader?.stop();
  reader = null;
  sessionId = sessionInAddress();
  transcript.clear();
  notice(null);
  showBusy();
  showWelcome();
  if (sessionId !== null) await load(sessionId);
}

function sessionInAddress() {
  const name = location.hash.slice(1);
  return SESSION_ID.test(name) ? name : null;
}

async function load(id) {
  try {
    const session = await client.session(id);
    if (id !== sessionId || reader !== null || session === null) return;
    log.replaceChildren();
    for (const { role, content } of session.messages) drawMessage(role, content);
    if (session.state === "running") await resume(session.turn_id);
  } catch (error) {
    if (id === sessionId) notice(error.message);
  }
}

function drawMessage(role, content) {
  if (role === "user") transcript.user(content);
  else if (content) transcript.agent(content);
}

function showWelcome() {
  const greeting = element("strong", {}, "What can I do for you?");
  const text = "The answer appears here as it is written.";
  log.replaceChildren(element("p", { class: "welcome" }, greeting, text));
}

async function resume(turnId) {
  const answer = newAnswer();
  const turn = newReader(answer);
  await follow(turn, answer, () => turn.resume(turnId));
}

async function send(text) {
  if (sessionId === null) {
    sessionId = randomName();
    history.replaceState(null, "", `#${sessionId}`);
  }
  notice(null);
  log.querySelector(".welcome")?.remove();
  const question = transcript.user(text);
  const answer = newAnswer();
  const turn = newReader(answer);
  const error = await follow(turn, answer, () => turn.send(text));
  if (error === null || turn.turnId !== null) return;
  question.remove();
  answer.node.remove();
  refused(text, error);
}

/** The message started no turn: gives it back to the user and says why. */
function refused(text, error) {
  if (field.value === "") setMessage(text);
  if (log.childElementCount === 0) showWelcome();
  notice(error.message);
}

function newAnswer() {
  const id = sessionId;
  return transcript.answer((requestId, value) => client.input(id, requestId, value));
}

function newReader(answer) {
  return new TurnReader(client, sessionId, { event: (event) => answer.apply(event), notice });
}

/** Draws a turn until it ends or the page turns to something else; returns what went wrong. */
async function follow(turn, answer, start) {
  reader = turn;
  showBusy();
  let fault = null;
  try {
    await start();
    if (turn.stopped) answer.end("note", "You stopped this answer.");
  } catch (error) {
    fault = error;
    answer.end("fault", error.message);
  }
  if (reader !== turn) return null;
  reader = null;
  showBusy();
  notice(null);
  return fault;
}

async function stop() {
  const turn = reader;
  stopButton.disabled = true;
  field.focus();
  if (turn.turnId === null) turn.stop(); // or it would send the message again
  try {
    await client.cancel(sessionId, turn.turnId);
  } catch (error) {
    notice(error.message);
  }
  stopButton.disabled = false;
}

function setMessage(text) {
  field.value = text;
  fitField();
}

function fitField() {
  field.style.height = "auto";
  field.style.height = `${field.scrollHeight + field.offsetHeight - field.clientHeight}px`;
}

function submit(event) {
  event.preventDefault();
  const text = field.value.trim();
  if (text === "" || reader !== null) return;
  setMessage("");
  send(text);
}

composer.addEventListener("submit", submit);
field.addEventListener("input", fitField);
field.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) submit(event);
});
stopButton.addEventListener("click", stop);
byId("new-chat").addEventListener("click", () => {
  if (sessionId !== null) history.pushState(null, "", location.pathname + location.search);
  showSession();
  field.focus();
});
addEventListener("popstate", showSession);
showSession();
