"""The questions of one server to the user, in the middle of its calls."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from mcp import MCPError
from mcp_types import (
    ElicitationRequiredErrorData,
    ElicitRequestFormParams,
    ElicitRequestParams,
    ElicitRequestURLParams,
    ElicitResult,
)
from pydantic import ValidationError

from wsgi_app.agents.approvals import is_approval, refusal_reason
from wsgi_app.agents.mcp.questions import (
    MAX_TRIES,
    accepted,
    content_of,
    faults_of,
    is_askable,
    question_of,
)
from wsgi_app.agents.tool_call import CallRefused
from wsgi_app.engine import Turn

log = logging.getLogger("wsgi_app")

#: Pages that one call asks for.
MAX_PAGES: Final = 5
_NO_ANSWER: Final = object()


class Asking:
    """Asks the users of one session. Used on the ``agents`` loop alone.

    ``stop_clocks`` is called when a question begins to wait, ``start_clocks`` when none does.
    """

    def __init__(
        self, server: str, stop_clocks: Callable[[], None], start_clocks: Callable[[], None]
    ) -> None:
        self._server = server
        self._stop_clocks = stop_clocks
        self._start_clocks = start_clocks
        self._questions = 0

    @property
    def is_asking(self) -> bool:
        """Whether a question waits."""
        return self._questions > 0

    async def ask(self, turn: Turn | None, params: ElicitRequestParams) -> ElicitResult:
        """Ask what the server asks, again if the answer does not fit."""
        if turn is None or not is_askable(params):
            return ElicitResult(action="cancel")
        prompt, schema = question_of(self._server, params)
        asked = prompt
        for _ in range(MAX_TRIES):
            answer = await self._answer(turn, asked, schema)
            if answer is _NO_ANSWER:
                return ElicitResult(action="cancel")
            if answer is None or answer is False:
                return ElicitResult(action="decline")
            if not isinstance(params, ElicitRequestFormParams):
                return accepted() if _has_visited(answer) else ElicitResult(action="decline")
            content = content_of(params, answer)
            faults = ["it is no object"] if content is None else faults_of(schema, content)
            if not faults:
                try:
                    return accepted(content)
                except ValidationError:
                    faults = ["MCP has no form for it"]
            asked = f"{prompt}\n(The answer does not fit: {'; '.join(faults)}.)"
        log.info("MCP server %s gets no answer: none of the user's fits", self._server)
        return ElicitResult(action="cancel")

    async def visit(self, turn: Turn, error: MCPError) -> None:
        """Ask the user to open the pages that a refused call needs; raises CallRefused for a no."""
        try:
            pages = ElicitationRequiredErrorData.model_validate(error.error.data).elicitations
        except ValidationError:
            pages = []
        if not pages or len(pages) > MAX_PAGES:
            raise CallRefused(error.message)
        for page in pages:
            asked = ElicitRequestURLParams(
                message=page.message, url=page.url, elicitation_id=page.elicitation_id
            )
            result = await self.ask(turn, asked)
            if result.action != "accept":
                text = f"the user has not opened the page that the call needs: {page.url}"
                raise CallRefused(f"{error.message}: {text}")

    async def _answer(self, turn: Turn, prompt: str, schema: dict[str, Any] | None) -> Any:
        with self._clocks_stopped():
            question = asyncio.ensure_future(turn.ask_async(prompt, schema))
            try:
                # Not awaited itself: its cancel, at the turn's end, is not the cancel of this task,
                # whose other end would be the end of the connection.
                await asyncio.wait([question])
            finally:
                question.cancel()
        if question.cancelled():
            return _NO_ANSWER
        error = question.exception()
        if error is not None:
            log.info("MCP server %s gets no answer: %s", self._server, type(error).__name__)
            return _NO_ANSWER
        return question.result()

    @contextmanager
    def _clocks_stopped(self) -> Iterator[None]:
        self._questions += 1
        self._stop_clocks()
        try:
            yield
        finally:
            self._questions -= 1
            if not self._questions:  # another call's may still wait
                self._start_clocks()


def _has_visited(answer: Any) -> bool:
    is_plain_no = isinstance(answer, str) and refusal_reason(answer) is None
    return is_approval(answer) or not is_plain_no
