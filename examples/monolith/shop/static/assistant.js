// The box at the foot of each page. The site's own cookie logs it in: there is no token to send.
"use strict";

const assistant = document.getElementById("assistant");
const log = document.getElementById("assistant-log");
const form = document.getElementById("assistant-form");
const field = document.getElementById("assistant-message");
const sendButton = document.getElementById("assistant-send");
const stopButton = document.getElementById("assistant-stop");

// One conversation for each tab and page load; the host knows it by any name of our choice.
const sessionId = Array.from(crypto.getRandomValues(new Uint32Array(4)), (n) => n.toString(36)).join("-");
const chatUrl = `${assistant.dataset.url}/chat/${sessionId}`;

function post(url, body) {
  const headers = { "Content-Type": "application/json" };
  return fetch(url, { method: "POST", headers, body: JSON.stringify(body) });
}

function line(kind, text) {
  const node = document.createElement("p");
  node.className = kind;
  node.textContent = text;
  log.append(node);
  return node;
}

/** Calls `handle` with each event: blocks end with an empty line, their JSON is on one line. */
async function readEvents(response, handle) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const blocks = (text + value).split("\n\n");
    text = blocks.pop();
    for (const block of blocks) handle(JSON.parse(/^data: (.*)$/m.exec(block)[1]));
  }
}

async function ask(message) {
  line("question", message);
  const response = await post(chatUrl, { message });
  if (!response.ok) throw new Error((await response.json()).message);
  let answer = null;
  let ended = false;
  await readEvents(response, (event) => {
    if (event.type === "tool_call") line("tool", `Looking up: ${JSON.stringify(event.input)}`);
    if (event.type === "token" && !event.parent) {
      answer = answer ?? line("answer", "");
      answer.append(event.content);
    }
    if (event.type === "cancelled") line("tool", "Stopped.");
    if (event.type === "error") line("fault", event.message);
    ended = ended || ["done", "cancelled", "error"].includes(event.type);
  });
  if (!ended) throw new Error("The connection is lost. Please ask again.");
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const message = field.value;
  field.value = "";
  sendButton.hidden = true;
  stopButton.hidden = false;
  try {
    await ask(message);
  } catch (error) {
    line("fault", error.message);
  }
  sendButton.hidden = false;
  stopButton.hidden = true;
});

stopButton.addEventListener("click", () => post(`${chatUrl}/cancel`, {}));
