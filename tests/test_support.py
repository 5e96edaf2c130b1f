"""The tests' own client of event streams: it must not believe a server too easily."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.sse import FrameParser, StreamCutError, open_stream, text_of

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
TOKEN = b'id: 1-1\ndata: {"type":"token","content":"Hi"}\n\n'


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """Give the URL of a server that sends ``answer`` to one client and closes the connection."""

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65_536)
            connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        thread.join(10)


def test_a_clean_end_is_seen() -> None:
    """A body that ends with its final zero chunk is whole."""
    answer = CHUNKED + chunk(b": hello\n") + chunk(TOKEN[:9]) + chunk(TOKEN[9:]) + b"0\r\n\r\n"
    with answering(answer) as url, open_stream("GET", url) as stream:
        assert text_of(list(stream)) == "Hi"
        assert stream.ended == "clean"
        assert [comment.text for comment in stream.comments] == ["hello"]


def test_a_cut_is_seen() -> None:
    """A body without its final zero chunk is cut, even after a whole frame."""
    with answering(CHUNKED + chunk(TOKEN)) as url, open_stream("GET", url) as stream:
        assert stream.next() is not None
        with pytest.raises(StreamCutError):
            stream.next()
        assert stream.ended == "cut"


def test_another_answer_is_no_stream() -> None:
    """Reading frames from a refusal fails and shows it."""
    refusal = b'HTTP/1.1 503 No\r\nContent-Length: 17\r\n\r\n{"code":"no way"}'
    with (
        answering(refusal) as url,
        open_stream("GET", url) as stream,
        pytest.raises(AssertionError, match="not a stream but 503"),
    ):
        stream.next()


@pytest.mark.parametrize(
    "data",
    [
        b"id: 1-1\r\ndata: 1\r\n\r\n",
        b": keep-alive\n\n",
        b"retry: 2000\n\n",
        b"id: 1-1\n\n",
        b"data: 1\ndata: 2\n\n",
        b"data\n\n",
        b"data: 1\nwhat: 2\n\n",
        b"\n",
    ],
)
def test_breaches_are_refused(data: bytes) -> None:
    """What a stream must never contain fails the test that reads it."""
    with pytest.raises(AssertionError):
        FrameParser().feed(data, at=0)


def test_an_end_inside_a_frame_is_refused() -> None:
    """A clean end in the middle of a frame is a fault of the server."""
    parser = FrameParser()
    parser.feed(b"id: 1-1\ndata: 1\n", at=0)
    with pytest.raises(AssertionError):
        parser.finish()
