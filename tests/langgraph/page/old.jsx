// A chat page with the SDK's own useStream, which speaks the older routes.
import { useStream } from "@langchain/langgraph-sdk/react";
import { useEffect, useState } from "react";
import { createRoot } from "react-dom/client";

const query = new URLSearchParams(location.search);

function Chat() {
  const [threadId, setThreadId] = useState(query.get("thread"));
  const stream = useStream({
    apiUrl: `${location.origin}/agents/langgraph`,
    apiKey: "dev",
    assistantId: "agent",
    messagesKey: "messages",
    reconnectOnMount: true,
    threadId,
    onThreadId: (id) => {
      setThreadId(id);
      history.replaceState(null, "", `?thread=${id}`);
    },
  });
  useEffect(() => {
    window.send = (text, steps) =>
      void stream.submit(
        { messages: [{ type: "human", content: text }] },
        { metadata: { steps }, streamResumable: true, onDisconnect: "continue" },
      );
    window.respond = (value) => void stream.submit(undefined, { command: { resume: value } });
  });
  return (
    <main>
      <output id="loading">{String(stream.isLoading)}</output>
      <output id="error">{stream.error ? String(stream.error.message ?? stream.error) : ""}</output>
      <ol>
        {stream.messages.map((message) => (
          <li key={message.id} data-id={message.id} className={message.type}>
            {typeof message.content === "string" ? message.content : ""}
            {(message.tool_calls ?? []).map((call) => (
              <code key={call.id}>{`${call.name}(${JSON.stringify(call.args)})`}</code>
            ))}
          </li>
        ))}
      </ol>
      <pre id="interrupt">{stream.interrupt ? JSON.stringify(stream.interrupt.value) : ""}</pre>
      <button type="button" onClick={() => void stream.stop()}>
        Stop
      </button>
    </main>
  );
}

createRoot(document.getElementById("root")).render(<Chat />);
