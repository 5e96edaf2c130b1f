// Shows what all workers tell, once a second. Names are text here, never markup.

const TOKEN_KEY = "agent-host-admin-token";
const REFUSED = [401, 403];
const SILENCE_MILLISECONDS = 10_000;
const MAX_PAUSE_MILLISECONDS = 15_000;
const MAX_ROWS = 200;
const MINUTES = 60;
const CHART = { width: 600, height: 100 };
const SVG = "http://www.w3.org/2000/svg";

const byId = (id) => document.getElementById(id);
/** What was last seen of each turn, for its rate. */
let seen = new Map();
let stream = null;

// -- the connection

function headers() {
  const token = sessionStorage.getItem(TOKEN_KEY);
  return token ? { Authorization: `Bearer ${token}` } : {};
}

async function follow() {
  let failures = 0;
  while (!document.hidden) {
    stream = new AbortController();
    try {
      const response = await fetch("admin/events", { headers: headers(), signal: stream.signal });
      if (REFUSED.includes(response.status)) return askForToken(response);
      if (!response.ok) throw new Error(`the host answered ${response.status}`);
      failures = 0;
      await readAll(response.body);
      tell("Reconnecting …", true);
    } catch (fault) {
      if (document.hidden) break;
      failures += 1;
      tell(`Not connected: ${fault.message}.`, true);
    }
    const pause = Math.min(1000 * 2 ** failures, MAX_PAUSE_MILLISECONDS);
    await new Promise((resume) => setTimeout(resume, pause * (0.5 + Math.random() / 2)));
  }
  tell("Paused while this page is hidden.", false);
  following = false;
}

async function readAll(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const silence = setTimeout(() => stream.abort(new Error("no word of the host")), SILENCE_MILLISECONDS);
    const { done, value } = await reader.read().finally(() => clearTimeout(silence));
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const line = block.split("\n").find((one) => one.startsWith("data: "));
      if (line) show(JSON.parse(line.slice("data: ".length)));
    }
  }
}

function tell(text, isFault) {
  const place = byId("connection");
  if (place.textContent !== text) place.textContent = text;
  place.classList.toggle("fault", isFault);
}

async function askForToken(response) {
  following = false;
  const told = await response.json().catch(() => ({}));
  sessionStorage.removeItem(TOKEN_KEY);
  byId("refusal").textContent = told.message ?? "Refused.";
  byId("live").hidden = true;
  byId("login").hidden = false;
  byId("token").focus();
  tell("Not logged in.", false);
}

async function cancel(turn, button) {
  if (button.ariaDisabled === "true") return;
  button.ariaDisabled = "true"; // a button that is disabled would lose the focus
  const body = JSON.stringify({ tenant: turn.tenant, session_id: turn.session_id, turn_id: String(turn.turn) });
  try {
    const options = { method: "POST", body, headers: { ...headers(), "Content-Type": "application/json" } };
    const response = await fetch("admin/cancel", options);
    if (!response.ok) throw new Error((await response.json()).message);
  } catch (fault) {
    tell(`Not cancelled: ${fault.message}`, true);
    button.ariaDisabled = "false";
  }
}

// -- a snapshot

function show(snapshot) {
  if (snapshot.error) return tell("The session store does not answer.", true);
  tell("Live", false);
  byId("login").hidden = true;
  byId("live").hidden = false;
  const turns = snapshot.workers.flatMap(turnsOf).sort((a, b) => a.begun_at - b.begun_at);
  noteRates(turns);
  const infos = snapshot.workers.map((worker) => worker.info);
  showFigures(infos, turns);
  showHour(infos, snapshot.at);
  showTurns(turns, infos, snapshot.at);
  fill("workers", snapshot.workers, (worker) => worker.worker_id, (worker) => workerCells(worker, snapshot.at));
}

function turnsOf({ worker_id, info }) {
  return info.live.map((turn) => ({
    ...turn,
    worker: `${info.hostname}:${info.pid}`,
    sentAt: info.sent_at,
    key: JSON.stringify([turn.tenant, turn.session_id, turn.turn, worker_id]),
  }));
}

function noteRates(turns) {
  const before = seen;
  seen = new Map();
  for (const turn of turns) {
    const last = before.get(turn.key);
    const seconds = last ? turn.sentAt - last.sentAt : 0;
    if (last && seconds <= 0) turn.rate = last.rate;
    else turn.rate = last ? (turn.tokens - last.tokens) / seconds : 0;
    seen.set(turn.key, seconds > 0 || !last ? { ...turn } : last);
  }
}

const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);

function showFigures(infos, turns) {
  const bounded = infos.every((info) => info.slots !== null);
  const slots = bounded ? ` of ${sum(infos.map((info) => info.slots))}` : "";
  byId("turn-count").textContent = sum(infos.map((info) => info.turns));
  byId("token-rate").textContent = Math.round(sum(turns.map((turn) => turn.rate)));
  byId("slot-count").textContent = sum(infos.map((info) => info.slots_used)) + slots;
  byId("worker-count").textContent = infos.length;
}

function showHour(infos, at) {
  const now = Math.floor(at / 60);
  const most = new Array(MINUTES).fill(0);
  let begun = 0;
  for (const [minute, running, started] of infos.flatMap((info) => info.hour)) {
    const place = minute - now + MINUTES - 1;
    if (place < 0 || place >= MINUTES) continue;
    most[place] += running;
    begun += started;
  }
  const peak = Math.max(...most);
  byId("hour-text").textContent = `${begun} turns begun by these workers; at most ${peak} at once.`;
  const width = CHART.width / MINUTES;
  const bars = most.map((value, place) => {
    const height = peak ? (value / peak) * (CHART.height - 4) : 0;
    const bar = document.createElementNS(SVG, "rect");
    const box = { x: place * width, y: CHART.height - height, width: width - 1, height };
    for (const [name, number] of Object.entries(box)) bar.setAttribute(name, number.toFixed(1));
    return bar;
  });
  byId("chart").replaceChildren(...bars);
}

function showTurns(turns, infos, at) {
  const shown = turns.slice(0, MAX_ROWS);
  const more = turns.length - shown.length + sum(infos.map((info) => info.left_out));
  const none = turns.length ? "" : "No turn runs.";
  byId("turns-more").textContent = more ? `The oldest ${shown.length}; ${more} more.` : none;
  const focused = document.activeElement?.closest("#turns tr")?.rowIndex;
  fill("turns", shown, (turn) => turn.key, (turn) => turnCells(turn, at), stopButton);
  if (focused !== undefined && document.activeElement === document.body) {
    // The turn whose button had the focus has ended.
    const next = byId("turns").rows[Math.min(focused - 1, byId("turns").rows.length - 1)];
    (next?.querySelector("button") ?? byId("turns-title")).focus();
  }
}

function turnCells(turn, at) {
  return {
    Tenant: turn.tenant,
    Session: turn.session_id,
    Turn: turn.turn,
    State: { running: "runs", asking: "asks", waiting: "waits" }[turn.state],
    For: duration(at - turn.begun_at),
    "Tokens/s": turn.rate.toFixed(1),
    Tokens: turn.tokens,
    Worker: turn.worker,
  };
}

function workerCells({ info, seen_at }, at) {
  const slots = info.slots === null ? "" : ` of ${info.slots}`;
  return {
    Host: info.hostname,
    Process: info.pid,
    "Up for": duration(at - info.started_at),
    Turns: info.turns,
    Slots: `${info.slots_used}${slots}`,
    State: info.draining ? "drains" : "serves",
    "Heard of": `${Math.max(0, Math.round(at - seen_at))} s ago`,
  };
}

function stopButton(turn) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Stop";
  button.setAttribute("aria-label", `Stop turn ${turn.turn} of session ${turn.session_id}, ${turn.tenant}`);
  button.addEventListener("click", () => cancel(turn, button));
  return button;
}

/** Make a table's rows those of `items`; rows that stay keep their nodes, and the focus. */
function fill(id, items, keyOf, cellsOf, makeButton) {
  const body = byId(id);
  const known = new Map([...body.rows].map((row) => [row.dataset.key, row]));
  items.forEach((item, place) => {
    const cells = Object.entries(cellsOf(item));
    const row = known.get(keyOf(item)) ?? makeRow(keyOf(item), cells, makeButton?.(item));
    known.delete(row.dataset.key);
    cells.forEach(([, value], at) => {
      if (row.cells[at].textContent !== String(value)) row.cells[at].textContent = value;
    });
    if (body.rows[place] !== row) body.insertBefore(row, body.rows[place] ?? null);
  });
  for (const row of known.values()) row.remove();
}

function makeRow(key, cells, button) {
  const row = document.createElement("tr");
  row.setAttribute("role", "row");
  row.dataset.key = key;
  for (const [name] of cells) row.append(makeCell(name));
  if (button) {
    const cell = makeCell("End it");
    cell.append(button);
    row.append(cell);
  }
  return row;
}

function makeCell(name) {
  const cell = document.createElement("td");
  cell.setAttribute("role", "cell");
  cell.dataset.name = name;
  return cell;
}

function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

// -- begin

let following = false;

function begin() {
  if (following || document.hidden) return;
  following = true;
  tell("Connecting …", false);
  follow();
}

byId("login").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(TOKEN_KEY, byId("token").value.trim());
  byId("token").value = "";
  begin();
});
// Workers tell of their turns while somebody looks.
document.addEventListener("visibilitychange", () => (document.hidden ? stream?.abort() : begin()));
begin();
