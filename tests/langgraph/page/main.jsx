// A chat page as the documentation of useStream has it: nothing in it knows the host.
import { useMessages, useStream, useToolCalls } from "@langchain/react";
import { useEffect, useState } from "react";
import { createRoot } from "react-dom/client";

const query = new URLSearchParams(location.search);

// What a sub-agent says and calls, which works for a call, or which the hook has found.
function Card({ stream, target, name }) {
  const messages = useMessages(stream, target);
  const said = messages.filter((one) => one.getType() === "ai").map((one) => one.text.trim());
  const called = useToolCalls(stream, target).map((call) => `${call.name} ${call.status}`);
  return <li>{[name, ...called, ...said].filter(Boolean).join(" / ")}</li>;
}

// A tool that the page runs; while `window.held` it takes its time.
const paint = {
  tool: { name: "paint" },
  execute: async ({ wall }) => {
    window.painted = (window.painted ?? 0) + 1;
    while (window.held) await new Promise((resolve) => setTimeout(resolve, 20));
    return `wall ${wall} is blue`;
  },
};

function Chat() {
  const [threadId, setThreadId] = useState(query.get("thread"));
  const stream = useStream({
    apiUrl: `${location.origin}/agents/langgraph`,
    apiKey: "dev",
    assistantId: "agent",
    threadId,
    tools: [paint],
    onThreadId: (id) => {
      setThreadId(id);
      history.replaceState(null, "", `?thread=${id}`);
    },
  });
  useEffect(() => {
    window.send = (text, steps) =>
      void stream
        .submit({ messages: [{ type: "human", content: text }] }, { metadata: { steps } })
        .catch((error) => console.error(error));
    // What the state tells is shown before the stream has told it too; until then this is refused.
    window.respond = (value) =>
      void stream.respond(value).catch((error) => {
        if (!/No pending interrupt/.test(error.message)) throw error;
        setTimeout(() => window.respond(value), 100);
      });
    window.again = (steps) => {
      const last = stream.messages.filter((one) => one.getType() === "human").at(-1);
      void stream.submit({ messages: [{ type: "human", content: last.content }] }, { metadata: { steps } });
    };
  });
  return (
    <main>
      <output id="loading">{String(stream.isLoading)}</output>
      <output id="error">{stream.error ? String(stream.error.message ?? stream.error) : ""}</output>
      <ol>
        {stream.messages.map((message) => (
          <li key={message.id} data-id={message.id} className={message.getType()}>
            {message.text}
            {(message.tool_calls ?? []).map((call) => (
              <code key={call.id}>{`${call.name}(${JSON.stringify(call.args)})`}</code>
            ))}
          </li>
        ))}
      </ol>
      <ul id="tools">
        {stream.toolCalls.map((call) => (
          <li key={call.id}>{`${call.name} ${call.status} ${JSON.stringify(call.output)}`}</li>
        ))}
      </ul>
      <ul id="cards">
        {stream.messages.flatMap((one) => one.tool_calls ?? []).map((call) => (
          <Card key={call.id} stream={stream} target={[`tools:${call.id}`]} name={call.name} />
        ))}
      </ul>
      <ul id="subagents">
        {[...stream.subagents.values()].map((one) => (
          <Card key={one.id} stream={stream} target={one} name={`${one.name} ${one.status}`} />
        ))}
      </ul>
      <pre id="interrupt">{stream.interrupt ? JSON.stringify(stream.interrupt.value) : ""}</pre>
      <button type="button" onClick={() => void stream.stop()}>
        Stop
      </button>
    </main>
  );
}

createRoot(document.getElementById("root")).render(<Chat />);
