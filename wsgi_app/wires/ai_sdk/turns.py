"""From what the AI SDK's transports post to the turns that they begin or continue."""

from __future__ import annotations

import hashlib
from typing import Final

from wsgi_app.attachments import Attachment
from wsgi_app.engine.turn.request import TurnRequest
from wsgi_app.errors import RequestError
from wsgi_app.events import InputRequest, encode_json
from wsgi_app.store.base import SessionKey
from wsgi_app.web.attached import attached
from wsgi_app.web.client_tools import named_tools
from wsgi_app.web.mount import Mount
from wsgi_app.web.parse import invalid
from wsgi_app.wires.ai_sdk import encode as ai_sdk
from wsgi_app.wires.ai_sdk.request import AiSdkChatBody, Answer, Continuation, Submission
from wsgi_app.wires.shared.media import named
from wsgi_app.wires.shared.questions import events_so_far, waiting_prompt

#: So much of a question is shown in an error's text.
MAX_PROMPT: Final = 500


def turn_request(
    mount: Mount, key: SessionKey, wanted: Submission, body: AiSdkChatBody
) -> TurnRequest:
    """The turn that answers a user's message; raises RequestError."""
    attachments = attached(mount, key, wanted.media, invalid, "messages")
    wanted = wanted._replace(text=wanted.text or named(attachments))
    if not wanted.text:
        raise invalid("messages", "Expected text in the user's message")
    return _turn_request(mount, key, wanted, body, attachments)


def find_answer(mount: Mount, key: SessionKey, wanted: Continuation) -> tuple[int, Answer]:
    """Give the answer to the question that waits, or find the one that it was given before.

    The turn that continues it comes along; raises RequestError.
    """
    turn = ai_sdk.turn_of(wanted.message_id, key.session_id)
    answer = None
    if turn is not None:
        answer = _post_newest(mount, key, wanted.answers) or _given_before(
            mount, key, turn, wanted.answers
        )
    if turn is None or answer is None:
        raise RequestError("no_pending_input", "No question waits for this answer.")
    return turn, answer


def explained(mount: Mount, key: SessionKey, error: RequestError) -> RequestError:
    """The same refusal; of a session that waits for its user it says so, and for what."""
    if error.code != "session_busy":
        return error
    prompt = waiting_prompt(mount, key, int(error.details["turn_id"]))
    if prompt is None:
        return error
    message = f"The agent waits for an answer, and did not take the message: {prompt[:MAX_PROMPT]}"
    return RequestError(error.code, message, error.details)


def _turn_request(
    mount: Mount,
    key: SessionKey,
    wanted: Submission,
    body: AiSdkChatBody,
    attachments: tuple[Attachment, ...],
) -> TurnRequest:
    metadata = body.metadata or {}
    is_new = wanted.kind == "new"
    # A message's id names it in its chat: a second request of it is a repetition.
    digest = hashlib.sha256(encode_json([wanted.text, metadata])).hexdigest()
    repeatable = hashlib.sha256(wanted.message_id.encode("utf-8", "surrogatepass")).hexdigest()
    return TurnRequest(
        message=wanted.text,
        metadata=metadata,
        # The front end comes back to a turn that it left, or stops it by name.
        on_disconnect="continue",
        idempotency_key=f"ai-sdk:{repeatable}" if is_new and wanted.message_id else None,
        digest=digest,
        regenerates=not is_new and _replaces_newest(mount, key, wanted),
        client_tools=named_tools(mount, body.tools, invalid),
        attachments=attachments,
    )


def _replaces_newest(mount: Mount, key: SessionKey, wanted: Submission) -> bool:
    """Whether the session's newest exchange is the one to replace; False if it never came here.

    Raises RequestError for an older one: what followed it stays in the session.
    """
    view = mount.store.history(key)
    asked = [] if view is None else [m["content"] for m in view.messages if m["role"] == "user"]
    if not asked:
        return False
    shown = wanted.user_messages
    if wanted.kind == "regenerate" and asked[-1] == wanted.text:
        return True
    if shown is None or shown == len(asked):
        return wanted.kind == "edit"
    if shown > len(asked):
        return False
    raise RequestError("invalid_request", "Only the newest message can be answered again.")


# -- questions


def _post_newest(mount: Mount, key: SessionKey, answers: list[Answer]) -> Answer | None:
    """Give the session the answer that it waits for, if it is among these."""
    for answer in answers:
        try:
            mount.store.post_input(key, answer.request_id, encode_json(answer.value))
        except RequestError as error:
            if error.code != "no_pending_input":
                raise
        else:
            return answer
    return None


def _given_before(mount: Mount, key: SessionKey, turn: int, answers: list[Answer]) -> Answer | None:
    """The newest of these answers whose question the turn has asked."""
    by_question = {answer.request_id: answer for answer in answers}
    newest: Answer | None = None
    for numbered in events_so_far(mount, key, turn):
        if isinstance(numbered.event, InputRequest):
            newest = by_question.get(numbered.event.request_id, newest)
    return newest
