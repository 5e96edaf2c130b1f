"""A load of all that is counted, with what the metrics should show of it."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from tests.support.client import Client, new_session
from tests.support.metrics import Samples
from tests.support.reading import ReadingClient

WORKERS = 2

THREADS = 32

SLOTS = WORKERS * (THREADS - 4)


class Load:
    """Does things at once, and counts what it did as the metrics should. Used by many threads."""

    def __init__(self, client: ReadingClient) -> None:
        self.client = client
        self.done: Counter[str] = Counter()
        self._lock = threading.Lock()

    def count(self, **amounts: int) -> None:
        """Count what has been seen."""
        with self._lock:
            self.done.update(amounts)

    def talk(self, number: int) -> None:
        """A turn with tokens, a tool and a usage, streamed or whole."""
        steps = ({"tokens": number}, {"tool": {"name": "t", "output": 1}}, {"usage": number})
        if number % 2:
            answer = self.client.chat_json(new_session(), *steps)
            assert answer.status == 200
        else:
            with self.client.chat(new_session(), *steps) as stream:
                kinds = Counter(frame.data["type"] for frame in stream)
            assert kinds["done"] == 1
        self.count(turns_done=1, ran=1, tokens=number, input=number, output=number, tools=1)

    def fail(self, _number: int) -> None:
        """A turn that fails before its first token."""
        assert self.client.chat_json(new_session(), {"raise": "ValueError"}).status == 500
        self.count(turns_failed=1, ran=1)

    def cancel(self, _number: int) -> None:
        """A turn that is cancelled after a token, by any worker, its session busy meanwhile."""
        session = new_session()
        with self.client.chat(session, {"text": "a"}, {"hold": True}) as stream:
            stream.until("token")
            assert self.client.chat_json(session).json["code"] == "session_busy"
            assert self.client.cancel(session)["cancelled"]
            stream.until("cancelled")
        self.count(turns_cancelled=1, ran=1, tokens=1, busy=1, cancels=1)

    def leave(self, _number: int) -> None:
        """A turn whose reader goes, so that it is cancelled; its rest is read from its last id."""
        session = new_session()
        with self.client.chat(session, {"text": "a"}, {"hold": True}) as stream:
            stream.until("token")
        self.client.wait_idle(session)
        frames = self.client.replay(session, "1-1")
        assert [frame.data["type"] for frame in frames] == ["cancelled"]
        self.count(turns_left=1, ran=1, tokens=1, disconnects=1, resumes=1)

    def refuse(self, _number: int) -> None:
        """Requests that are refused for several reasons, in several shapes."""
        assert self.client.call("POST", "/chat/s", {"message": ""}).status == 422
        assert self.client.call("POST", "/v1/responses", {"input": 5}).status == 400
        assert self.client.call("GET", "/nowhere").status == 404
        assert Client(self.client.server, "wrong").call("GET", "/sessions").status == 401
        self.count(invalid=2, unknown=1, unauthorized=1)

    def run(self) -> None:
        """Do all of it, eight at a time."""
        jobs = [self.talk] * 12 + [self.fail] * 3 + [self.cancel] * 6 + [self.leave] * 4
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda job: job[1](job[0]), enumerate([*jobs, *[self.refuse] * 3], 1)))

    def expected(self) -> Samples:
        """What the counters must show by now."""
        done = self.done
        return {
            'turns_total{outcome="done",reason=""}': done["turns_done"],
            'turns_total{outcome="error",reason="agent_error"}': done["turns_failed"],
            'turns_total{outcome="cancelled",reason="user"}': done["turns_cancelled"],
            'turns_total{outcome="cancelled",reason="disconnected"}': done["turns_left"],
            "turn_seconds_count": done["ran"],
            "first_event_seconds_count": done["ran"] - done["turns_failed"],
            "first_token_seconds_count": done["ran"] - done["turns_failed"],
            'tokens_total{kind="input"}': done["input"],
            'tokens_total{kind="output"}': done["output"],
            'events_total{type="token"}': done["tokens"],
            'events_total{type="tool_call"}': done["tools"],
            'events_total{type="tool_result"}': done["tools"],
            'events_total{type="done"}': done["turns_done"],
            'events_total{type="error"}': done["turns_failed"],
            'events_total{type="cancelled"}': done["turns_cancelled"] + done["turns_left"],
            'tool_calls_total{status="complete"}': done["tools"],
            "tool_seconds_count": done["tools"],
            "cancel_seconds_count": done["cancels"],
            'disconnects_total{cause="hang_up"}': done["disconnects"],
            "resumes_total": done["resumes"],
            'refused_total{code="session_busy"}': done["busy"],
            'refused_total{code="invalid_request"}': done["invalid"],
            'refused_total{code="not_found"}': done["unknown"],
            'refused_total{code="unauthorized"}': done["unauthorized"],
            "turns_running": 0,
            "turns_waiting": 0,
            "streams": 0,
            "stream_slots": SLOTS,
            "workers": WORKERS,
            "journal_lag_seconds": 0,
            "journal_errors_total": 0,
            "store_errors_total": 0,
        }
