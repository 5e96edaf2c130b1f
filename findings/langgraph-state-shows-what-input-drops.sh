#!/usr/bin/env bash
# A graph's state shows results of a stopped step that the next input drops, so that calls are orphans.
#
# Behaviour: with create_agent() and a checkpointer, the model calls two tools at once, one answers and
# the other raises (or the run is cancelled). get_state().values["messages"] then ends with the answer
# of the first. The next invoke() with a new message does not continue from that: the model gets the
# message that made both calls, no answer at all, and the new one, which OpenAI refuses (400, "must be
# followed by tool messages"), in this and in each later turn. get_state(snapshot.config), the same
# checkpoint by its own id, does not show the answer either: only the newest state without an id has
# what finished tasks wrote.
# A guess would be that the next run begins with what get_state() shows, and that looking at the
# messages' end finds the calls that still need an answer.
#
# Seen with langgraph 1.2.24, langchain 1.5.2 on Python 3.11, 2026-11-29.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

cat >"$folder/see.py" <<'PYTHON'
import time

from langchain.agents import create_agent
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver


class Model(GenericFakeChatModel):
    seen: list = []

    def bind_tools(self, tools, **_):
        return self

    def _generate(self, messages, *args, **kwargs):
        self.seen.append([message.type for message in messages])
        return super()._generate(messages, *args, **kwargs)


def stock() -> str:
    """Count."""
    return "seven"


def broken() -> str:
    """Fail, once the other has answered."""
    time.sleep(0.5)
    raise OSError("broken")


def call(name):
    return {"name": name, "args": {}, "id": name, "type": "tool_call"}


both = AIMessage("", tool_calls=[call("stock"), call("broken")])
model = Model(messages=iter([both, AIMessage("Done.")]))
graph = create_agent(model, [stock, broken], checkpointer=InMemorySaver())
config = {"configurable": {"thread_id": "one"}}
try:
    graph.invoke({"messages": ["hi"]}, config)
except OSError:
    pass


def types(values):
    return [message.type for message in values["messages"]]


newest = graph.get_state(config)
shown, by_id = types(newest.values), types(graph.get_state(newest.config).values)
graph.invoke({"messages": ["again"]}, config)
print("get_state:", shown)
print("get_state by the checkpoint's id:", by_id)
print("what the model gets next:", model.seen[-1])
assert shown == ["human", "ai", "tool"]
assert by_id == ["human", "ai"]
assert model.seen[-1] == ["human", "ai", "human"]
PYTHON

python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check langgraph==1.2.24 langchain==1.5.2
"$folder/venv/bin/python" "$folder/see.py"
