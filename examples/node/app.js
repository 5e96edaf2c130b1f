// An Express site in front of the host: it passes /agents on, and asks the agent itself.

import express from "express";

import { AgentClient } from "../../wsgi_app/web/page/agent-client.js";
import { passOn } from "./proxy.js";

const { AGENTS_URL = "http://127.0.0.1:8000/", AGENTS_TOKEN, PORT = "3000" } = process.env;
const agents = new AgentClient({ baseUrl: AGENTS_URL, token: AGENTS_TOKEN });

/** The agent's whole answer to one question, in a session that is forgotten with it. */
async function ask(question, signal) {
  const turn = agents.chat(null, question, { signal });
  try {
    for await (const event of turn) {
      if (event.type === "done") return event.reply;
      if (event.type === "error") throw new Error(event.message);
      if (event.type === "input_request") throw new Error("The agent asks something back.");
    }
    throw new Error("The turn was cancelled.");
  } finally {
    await agents.remove(turn.sessionId); // ends the turn too, if it still runs
  }
}

const app = express();
app.disable("x-powered-by");
app.use("/agents", passOn(AGENTS_URL)); // before any body parser, which would take the body

app.post("/ask", express.json(), async (req, res) => {
  const gone = new AbortController();
  res.on("close", () => gone.abort());
  try {
    res.json({ reply: await ask(String(req.body?.question), gone.signal) });
  } catch (error) {
    if (!res.destroyed) res.status(502).json({ message: error.message });
  }
});

app.listen(Number(PORT), "127.0.0.1", () => console.log(`http://127.0.0.1:${PORT}/`));
