"""Runs a recipe on the engine, in its frameworks' environment, and prints what was seen."""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from typing import Any, Final

from tests.support import upstream_chat
from tests.support.turns import TurnBench
from tests.support.upstream import Upstream
from tests.support.upstream_script import (
    Call,
    EndOfFile,
    Stall,
    Text,
    ToolCalls,
    Usage,
    chunk,
)
from tests.support.waiting import wait_for
from wsgi_app.engine.run import TurnRun
from wsgi_app.events import Done, Token
from wsgi_app.store.base import SessionKey

#: It ends by a tool, whose argument is the answer.
_FINAL_TOOL: Final = frozenset({"smolagents_agent"})
STOP_SECONDS: Final = 10.0


class Rig:
    """One recipe, its provider and its sessions; used by the main thread."""

    def __init__(self, name: str, upstream: Upstream) -> None:
        self._name = name
        self._upstream = upstream
        self._bench = TurnBench()
        self._agent = importlib.import_module(name).answer

    def answer_script(self, text: str) -> tuple[Any, ...]:
        """What the model sends for its answer."""
        if self._name not in _FINAL_TOOL:
            return Text(tuple(text)), Usage(5, 2)
        call = Call("call-9", "final_answer", json.dumps({"answer": text}))
        return ToolCalls((call,)), Usage(5, 2)

    def start(self, session: str, message: str) -> TurnRun:
        """Start a turn."""
        return self._bench.start(self._agent, message, key=SessionKey("tenant", session))

    def script_tool(self) -> None:
        """Have the model call the tool first."""
        self._upstream.script(
            ToolCalls((Call("call-1", "stock", '{"article": "tea"}'),)), Usage(5, 2)
        )

    def talk(self) -> dict[str, Any]:
        """Three turns of a session, each with a tool."""
        texts, ends = [], []
        for number in range(3):
            self.script_tool()
            self._upstream.script(*self.answer_script(f"Answer {number}"))
            run = self.start("talk", f"Question {number}")
            assert run.wait_ended(30), "no end"
            ends.append(type(events(run)[-1]).__name__)
            texts.append(text_of(run))
        told = json.dumps(self._upstream.requests[-1].body["messages"])
        usage = getattr(events(run)[-1], "usage", None)
        return {
            "texts": texts,
            "ends": ends,
            "requests": len(self._upstream.requests),
            "tool_ran": told.count("3 of tea"),
            "remembers": all(
                f"{who} {n}" in told for n in range(2) for who in ("Question", "Answer")
            ),
            "tokens": usage.total_tokens if usage is not None else 0,
        }

    def stop(self, moment: str) -> float:
        """Milliseconds from a stop to the moment at which the provider sees it."""
        before = len(self._upstream.requests)
        if moment == "behind a tool":
            self.script_tool()
        self._upstream.script(*([Text(("Hel", "lo"))] if moment == "mid-text" else []), Stall())
        run = self.start(f"stop {moment}", "Stop me")
        wanted = before + (2 if moment == "behind a tool" else 1)
        request = self._upstream.wait_request(wanted, 30)
        if moment == "mid-text" and self._name not in _FINAL_TOOL:
            wait_for(lambda: text_of(run) == "Hello", "the half answer", 30)
        elif moment == "mid-text":
            time.sleep(0.2)  # it shows nothing before its answer is whole
        asked_at = time.monotonic()
        self._bench.runner.cancel(run.fence.key, None, "user")
        seen = request.connection.wait_closed(STOP_SECONDS) - asked_at
        wait_for(lambda: not run.goes_on(), "the agent has returned", STOP_SECONDS)
        assert len(self._upstream.requests) == wanted, "it was asked again"
        return round(1000 * seen, 1)

    def break_off(self) -> dict[str, Any]:
        """A stream that ends without a reason."""
        for _ in range(8):  # some ask again
            self._upstream.script(Text(("Half",)), EndOfFile())
        before = len(self._upstream.requests)
        run = self.start("broken", "Break off")
        assert run.wait_ended(60), "no end"
        last = events(run)[-1]
        return {
            "done": isinstance(last, Done),
            "code": getattr(last, "code", ""),
            "message": getattr(last, "message", ""),
            "requests": len(self._upstream.requests) - before,
        }

    def close(self) -> None:
        """End the engine's threads."""
        self._bench.runner.close(10)


def events(run: TurnRun) -> list[Any]:
    """A turn's events so far."""
    return [entry.event for entry in run.log.read(0, run.log.last_seq)]


def text_of(run: TurnRun) -> str:
    """Its text so far."""
    return "".join(event.content for event in events(run) if isinstance(event, Token))


def dated_chunk(*args: Any) -> dict[str, Any]:
    """A chunk with what the Agent Framework insists on, and every real provider sends."""
    return {**chunk(*args), "created": 1, "model": "gpt-4.1-mini"}


def main(name: str) -> None:
    """Print one line of JSON."""
    vars(upstream_chat)["chunk"] = dated_chunk
    with Upstream() as upstream:
        os.environ.update(upstream.environment)
        os.environ["OPENAI_API_BASE"] = upstream.url  # LlamaIndex's name of it
        os.environ["AGENT_MODEL"] = "gpt-4.1-mini"  # some know the names of OpenAI's models
        rig = Rig(name, upstream)
        seen: dict[str, Any] = {"talk": rig.talk()}
        seen["stops"] = {m: rig.stop(m) for m in ("mid-text", "silent", "behind a tool")}
        seen["broken"] = rig.break_off()
        print("\nSEEN " + json.dumps(seen), flush=True)  # noqa: T201 - what it is for; some leave a line open
        rig.close()


if __name__ == "__main__":
    main(sys.argv[1])
