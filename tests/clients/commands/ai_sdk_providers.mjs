// The AI SDK with the host as its model, by @ai-sdk/openai and @ai-sdk/openai-compatible. Says each
// message of each conversation; the reply to the message `stop` is given up at its first piece.

import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { streamText } from "ai";

const { url, key, provider, say, stop } = JSON.parse(process.argv[2]);
const at = { baseURL: `${url}/agents/v1`, apiKey: key };
const models = {
  responses: () => createOpenAI(at).responses("agent"),
  chat: () => createOpenAI(at).chat("agent"),
  compatible: () => createOpenAICompatible({ ...at, name: "host" })("agent"),
};

async function reply(messages, message) {
  messages.push({ role: "user", content: message });
  const controller = new AbortController();
  const told = { text: "", pieces: 0 };
  const result = streamText({
    model: models[provider](),
    messages,
    abortSignal: controller.signal,
    onError: ({ error }) => (told.error = String(error.message ?? JSON.stringify(error))),
  });
  for await (const piece of result.textStream) {
    told.text += piece;
    told.pieces += 1;
    if (message === stop) {
      controller.abort();
      return told;
    }
  }
  if (told.error === undefined) messages.push(...(await result.response).messages);
  return told;
}

for (const conversation of say) {
  const messages = [];
  for (const message of conversation) {
    console.log(JSON.stringify(await reply(messages, message)));
  }
}
