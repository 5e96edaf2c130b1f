// Express over the openai package: one process for each worker, PORT and WORKERS from outside.
import cluster from "node:cluster";

import express from "express";
import OpenAI from "openai";

if (cluster.isPrimary) {
  for (let worker = 0; worker < Number(process.env.WORKERS); worker++) cluster.fork();
} else {
  const app = express();
  const client = new OpenAI();
  app.use(express.json());
  app.post("/chat/:session", async (request, response) => {
    response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-cache" });
    const messages = [{ role: "user", content: request.body.message }];
    const chunks = await client.chat.completions.create({ model: "bench", messages, stream: true });
    for await (const chunk of chunks) {
      const content = chunk.choices[0]?.delta?.content;
      if (content) response.write(`data: ${JSON.stringify({ type: "token", content })}\n\n`);
    }
    response.end(`data: ${JSON.stringify({ type: "done" })}\n\n`);
  });
  app.listen(Number(process.env.PORT), "127.0.0.1", () => console.log("Worker is ready"));
}
