"""What a token costs at each stage of its way, each stage alone, in microseconds of CPU."""

from __future__ import annotations

import argparse
import asyncio
import socket
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Final

from gunicorn.util import write_chunk
from openai import AsyncOpenAI, DefaultAioHttpClient

from bench.programs import Programs
from bench.report import markdown
from bench.works import Row, Tell, Work
from wsgi_app.agents.answer_reader import AnswerReader
from wsgi_app.agents.chat_stream import ChatStep
from wsgi_app.config import Settings
from wsgi_app.delivery.disconnect import HangupWatcher
from wsgi_app.delivery.feed import Feed
from wsgi_app.delivery.generator import stream_frames
from wsgi_app.delivery.reader import Reader
from wsgi_app.engine.turn.agent_calls import AgentCalls
from wsgi_app.engine.turn.event_log import EventLog, Wakeup
from wsgi_app.events import EventId, Token, encode_event
from wsgi_app.store.base import Fence, SessionKey
from wsgi_app.wires.native.encode import encode_frame

TEXT: Final = "@123:123456789012345 "
#: As bench/upstream.c writes it.
CHUNK: Final = (
    b'data: {"id":"chatcmpl-123","object":"chat.completion.chunk","created":1694268190,'
    b'"model":"gpt-4o","service_tier":"default","system_fingerprint":"fp_44709d6fcb",'
    b'"choices":[{"index":0,"delta":{"content":"@123:123456789012345 "},"logprobs":null,'
    b'"finish_reason":null}],"usage":null}\n\n'
)
KEY: Final = SessionKey("bench", "s")
STREAMS: Final = 40
PACE_MS: Final = 4.0
WARM_SECONDS: Final = 1.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare this work's options."""
    parser.add_argument("--tokens", type=int, default=10_000, help="at each stage, in each repeat")
    parser.add_argument("--repeats", type=int, default=5, help="of which the cheapest counts")
    parser.add_argument("--loop-seconds", type=float, default=2.0, help="a repeat of the loop's")


def measure(options: argparse.Namespace, programs: Programs, tell: Tell) -> list[Row]:
    """Run each stage alone."""
    rows: list[Row] = []
    with programs.upstream(PACE_MS) as upstream:
        costs = [
            asyncio.run(_read_on_loop(upstream.url, options.loop_seconds))
            for _ in range(options.repeats)
        ]
    rows.append({"stage": "io loop: poll, aiohttp, the openai package's iter_bytes"})
    rows[-1]["us"] = min(costs)
    for stage, run in STAGES.items():
        costs = [_cpu_us(run, options.tokens) for _ in range(options.repeats)]
        rows.append({"stage": stage, "us": min(costs)})
    for row in rows:
        tell(f"{row['us']:6.2f} µs  {row['stage']}")
    return rows


def table(rows: list[Row]) -> str:
    """The stages in Markdown."""
    lines = [(row["stage"], f"{row['us']:.1f}") for row in rows]
    return markdown(("stage", "CPU µs per token"), lines)


def _cpu_us(run: Callable[[int], None], tokens: int) -> float:
    started = time.process_time()
    run(tokens)
    return (time.process_time() - started) / tokens * 1e6


async def _read_on_loop(url: str, seconds: float) -> float:
    """Stream from the provider as the agent does, and drop what comes."""
    count = 0

    async def read(client: AsyncOpenAI) -> None:
        nonlocal count
        create: Any = client.chat.completions.with_streaming_response.create
        async with create(model="bench", messages=[], stream=True) as response:
            async for _ in response.iter_bytes():
                count += 1

    async with AsyncOpenAI(
        api_key="bench", base_url=url, http_client=DefaultAioHttpClient()
    ) as client:
        tasks = [asyncio.create_task(read(client)) for _ in range(STREAMS)]
        await asyncio.sleep(WARM_SECONDS)
        before, started = count, time.thread_time()
        await asyncio.sleep(seconds)
        cost = (time.thread_time() - started) / (count - before) * 1e6
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return cost


def _parse(tokens: int) -> None:
    reader = AnswerReader(ChatStep(lambda _: None))
    for _ in range(tokens):
        reader.feed(CHUNK)


def _calls(log: EventLog) -> AgentCalls:
    services: Any = SimpleNamespace(settings=Settings(), journal=None)
    nothing: Any = None
    return AgentCalls(
        nothing,
        nothing,
        services,
        log=log,
        clock=nothing,
        questions=nothing,
        steering=nothing,
        too_large=lambda: None,
        count_tool=lambda *_: None,
    )


def _emit(tokens: int) -> None:
    calls = _calls(EventLog(1))
    for _ in range(tokens):
        calls.emit(TEXT)


def _drain(tokens: int) -> None:
    """Read a log that has one event more each time."""
    run: Any = SimpleNamespace(log=EventLog(1), fence=Fence(KEY, 1, "run"))
    run.readers = SimpleNamespace(join=lambda: None, leave=lambda: None)
    runner: Any = None
    feed = Feed(runner, KEY, EventId(1, 0), 1, run)
    reader = Reader(feed, HangupWatcher(30.0), {}, None, "bench")
    chunks = stream_frames(reader, encode_frame, start=lambda: None, keepalive_seconds=15.0)
    next(chunks)
    event = Token(TEXT)
    json = encode_event(event)
    for _ in range(tokens):
        run.log.append(event, json)
        next(chunks)
    chunks.close()  # type: ignore[attr-defined]


def _switch(tokens: int) -> None:
    """Wake a thread that sleeps, and sleep until it has woken this one: two switches."""
    there, back = Wakeup(), Wakeup()

    def answer() -> None:
        for _ in range(tokens // 2):
            there.wait(None)
            back.set()

    thread = threading.Thread(target=answer)
    thread.start()
    for _ in range(tokens // 2):
        there.set()
        back.wait(None)
    thread.join()


def _write(tokens: int) -> None:
    """Write chunks to a connection of the loopback, which another thread empties."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
    frame = b"id: 3-17\ndata: %s\n\n" % encode_event(Token(TEXT))
    with ours, theirs:
        for _ in range(tokens):
            write_chunk(ours, frame)
            theirs.recv(4096)


STAGES: Final[dict[str, Callable[[int], None]]] = {
    "agent: server-sent events, JSON, the step": _parse,
    "engine: check, encode, count, append to the log": _emit,
    "delivery: append, read the log, make the frame": _drain,
    "a switch from one thread to another that sleeps": _switch,
    "gunicorn: write a chunk (and here, read it)": _write,
}


BUDGET: Final = Work(
    add_arguments, measure, table, "CPU per token at each stage of its way, each stage alone"
)
