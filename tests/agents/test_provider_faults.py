"""What a provider did wrong ends a turn as such, whichever agent asked it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import httpx2
import openai
import pytest

from tests.agents.bench import Host
from tests.support.upstream import Upstream
from tests.support.upstream_script import AnyStep, Cut, Refuse, Text
from wsgi_app.agents.provider_faults import provider_error
from wsgi_app.errors import UpstreamError

Ask = Callable[[Upstream], Any]
ASKED: Any = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": True}


class FrameworkError(Exception):
    """What a framework makes of everything."""


def by_openai(upstream: Upstream) -> str:
    """Ask with the openai package."""
    with openai.OpenAI(base_url=upstream.url, api_key="none", max_retries=0) as client:
        pieces = [chunk.choices[0].delta.content or "" for chunk in _all(client)]
    return "".join(pieces)


def _all(client: openai.OpenAI) -> list[Any]:
    with client.chat.completions.create(**ASKED) as stream:
        return list(stream)


def by_httpx(package: Any) -> Ask:
    """Ask with an HTTP library."""

    def ask(upstream: Upstream) -> str:
        with package.Client() as client:
            response = client.post(f"{upstream.url}/chat/completions", json=ASKED)
            response.raise_for_status()
            return str(response.text)

    return ask


def from_it(ask: Ask) -> Ask:
    """Raise an error of one's own from what comes."""

    def asking(upstream: Upstream) -> Any:
        try:
            return ask(upstream)
        except Exception as error:
            raise FrameworkError("it failed") from error

    return asking


def while_handling(ask: Ask) -> Ask:
    """Fail in another way while handling what comes."""

    def asking(upstream: Upstream) -> Any:
        try:
            return ask(upstream)
        except Exception:  # noqa: BLE001 - as frameworks do
            raise FrameworkError("it failed")  # noqa: B904 - the same

    return asking


ASKS = {"openai": by_openai, "httpx": by_httpx(httpx), "httpx2": by_httpx(httpx2)}
FORMS: dict[str, Callable[[Ask], Ask]] = {
    "bare": lambda ask: ask,
    "cause": from_it,
    "context": while_handling,
    "deep": lambda ask: from_it(while_handling(from_it(ask))),
}
FAULTS: dict[str, tuple[tuple[AnyStep, ...], dict[str, Any], bool]] = {
    "429": ((Refuse(429),), {"status": 429}, True),
    "500": ((Refuse(500),), {"status": 500}, True),
    "400": ((Refuse(400),), {"status": 400}, False),
    "cut": ((Text(("Half",)), Cut()), {}, True),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("by", ASKS)
def test_a_providers_fault_is_no_fault_of_the_agent(
    by: str, form: str, fault: str, upstream: Upstream, host: Host
) -> None:
    """The turn ends as `OpenAIAgent`'s does, without the provider's text."""
    script, details, retryable = FAULTS[fault]
    upstream.script(*script)
    ask = FORMS[form](ASKS[by])
    bench = host(lambda _: ask(upstream))
    last = bench.turns.run(lambda _: ask(upstream))[-1]
    told = (getattr(last, "code", ""), getattr(last, "retryable", None))
    assert told == ("upstream_error", retryable)
    assert getattr(last, "details", None) == details
    assert "secret" not in str(last)


def test_an_agents_own_fault_is_its_own(upstream: Upstream, host: Host) -> None:
    """What has no provider's error below it is ``agent_error``."""

    def answer(_: Any) -> Any:
        try:
            by_openai(upstream)
        except openai.OpenAIError as error:
            del error
            raise FrameworkError("another") from None

    upstream.script(Refuse(400))
    last = host(answer).turns.run(answer)[-1]
    assert getattr(last, "code", "") == "agent_error"


def test_groups_are_looked_into_and_circles_left() -> None:
    """An error in a group counts, one that is its own cause ends the search."""
    inner = UpstreamError("The model provider does not answer.")
    group = FrameworkError("all failed")
    group.exceptions = (ValueError("first"), inner)  # type: ignore[attr-defined] # as of an ExceptionGroup
    assert provider_error(group) is inner
    circle = ValueError("a circle")
    circle.__context__ = FrameworkError("back")
    circle.__context__.__context__ = circle
    assert provider_error(circle) is None
