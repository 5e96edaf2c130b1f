// The chat page: one session at a time, named in the address so that a reload finds it again.

import { AgentClient, randomName } from "./agent-client.js";
import { Announcer } from "./announcer.js";
import { Attachments } from "./attachments.js";
import { Conversation } from "./conversation.js";
import { element } from "./dom.js";
import { SessionList } from "./sessions.js";
import { Tokens } from "./tokens.js";
import { Transcript } from "./view.js";
import { Watcher } from "./watcher.js";

const SESSION_ID = /^(?!\.{1,2}$)[A-Za-z0-9._~-]{1,128}$/;
const REFRESH_MS = 15_000;

const byId = (id) => document.getElementById(id);
const field = byId("message");
const sendButton = byId("send");
const stopButton = byId("stop");
const drawer = byId("drawer");
const narrow = matchMedia("(max-width: 55rem)");

const tokens = new Tokens(byId("token-dialog"));
const baseUrl = new URL("../", import.meta.url); // the mount prefix, wherever a proxy puts it
const client = new AgentClient({ baseUrl, getToken: tokens.get });
const announcer = new Announcer(byId("announcer"));
const transcript = new Transcript(byId("log"), byId("to-end"), announcer.say);
const attachments = new Attachments(byId("attached"), {
  upload: (file) => client.upload(begun().sessionId, file),
  forget: (id) => client.removeFile(id).catch(() => undefined), // it goes with its session
  changed: () => showBusy(),
  say: announcer.say,
});
const list = new SessionList(client, byId("sessions"), askToDelete);
const watcher = new Watcher(client, refreshList);

let conversation = null; // none before the first message of a new chat
let isRefreshing = false;
let shallRefresh = false; // something has changed since it began to
let listed = []; // the sessions as they were when the host was asked last

function notice(text) {
  byId("notice").textContent = text ?? "";
}

// -- one session

/** Shows the session that the address names, and goes on with the turn that it runs. */
async function showSession() {
  conversation?.close();
  conversation = null;
  notice(null);
  showConnection({ state: "open" });
  transcript.clear(welcome());
  attachments.take(); // they were another session's
  const id = sessionInAddress();
  if (id !== null) conversation = newConversation(id);
  showBusy();
  await sync();
  refreshList();
}

function sessionInAddress() {
  const name = location.hash.slice(1);
  return SESSION_ID.test(name) ? name : null;
}

function newConversation(id) {
  return new Conversation(id, client, transcript, {
    changed: () => {
      showBusy();
      watchOthers();
      if (conversation?.isReading === false) showConnection({ state: "open" });
      refreshList();
    },
    connection: showConnection,
    refused: giveBack,
    fault: (error) => notice(error.message),
  });
}

async function sync() {
  const shown = conversation;
  if (shown === null) return;
  try {
    const isKnown = await shown.sync();
    if (!isKnown && shown === conversation && !transcript.isEmpty) notice("This chat was deleted.");
  } catch (error) {
    if (shown === conversation) notice(error.message);
  }
}

function welcome() {
  const greeting = element("strong", {}, "What can I do for you?");
  return element("p", { class: "welcome" }, greeting, "The answer appears here as it is written.");
}

/** The conversation, a new one where there is none. */
function begun() {
  if (conversation === null) {
    conversation = newConversation(randomName());
    history.replaceState(null, "", `#${conversation.sessionId}`);
  }
  return conversation;
}

function send(text) {
  begun();
  const files = attachments.take();
  notice(null);
  tokens.mayAsk = true;
  list.name(conversation.sessionId, text);
  announcer.say("Sent.");
  conversation.send(text, files);
}

/** The message started no turn: gives it back to the user and says why. */
function giveBack(text, error, files) {
  if (field.value === "") setMessage(text);
  attachments.restore(files);
  if (transcript.isEmpty) transcript.clear(welcome());
  notice(error.message);
}

async function stop() {
  stopButton.disabled = true;
  field.focus();
  try {
    await conversation?.stop();
  } catch (error) {
    notice(error.message);
  }
  stopButton.disabled = false;
}

function showConnection({ state, message }) {
  const badge = byId("connection");
  const isLost = state === "waiting" || !navigator.onLine;
  badge.textContent = !isLost ? "" : navigator.onLine ? "Reconnecting…" : "Offline";
  badge.title = isLost ? (message ?? "") : "";
}

function showBusy() {
  const isReading = conversation?.isReading ?? false;
  stopButton.hidden = !isReading;
  sendButton.hidden = isReading && field.value.trim() === "" && attachments.isEmpty;
  sendButton.disabled = (conversation?.isFull ?? false) || attachments.isBusy;
}

// -- the list of sessions

/** Asks the host for the list, once at a time, and looks whether another tab went on here. */
async function refreshList() {
  shallRefresh = true;
  if (isRefreshing) return;
  isRefreshing = true;
  while (shallRefresh && !document.hidden) {
    shallRefresh = false;
    try {
      listed = await list.refresh(() => conversation?.sessionId);
      byId("attach").hidden = !list.takesFiles;
      watchOthers();
      const current = listed.find((one) => one.session_id === conversation?.sessionId);
      if (current && conversation.isBehind(current)) await sync();
    } catch {
      break; // what matters is told by the conversation; the next time it may succeed
    }
  }
  isRefreshing = false;
}

/** A browser has few connections to a site: what the user reads and sends comes first. */
function watchOthers() {
  const isFree = !document.hidden && !conversation?.isReading;
  const others = listed.filter(
    ({ session_id: sessionId, state }) => state === "running" && sessionId !== conversation?.sessionId,
  );
  watcher.watch(isFree ? others.map((one) => one.session_id) : []);
}

function askToDelete(sessionId, title) {
  const dialog = byId("delete-dialog");
  byId("delete-title").textContent = `Delete “${title}”?`;
  dialog.returnValue = "";
  dialog.showModal();
  const decided = () => dialog.returnValue === "delete" && remove(sessionId);
  dialog.addEventListener("close", decided, { once: true });
}

async function remove(sessionId) {
  try {
    if (conversation?.sessionId === sessionId) newChat();
    await client.remove(sessionId);
  } catch (error) {
    notice(error.message);
  }
  (narrow.matches ? field : byId("new-chat")).focus();
  refreshList();
}

function newChat() {
  if (conversation !== null) history.pushState(null, "", location.pathname + location.search);
  showSession();
}

/** On a narrow screen the list lies in a drawer, beside the chat elsewhere. */
function placeList() {
  drawer.close();
  const home = narrow.matches ? drawer : byId("sidebar");
  home.append(byId("chats"));
}

// -- files and the message field

/** Attaches files, if this host takes any; whether it does. */
function attach(files) {
  if (!list.takesFiles || !files?.length) return false;
  attachments.add(files);
  field.focus();
  return true;
}

function setMessage(text) {
  field.value = text;
  fitField();
}

function fitField() {
  field.style.height = "auto";
  field.style.height = `${field.scrollHeight + field.offsetHeight - field.clientHeight}px`;
  showBusy();
}

function submit(event) {
  event.preventDefault();
  const text = field.value.trim() || attachments.names;
  if (text === "" || conversation?.isFull || attachments.isBusy) return;
  setMessage("");
  send(text);
}

byId("composer").addEventListener("submit", submit);
field.addEventListener("input", fitField);
field.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) submit(event);
});
stopButton.addEventListener("click", stop);
byId("attach").addEventListener("click", () => byId("files").click());
byId("files").addEventListener("change", ({ target }) => {
  attach(target.files);
  target.value = ""; // the same file may be chosen again
});
field.addEventListener("paste", (event) => {
  if (attach(event.clipboardData?.files)) event.preventDefault();
});
for (const type of ["dragover", "drop"]) {
  byId("chat").addEventListener(type, (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault(); // or the browser leaves the page for the file
    byId("chat").classList.toggle("dropping", type === "dragover");
    if (type === "drop") attach(event.dataTransfer.files);
  });
}
byId("chat").addEventListener("dragleave", () => byId("chat").classList.remove("dropping"));
byId("new-chat").addEventListener("click", () => {
  drawer.close();
  newChat();
  field.focus();
});
byId("menu").addEventListener("click", () => drawer.showModal());
drawer.addEventListener("click", ({ target }) => {
  if (target === drawer || target.closest("a, #close-menu")) drawer.close();
});
narrow.addEventListener("change", placeList);
addEventListener("popstate", () => {
  if (sessionInAddress() !== (conversation?.sessionId ?? null)) showSession();
});
for (const type of ["online", "offline"]) {
  addEventListener(type, () => showConnection({ state: "open" }));
}
document.addEventListener("visibilitychange", () => {
  watchOthers();
  if (document.hidden) return;
  if (conversation?.isReading === false) sync();
  refreshList();
});
setInterval(refreshList, REFRESH_MS);
placeList();
showSession();
