"""A call of the tool: from its arguments to a turn, and from the turn to its answer."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Any, Final, NamedTuple

from flask import Response, request
from itsdangerous import BadSignature, URLSafeSerializer
from msgspec import structs

from wsgi_app.engine.turn.request import TurnRequest
from wsgi_app.errors import RequestError, StoreUnavailable
from wsgi_app.events import EventId, NumberedEvent, encode_json
from wsgi_app.frames import sse
from wsgi_app.store.base import SessionKey
from wsgi_app.web.current import current_principal, session_key
from wsgi_app.web.envelope import json_response
from wsgi_app.web.mount import Mount
from wsgi_app.web.parse import check_session_id, idempotency_key, invalid, new_session_id
from wsgi_app.web.refuse import count_refused
from wsgi_app.web.respond import stream_response
from wsgi_app.web.turns import OpenTurn, attach_turn, open_turn
from wsgi_app.wires.mcp.encode import (
    QUESTION_KEY,
    CallEncoder,
    JsonObject,
    complete,
    refusal_result,
    response,
)
from wsgi_app.wires.mcp.envelope import INVALID_PARAMS, RpcError
from wsgi_app.wires.mcp.forms import answer_of
from wsgi_app.wires.mcp.request import (
    TOOL,
    AskArguments,
    Asks,
    ClientSession,
    Message,
    QuestionName,
    StreamPosition,
    read_arguments,
)
from wsgi_app.wires.shared.answers import answer_from_text
from wsgi_app.wires.shared.questions import UntilQuestion, answer_question, awaited_question

#: A stateless client cancels by hanging up; so long it may come back after a cut.
STATELESS_ORPHAN_SECONDS: Final = 5.0
_SALT: Final = "wsgi_app mcp question"


class Client(NamedTuple):
    """Who calls."""

    elicits: bool
    stateless: bool = False
    #: Whether it knows a stream's first event as its position.
    primes: bool = False
    session: ClientSession | None = None


class Opened(NamedTuple):
    """The turn that a call began, continues or answers; and the question that it answers."""

    turn: OpenTurn
    after_seq: int = 0
    answered: str | None = None


def server_info(mount: Mount) -> JsonObject:
    """What the server is called."""
    version = import_module("wsgi_app").__version__  # not imported: it imports this
    return {"name": mount.settings.model or "agent", "version": version}


def call_tool(mount: Mount, message: Message, client: Client) -> Response:
    """Answer ``tools/call``; what the agent's host refuses is a result too. Raises RpcError."""
    params = message.params or {}
    if params.get("name") != TOOL:
        raise RpcError(INVALID_PARAMS, f"The one tool is called {TOOL}.")
    streams = request.accept_mimetypes.quality(sse.MIME_TYPE) > 0
    try:
        try:
            arguments = read_arguments(params)
        except ValueError as error:
            raise invalid("arguments", str(error)) from None
        opened = _open(mount, message, arguments, client, streams=streams)
        with opened.turn:
            return _answer(mount, message, client, opened, streams=streams)
    except RequestError as error:
        count_refused(error.code)
        result = complete(refusal_result(error), server_info(mount), stateless=client.stateless)
        return json_response(response(message.id, result))


def _answer(
    mount: Mount, message: Message, client: Client, opened: Opened, *, streams: bool
) -> Response:
    turn = opened.turn
    if client.session is not None:
        # For its cancel; without the store nobody else could end the turn either.
        with suppress(StoreUnavailable):
            mount.store.name_turn(turn.key, turn.turn, client.session.call_name(message.id))  # type: ignore[arg-type] # it is a request
    position = StreamPosition(
        turn.key.session_id,
        turn.turn,
        opened.after_seq,
        "",
        message.id,  # type: ignore[arg-type] # it is a request
        message.progress_token,
        _asks(client, streams=streams),
        client.stateless,
    )
    encoder = make_encoder(mount, position)
    encode = stop_at_questions(mount, turn, encoder, position, opened.answered)
    if streams:
        return stream_response(turn, encode, 0.0, opening=encoder.opening(primes=client.primes))
    return _whole_answer(turn, encoder, encode)


def _asks(client: Client, *, streams: bool) -> Asks:
    if not client.elicits:
        return "text"
    if client.stateless:
        return "result"
    return "stream" if streams else "text"


def make_encoder(mount: Mount, position: StreamPosition) -> CallEncoder:
    """The encoder of a call's stream from a position on."""
    tenant = current_principal().tenant  # in a stream there is no request

    def seal(text: str) -> str:
        return str(_signer(mount, tenant).dumps(text))

    return CallEncoder(position, server_info(mount), seal)


def stop_at_questions(
    mount: Mount,
    turn: OpenTurn,
    encoder: CallEncoder,
    position: StreamPosition,
    answered: str | None = None,
) -> Callable[[NumberedEvent], bytes]:
    """The encoder, whose stream ends at a question unless it is answered within it."""
    if position.asks == "stream":
        return encoder.encode
    return UntilQuestion(mount, turn.key, encoder, turn.reader, answered)


def _whole_answer(
    turn: OpenTurn, encoder: CallEncoder, encode: Callable[[NumberedEvent], bytes]
) -> Response:
    if not turn.read(encode):
        return Response(status=204)  # nobody reads it
    if encoder.answer is None:
        raise RequestError("not_found", "The turn's events are no longer kept.")
    return json_response(encoder.answer)


# -- the turn


def _open(
    mount: Mount, message: Message, arguments: AskArguments, client: Client, *, streams: bool
) -> Opened:
    state = (message.params or {}).get("requestState")
    if client.stateless and state is not None:
        return _go_on(mount, message, state, streams=streams)
    call_name = idempotency_key(request)
    if call_name is None and client.session is not None:
        call_name = client.session.call_name(message.id)  # type: ignore[arg-type] # it is a request
    session_id = arguments.session
    if session_id is None:
        session_id = new_session_id(current_principal().tenant, call_name)
    key = session_key(check_session_id(session_id))
    wanted = TurnRequest(
        message=arguments.message,
        idempotency_key=call_name,
        digest=_digest(arguments),
        streams=streams,
        orphan_seconds=_orphan_seconds(mount, client),
    )
    try:
        return Opened(open_turn(mount, key, wanted))
    except RequestError as error:
        if error.code != "session_busy":
            raise
        opened = _answer_in_text(
            mount, key, int(error.details["turn_id"]), arguments.message, streams=streams
        )
        if opened is None:
            raise
        return opened


def _digest(arguments: AskArguments) -> str:
    return encode_json(structs.astuple(arguments)).hex()


def _orphan_seconds(mount: Mount, client: Client) -> float | None:
    if not client.stateless:
        return None
    return min(mount.settings.orphan_seconds, STATELESS_ORPHAN_SECONDS)


# -- answers to questions


def _answer_in_text(
    mount: Mount, key: SessionKey, turn: int, text: str, *, streams: bool
) -> Opened | None:
    """Take a message that finds a question as its answer; None where there is no question."""
    asked = awaited_question(mount, key, turn)
    if asked is None:
        return None
    position, question = asked
    value = answer_from_text(question, text)
    opened = answer_question(mount, key, position, question.request_id, value, streams=streams)
    return Opened(opened, position.seq, question.request_id)


def _go_on(mount: Mount, message: Message, state: Any, *, streams: bool) -> Opened:
    """Go on with the turn whose question the client brings back, with its answer or without."""
    turn, seq, name = _open_state(mount, state)
    key = session_key(name.session_id)
    check_known(mount, key, turn)
    responses = (message.params or {}).get("inputResponses")
    result = responses.get(QUESTION_KEY) if isinstance(responses, dict) else None
    if not isinstance(result, dict):
        return Opened(attach_turn(mount, key, turn, seq - 1, streams=streams), seq - 1)
    value = answer_of(name.kind, result)
    try:
        position = EventId(turn, seq)
        opened = answer_question(mount, key, position, name.request_id, value, streams=streams)
    except RequestError as error:
        if error.code != "no_pending_input":
            raise
        # It was given before: the same answer leads to the same stream.
        opened = attach_turn(mount, key, turn, seq, streams=streams)
    return Opened(opened, seq, name.request_id)


def check_known(mount: Mount, key: SessionKey, turn: int) -> None:
    """Raise RequestError ``not_found`` unless the session has had this turn."""
    view = mount.store.state_of(key)
    if view is None or view.turn < turn:
        raise RequestError("not_found", "There is no such call.")


def _open_state(mount: Mount, state: Any) -> tuple[int, int, QuestionName]:
    try:
        text = (
            _signer(mount, current_principal().tenant).loads(state)
            if isinstance(state, str)
            else ""
        )
        turn, seq, name = str(text).split(".", 2)
        return int(turn), int(seq), QuestionName.parse(name)
    except (BadSignature, ValueError):
        raise RpcError(INVALID_PARAMS, "The requestState is not from this server.") from None


def _signer(mount: Mount, tenant: str) -> URLSafeSerializer:
    """Signs what a client brings back, for its tenant alone; raises StoreUnavailable."""
    return URLSafeSerializer(mount.store.secret(), salt=f"{_SALT} {tenant}")
