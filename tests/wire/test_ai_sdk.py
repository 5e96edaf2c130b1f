"""The AI SDK's wire: turns into chunks, requests into messages and answers."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wire.ai_sdk_logs import LOGS, MESSAGE, ClientMessage
from tests.wire.openai_logs import golden, numbered
from wsgi_app.events import (
    AnyEvent,
    Cancelled,
    Done,
    Error,
    Gap,
    InputRequest,
    Status,
    Thinking,
    Token,
    ToolCall,
    ToolResult,
)
from wsgi_app.frames.merge import merge_text
from wsgi_app.wires.ai_sdk import encode as ai_sdk
from wsgi_app.wires.ai_sdk.encode import MessageStream
from wsgi_app.wires.ai_sdk.request import AiSdkChatBody, Answer, Continuation, read_request

CALL_IDS = st.sampled_from(["c1", "c2"])
EVENTS: st.SearchStrategy[AnyEvent] = st.one_of(
    st.builds(Token, st.sampled_from(["a", ""])),
    st.builds(Thinking, st.just("b")),
    st.builds(Status, st.just("busy")),
    st.builds(ToolCall, st.just("tool"), CALL_IDS, st.just({})),
    st.builds(
        ToolResult, st.just("tool"), CALL_IDS, st.none(), st.sampled_from(["complete", "error"])
    ),
    st.builds(InputRequest, st.just("q"), st.just("Which?"), st.just({"type": "string"})),
    CALL_IDS.map(lambda call: InputRequest("q", "Allow?", {"type": "boolean", "x-call-id": call})),
)
ENDS: st.SearchStrategy[AnyEvent] = st.sampled_from(
    [Done("", "s", "1"), Cancelled("user"), Error("agent_error", "The agent failed.")]
)


def renamed(events: list[AnyEvent]) -> list[AnyEvent]:
    """The events with questions that have an id of their own."""
    return [
        msgspec.structs.replace(event, request_id=f"q{place}")
        if isinstance(event, InputRequest)
        else event
        for place, event in enumerate(events)
    ]


def transcript(events: Any, *, merged: bool = False, **options: Any) -> bytes:
    """All bytes of a turn's stream."""
    stream = MessageStream(MESSAGE, **options)
    log = numbered(tuple(events))
    return b"".join(map(stream.encode, merge_text(log) if merged else log))


def read(*messages: dict[str, Any], **fields: Any) -> Any:
    """What a posted body asks for."""
    return read_request(msgspec.convert({"id": "s", "messages": messages, **fields}, AiSdkChatBody))


def user(text: str, message_id: str = "u1") -> dict[str, Any]:
    """A user's message as the client holds it."""
    return {"id": message_id, "role": "user", "parts": [{"type": "text", "text": text}]}


@pytest.mark.parametrize("name", LOGS)
def test_each_turn_makes_its_golden_chunks(name: str) -> None:
    """The bytes of each kind of turn are the golden ones, each time that it is read."""
    assert transcript(LOGS[name]) == golden("ai_sdk", name)
    assert transcript(LOGS[name]) == transcript(LOGS[name])


@pytest.mark.parametrize("name", LOGS)
def test_merged_events_make_the_same_message(name: str) -> None:
    """However tokens were merged, the parts and their ids are the same."""
    whole = ClientMessage().take(transcript(LOGS[name]))
    merged = ClientMessage().take(transcript(LOGS[name], merged=True))
    assert merged.parts == whole.parts


@pytest.mark.parametrize("name", ["question", "approval", "two_approvals"])
@pytest.mark.parametrize("approvals", [True, False])
def test_an_answered_message_goes_on_as_a_replay_shows_it(name: str, *, approvals: bool) -> None:
    """What a client has up to the question, and what comes behind it, are the whole message."""
    events = LOGS[name]
    place = next(i for i, event in enumerate(events) if isinstance(event, InputRequest)) + 1
    before = MessageStream(MESSAGE, approvals=approvals)
    shown = b"".join(map(before.encode, numbered(events[:place]))) + before.end_for_answer()
    client = ClientMessage().take(shown)
    options: dict[str, Any] = {"after_question": "q1", "answer": ai_sdk.ANSWERED}
    client.take(transcript(events, approvals=approvals, **options))
    assert client.parts == ClientMessage().take(transcript(events, approvals=approvals)).parts


@pytest.mark.parametrize("name", ["approval", "two_approvals"])
def test_version_5_sees_no_approvals(name: str) -> None:
    """Without approvals every question is a call of ask_user, which the client answers."""
    assert b"approval" not in transcript(LOGS[name], approvals=False)
    assert b'"toolName":"ask_user"' in transcript(LOGS[name], approvals=False)


@given(st.lists(EVENTS, max_size=12).map(renamed), ENDS, st.booleans())
def test_no_turn_makes_chunks_that_the_client_refuses(
    events: list[AnyEvent],
    end: AnyEvent,
    approvals: bool,  # noqa: FBT001 - what is drawn
) -> None:
    """Whatever an agent sends in whatever order, the client takes it, and sends nothing again."""
    client = ClientMessage().take(transcript([*events, end], approvals=approvals))
    kinds = {Done: "finish", Cancelled: "abort", Error: "error"}
    assert client.ended == kinds[type(end)]
    assert client.ended == "error" or not client.sends_itself
    assert not client.running


@given(st.lists(EVENTS, max_size=10).map(renamed), ENDS, st.booleans(), st.data())
def test_no_continuation_makes_chunks_that_the_client_refuses(
    events: list[AnyEvent],
    end: AnyEvent,
    approvals: bool,  # noqa: FBT001 - what is drawn
    data: st.DataObject,
) -> None:
    """From whatever question on, the rest of a turn continues the message that the client has."""
    asked = [i for i, event in enumerate(events) if isinstance(event, InputRequest)]
    if not asked:
        return
    place = data.draw(st.sampled_from(asked))
    question = events[place]
    assert isinstance(question, InputRequest)
    before = MessageStream(MESSAGE, approvals=approvals)
    shown = b"".join(map(before.encode, numbered(tuple(events[: place + 1]))))
    client = ClientMessage().take(shown + before.end_for_answer())
    rest: dict[str, Any] = {"after_question": question.request_id, "answer": True}
    client.take(transcript([*events, end], approvals=approvals, **rest))
    assert client.ended == "error" or not client.sends_itself
    assert not client.running


@pytest.mark.parametrize("end", [Done("", "s", "1"), Cancelled("user"), Error("agent_error", "")])
def test_a_call_without_a_result_is_closed(end: AnyEvent) -> None:
    """However a turn ends, no page shows one of its calls as running for ever."""
    client = ClientMessage().take(transcript([ToolCall("add", "c1", {}), Token("So."), end]))
    assert [part["state"] for part in client.parts if "state" in part] == ["output-error"]
    assert client.ended == "error" or not client.sends_itself


def test_what_is_not_kept_is_reported() -> None:
    """A gap is a data part, and what comes behind it makes sense by itself."""
    rest = [Gap("1-1", "1-9"), ToolResult("add", "c1", 5), Done("", "s", "1")]
    client = ClientMessage().take(transcript(rest))
    call = {"type": "dynamic-tool", "call": "c1", "tool": "add"}
    assert client.parts[1] == {**call, "state": "output-available", "output": 5}
    assert b'"type":"data-gap"' in transcript(rest)


def test_a_message_id_names_its_turn() -> None:
    """Every replay of a turn has the same id, which leads back to the turn in its session alone."""
    assert ai_sdk.turn_of(ai_sdk.message_id("s-1", 12), "s-1") == 12
    for other in ("", "msg-s-1-", "msg-s-1-x", "msg-s-2-12", "msg-s-1-²", "msg-s-1-12-3"):
        assert ai_sdk.turn_of(other, "s-1") is None


def test_the_last_message_of_the_user_is_taken() -> None:
    """Of the whole history only the newest text counts, whatever else its parts are."""
    image = {"type": "file", "url": "/agents/files/x-1", "mediaType": "image/png"}
    newest = {"id": "u2", "role": "user", "parts": [image, *user("one")["parts"] * 2]}
    wanted = read(user("old"), {"id": "a1", "role": "assistant", "parts": []}, newest)
    assert (wanted.text, wanted.message_id, wanted.kind) == ("one\none", "u2", "new")
    assert wanted.user_messages == 2
    assert wanted.media == ["x-1"]
    alone = read_request(msgspec.convert({"id": "s", "message": user("hi")}, AiSdkChatBody))
    assert (alone.text, alone.user_messages) == ("hi", None)  # type: ignore[union-attr] # a submission


def test_messages_to_answer_again_are_told_apart() -> None:
    """A regenerated answer and an edited message are known by what the client sends along."""
    again = read(user("hi"), trigger="regenerate-message", messageId="a1")
    edited = read(user("hi"), user("ho", "u2"), trigger="submit-message", messageId="u2")
    assert (again.kind, again.text) == ("regenerate", "hi")
    assert (edited.kind, edited.text) == ("edit", "ho")


def test_answers_are_found_in_the_message() -> None:
    """Approvals and results of ask_user are answers, the newest first; other tools' are not."""
    tool = {"type": "dynamic-tool", "toolName": "ask_user", "state": "output-available"}
    approval: dict[str, Any] = {"type": "dynamic-tool", "state": "approval-responded"}
    parts = [
        {**tool, "toolName": "add", "toolCallId": "c1", "output": 5},
        {**tool, "toolCallId": "q1", "output": {"colour": "blue"}},
        {**tool, "toolCallId": "q2", "state": "output-error", "errorText": "yes"},
        {**approval, "approval": {"id": "q3", "approved": True, "reason": "fine"}},
        {**approval, "approval": {"id": "q4", "approved": False}},
        {**approval, "approval": {"id": "q5", "approved": False, "reason": "yes"}},
        {**approval, "approval": {"id": "q6", "approved": "true"}},
        {**approval, "approval": None},
        {"type": "tool-ask_user", "toolCallId": 7, "state": "output-available"},
    ]
    assistant = {"id": "msg-s-1", "role": "assistant", "parts": parts}
    assert read(user("hi"), assistant, messageId="msg-s-1") == Continuation(
        "msg-s-1",
        [
            Answer("q6", value=False),
            Answer("q5", "No: yes"),
            Answer("q4", value=False),
            Answer("q3", value=True),
            Answer("q2", "No: yes"),
            Answer("q1", {"colour": "blue"}),
        ],
    )


@pytest.mark.parametrize("messages", [[], [{"id": "x", "role": "system", "parts": []}]])
def test_a_body_without_a_message_is_refused(messages: list[dict[str, Any]]) -> None:
    """There is nothing to answer without a message of the user or the assistant."""
    with pytest.raises(ValueError, match="message"):
        read(*messages)
