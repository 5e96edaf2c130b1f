"""The built-in agent: a model behind one of OpenAI's APIs, with plain functions as its tools."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import msgspec
from msgspec import Struct

from wsgi_app.agents.chat_request import ChatConversation
from wsgi_app.agents.client_tools import go_on_calls, offered_tools, run_calls
from wsgi_app.agents.content_parts import chat_content, responses_content
from wsgi_app.agents.model_api import Conversation, ModelStep, Prompt, checked_options
from wsgi_app.agents.responses_request import ResponsesConversation
from wsgi_app.agents.tool_call import CallRequest
from wsgi_app.agents.tool_offer import MAX_TOOLS, MIN_TOOLS, Offer, called_in
from wsgi_app.agents.toolbox import Toolbox
from wsgi_app.agents.tools import AnyTool, ToolConnections, ToolServer
from wsgi_app.engine import Turn
from wsgi_app.engine.turn.agent_run import Rest
from wsgi_app.errors import TurnError
from wsgi_app.events import ToolCall, ToolResult
from wsgi_app.extras import needs
from wsgi_app.tracing import spanned

if TYPE_CHECKING:
    from openai import AsyncOpenAI

log = logging.getLogger("wsgi_app")

_APIS: Final[dict[str, Callable[[Prompt, Sequence[Any], Any], Conversation]]] = {
    "chat": ChatConversation,
    "responses": ResponsesConversation,
}


_CONTENTS: Final[dict[str, Callable[[Turn], Any]]] = {
    "chat": chat_content,
    "responses": responses_content,
}


class OpenAIAgent:
    """Answers with a chat model, calling tools until the model needs no more.

    ``model``: the model's name, as the provider knows it. ``tools``: functions with type hints and
    a docstring, see `Tool`, or other sources of tools, as an `McpServer`. ``system``: the system
    prompt. ``max_steps``: how many times the model may be asked in one turn, AGENT_MAX_STEPS if
    not given; needing more ends the turn with ``step_limit``. ``client``: an ``AsyncOpenAI`` of
    your own, used as it is, by one host; without it the agent makes one for each worker, which
    reads ``OPENAI_API_KEY`` and ``OPENAI_BASE_URL``. ``api``: ``"chat"`` for
    ``/chat/completions``, which most servers have, ``"responses"`` for ``/responses``, where
    OpenAI's models keep their reasoning between steps. ``options``: further fields of each request
    (``{"temperature": 0}``), as the API's reference or the server's has them. ``max_tools``: how
    many tools the model is shown, of all sources together; providers refuse a request with more.
    ``too_many_tools``: with ``"find"`` the model gets a tool that looks for those left out, with
    ``"refuse"`` more functions are a ValueError, and more tools of servers end the turn with an
    error. ``resume``: with Redis, another worker continues a turn whose worker dies, from its
    last finished step, see `Tool`. Raises ConfigError without the openai
    package (the extra ``openai``).

    Called by any number of turns at once, each in its own thread or on the io loop; nothing changes
    after construction but the state of ``_client``, see there.
    """

    def __init__(  # noqa: PLR0913 - one per thing that an author may want to say
        self,
        model: str,
        tools: Sequence[AnyTool | ToolServer | Callable[..., Any]] = (),
        system: str | None = None,
        max_steps: int | None = None,
        client: AsyncOpenAI | None = None,
        *,
        api: Literal["chat", "responses"] = "chat",
        options: Mapping[str, Any] | None = None,
        max_tools: int = MAX_TOOLS,
        too_many_tools: Literal["find", "refuse"] = "find",
        resume: bool = True,
    ) -> None:
        if api not in _APIS:
            raise ValueError(f"api is one of {', '.join(_APIS)}: {api!r}")
        if too_many_tools not in ("find", "refuse") or max_tools < MIN_TOOLS:
            text = f"too_many_tools is find or refuse, max_tools at least {MIN_TOOLS}"
            raise ValueError(f"{text}: {too_many_tools!r}, {max_tools!r}")
        with needs("openai", "OpenAIAgent"):
            from wsgi_app.agents.openai_client import OpenAIClient  # noqa: PLC0415 - it loads openai

        self._model = model
        self._toolbox = Toolbox([tool for tool in tools if not isinstance(tool, ToolServer)])
        self._servers = [tool for tool in tools if isinstance(tool, ToolServer)]
        self._system = system
        self._max_steps = max_steps
        self._client = OpenAIClient(client)
        self._begin_conversation = _APIS[api]
        self._content_of = _CONTENTS[api]
        self._options = checked_options(options)
        self._max_tools = max_tools
        self._refuses_more = too_many_tools == "refuse"
        self._api = api
        self._resume = resume
        #: The tools that the log last named; any turn's thread writes it, whole.
        self._reported_left_out: list[str] = []
        if self._refuses_more and len(self._toolbox.tools) > max_tools:
            raise ValueError(f"{len(self._toolbox.tools)} tools are more than {max_tools}")

    #: Whether its model is shown what came with a message.
    takes_attachments = True

    @property
    def lack(self) -> str:
        """What the start warns of: without a key its provider refuses each turn."""
        return self._client.lack

    #: Whether it looks for what the user says while a turn runs.
    takes_steering = True
    #: Whether its model may call tools of a turn's client.
    takes_client_tools = True

    @property
    def tool_names(self) -> list[str]:
        """The names that no tool of a client's may have."""
        return [tool.name for tool in self._toolbox.tools]

    @property
    def resumes(self) -> bool:
        """Whether turns of other workers are continued."""
        return self._resume

    @property
    def has_state(self) -> bool:
        """Whether a session's connections to servers of tools stay in its worker."""
        return bool(self._servers)

    def open_session(self) -> OpenAIAgent | OpenAISession:
        """The agent of one session: this one, unless sources of tools need connections."""
        return OpenAISession(self, self._connect()) if self._servers else self

    def __call__(self, turn: Turn) -> Iterator[ToolCall | ToolResult]:
        """Answer a turn.

        Tokens and thinking go out while they arrive. Raises UpstreamError when the provider fails,
        TurnError with code ``step_limit``.
        """
        if not self._servers:
            yield from self.answer(turn)
            return
        with closing(OpenAISession(self, self._connect())) as session:
            yield from session(turn)

    def begin_on_loop(self, turn: Turn) -> Coroutine[Any, Any, Rest] | None:
        """Ask the model the first time without a thread; see `BeginsOnLoop`."""
        return None if self._servers or turn.attempt > 1 else self._begin_on_loop(turn)

    async def _begin_on_loop(self, turn: Turn) -> Rest:
        exchange = self._open_exchange(turn, None)
        self._listen(turn, exchange, 0)
        with self._asked() as found:
            step = await self._client.ask(exchange.conversation, turn.emit)
            _note_usage(found, step)
        turn.add_usage(step.usage)
        if not step.calls and turn.may_end():
            return None
        return lambda turn: self._go_on(turn, exchange, step)

    def answer(
        self, turn: Turn, servers: ToolConnections | None = None
    ) -> Iterator[ToolCall | ToolResult]:
        """Answer a turn with the agent's own tools and those of servers; see `__call__`."""
        exchange = self._open_exchange(turn, servers)
        steps = yield from self._go_through_recorded(turn, exchange)
        max_steps = self._max_steps or turn.max_steps
        if steps >= max_steps:
            raise _too_many_steps(max_steps)
        self._listen(turn, exchange, steps)
        step = self._ask(turn, exchange.conversation)
        yield from self._go_on(turn, exchange, step, steps)

    def _open_exchange(self, turn: Turn, servers: ToolConnections | None) -> _Exchange:
        before = [msgspec.convert(one.data, _Recorded) for one in turn.records.recorded]
        called = {call.tool for step in before for call in step.calls}
        offer = Offer(self._max_tools, called | set(called_in(turn.history)))
        toolbox = self._update(offer, turn, servers)
        prompt = Prompt(self._model, self._system, offer.shown, self._options, turn.kept)
        conversation = self._begin_conversation(prompt, turn.history, self._content_of(turn))
        return _Exchange(conversation, offer, toolbox, servers)

    def _go_through_recorded(
        self, turn: Turn, exchange: _Exchange
    ) -> Generator[ToolResult, None, int]:
        """Take in the steps that another worker has recorded, and end the last one; how many."""
        for recorded in turn.records.recorded:
            data = msgspec.convert(recorded.data, _Recorded)
            if data.api != self._api:
                raise TurnError("The turn was begun by another agent.")
            results = yield from go_on_calls(turn, exchange.toolbox, data.calls, recorded.results)
            exchange.conversation.add(data.answer, results, spoke=data.spoke)
            exchange.conversation.say(recorded.steered)
        return len(turn.records.recorded)

    def _go_on(
        self, turn: Turn, exchange: _Exchange, step: ModelStep, steps: int = 0
    ) -> Iterator[ToolCall | ToolResult]:
        """Run the calls of a step and ask again, until there are none; ``steps`` are over."""
        conversation, offer, toolbox, servers = exchange
        max_steps = self._max_steps or turn.max_steps
        for number in range(steps, max_steps - 1):
            calls = [
                call._replace(key=turn.key_of(number, index))
                for index, call in enumerate(step.calls)
            ]
            if not calls and turn.may_end():
                return
            kept = conversation.kept()
            for call in calls if kept else ():
                turn.keep(call.call_id, kept)
            recorded = _Recorded(self._api, conversation.answer(), calls, bool(step.text))
            begun = partial(turn.records.record, recorded, [call.call_id for call in calls])
            if calls:
                results = yield from run_calls(turn, toolbox, calls, begun)
            else:  # what it has to say it has said, and the user something more
                begun()
                results = []
            conversation.add(recorded.answer, results, spoke=recorded.spoke)
            self._listen(turn, exchange, number + 1)
            if not calls:
                turn.emit(PARAGRAPH)
            if servers is not None and servers.has_new_tools:
                toolbox = self._update(offer, turn, servers)
            step = self._ask(turn, conversation)
        if step.calls:
            raise _too_many_steps(max_steps)

    def _listen(self, turn: Turn, exchange: _Exchange, steps: int) -> None:
        """Take what the user has said before the next step; ``steps`` are over.

        Nobody could answer what comes during the last one. What comes before the first waits for
        the second: many models refuse two messages of the user's in a row.
        """
        is_last = steps == (self._max_steps or turn.max_steps) - 1
        if steps or is_last:
            exchange.conversation.say(turn.steered(last=is_last))

    def _ask(self, turn: Turn, conversation: Conversation) -> ModelStep:
        with self._asked() as found:
            step = turn.run_io(self._client.ask(conversation, turn.emit))
            _note_usage(found, step)
        turn.add_usage(step.usage)
        return step

    def _asked(self) -> AbstractContextManager[dict[str, str | int]]:
        asked = {"gen_ai.operation.name": "chat", "gen_ai.request.model": self._model}
        return spanned(f"chat {self._model}", asked)

    def _update(self, offer: Offer, turn: Turn, servers: ToolConnections | None) -> Toolbox:
        """Offer the tools that there are now; raises TurnError for too many, if that is set."""
        more = () if servers is None else servers.tools(turn)
        tools = [*self._toolbox.tools, *more]
        tools += offered_tools(turn, [tool.name for tool in tools])
        if self._refuses_more and len(tools) > self._max_tools:
            raise TurnError(
                f"The agent has {len(tools)} tools, more than {self._max_tools}.",
                {"tools": len(tools), "max_tools": self._max_tools},
            )
        toolbox = offer.update(tools)
        left_out = [tool.name for tool in offer.left_out]
        if left_out != self._reported_left_out:
            self._reported_left_out = left_out
            log.warning("%d tools are left out, to be found: %s", len(left_out), left_out)
        return toolbox

    def _connect(self) -> ToolConnections:
        # Servers of one kind share their connections' names; there is one kind so far.
        taken = [tool.name for tool in self._toolbox.tools]
        return self._servers[0].connect(self._servers, taken)


#: Between two answers of one turn.
PARAGRAPH: Final = "\n\n"


class _Recorded(Struct, frozen=True):
    """What another worker continues from, behind a step."""

    api: str
    answer: list[Any]
    calls: list[CallRequest]
    #: Whether the answer had text.
    spoke: bool


class _Exchange(NamedTuple):
    """What one turn has with its model."""

    conversation: Conversation
    offer: Offer
    toolbox: Toolbox
    servers: ToolConnections | None


def _too_many_steps(max_steps: int) -> TurnError:
    message = f"The model needs more than {max_steps} steps."
    return TurnError(message, {"max_steps": max_steps}, code="step_limit")


def _note_usage(found: dict[str, str | int], step: ModelStep) -> None:
    found["gen_ai.usage.input_tokens"] = step.usage.input_tokens
    found["gen_ai.usage.output_tokens"] = step.usage.output_tokens


class OpenAISession:
    """The agent of one session, with the session's own connections to servers of tools.

    Called by one turn after the other, and closed by any thread; the connections guard themselves.
    """

    def __init__(self, agent: OpenAIAgent, connections: ToolConnections) -> None:
        self._agent = agent
        self._connections = connections

    def __call__(self, turn: Turn) -> Iterator[ToolCall | ToolResult]:
        """Answer a turn; raises TurnError too when a server of tools cannot be used."""
        yield from self._agent.answer(turn, self._connections)

    def close(self) -> None:
        """End the connections."""
        self._connections.close()
