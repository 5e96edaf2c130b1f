// A chat page with assistant-ui's runtime for LangGraph: nothing in it knows the host.
import { AssistantRuntimeProvider, useAui, useAuiState } from "@assistant-ui/react";
import {
  unstable_createLangGraphStream,
  useLangGraphInterruptState,
  useLangGraphRuntime,
  useLangGraphSendCommand,
} from "@assistant-ui/react-langgraph";
import { Client } from "@langchain/langgraph-sdk";
import { useEffect } from "react";
import { createRoot } from "react-dom/client";

const client = new Client({ apiUrl: `${location.origin}/agents/langgraph`, apiKey: "dev" });
const stream = unstable_createLangGraphStream({ client, assistantId: "agent" });

const textOf = (part) =>
  part.type === "tool-call" ? `${part.toolName}(${JSON.stringify(part.args)}) ${part.result ?? ""}` : part.text;

function Chat() {
  const aui = useAui();
  const messages = useAuiState((state) => state.thread.messages);
  const isRunning = useAuiState((state) => state.thread.isRunning);
  const interrupt = useLangGraphInterruptState();
  const sendCommand = useLangGraphSendCommand();
  useEffect(() => {
    window.send = (text, steps) =>
      aui.thread().append({
        role: "user",
        content: [{ type: "text", text }],
        runConfig: { configurable: { steps } },
      });
    window.respond = (value) => void sendCommand({ resume: value });
    window.stop = () => aui.thread().cancelRun();
  });
  return (
    <main>
      <output id="running">{String(isRunning)}</output>
      <ol>
        {messages.map((message) => (
          <li key={message.id}>{`${message.role}: ${message.content.map(textOf).join(" ")}`}</li>
        ))}
      </ol>
      <pre id="interrupt">{interrupt ? JSON.stringify(interrupt.value) : ""}</pre>
    </main>
  );
}

const threadId = new URLSearchParams(location.search).get("thread") ?? undefined;

// The threads that the page knows: the one of its URL.
const threads = {
  list: async () => ({ threads: [] }),
  fetch: async (id) => ({ status: "regular", remoteId: id, externalId: id }),
  initialize: async () => {
    const { thread_id } = await client.threads.create();
    history.replaceState(null, "", `?thread=${thread_id}`);
    return { remoteId: thread_id, externalId: thread_id };
  },
  generateTitle: async () => new ReadableStream({ start: (one) => one.close() }),
};

function App() {
  const runtime = useLangGraphRuntime({
    stream,
    unstable_allowCancellation: true,
    load: async (externalId) => {
      const state = await client.threads.getState(externalId);
      return { messages: state.values.messages, interrupts: state.tasks[0]?.interrupts };
    },
    unstable_threadListAdapter: threads,
    threadId,
  });
  return (
    <AssistantRuntimeProvider runtime={runtime}>
      <Chat />
    </AssistantRuntimeProvider>
  );
}

createRoot(document.getElementById("root")).render(<App />);
