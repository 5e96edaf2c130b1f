// Express over the openai package: one process for each worker, PORT and WORKERS from outside.
import cluster from "node:cluster";
import { setTimeout } from "node:timers/promises";

import express from "express";
import OpenAI from "openai";

const now = () => Number(process.hrtime.bigint() / 1000000n);

/** Answers without a model; see bench/servers/paced.py. */
async function* paced(message) {
  const wanted = Number(/tokens=(\d+)/.exec(message)?.[1] ?? Infinity);
  let due = now();
  for (let number = 0; number < wanted; number++) {
    due += Number(process.env.BENCH_PACE_MS);
    await setTimeout(Math.max(0, due - now()));
    yield `@${number}:${process.hrtime.bigint()} `;
  }
}

async function* ask(client, message) {
  const messages = [{ role: "user", content: message }];
  const chunks = await client.chat.completions.create({ model: "bench", messages, stream: true });
  for await (const chunk of chunks) {
    const content = chunk.choices[0]?.delta?.content;
    if (content) yield content;
  }
}

if (cluster.isPrimary) {
  for (let worker = 0; worker < Number(process.env.WORKERS); worker++) cluster.fork();
} else {
  const app = express();
  const client = new OpenAI();
  const answer = process.env.BENCH_AGENT === "paced" ? paced : ask.bind(null, client);
  app.use(express.json());
  app.post("/chat/:session", async (request, response) => {
    response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-cache" });
    response.flushHeaders();
    for await (const content of answer(request.body.message)) {
      response.write(`data: ${JSON.stringify({ type: "token", content })}\n\n`);
    }
    response.end(`data: ${JSON.stringify({ type: "done" })}\n\n`);
  });
  app.listen(Number(process.env.PORT), "127.0.0.1", () => console.log("Worker is ready"));
}
