"""Hundreds of turns on one worker whose tools block."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack

import pytest

from tests.support.crowd import send_crowd
from tests.support.crowd_app import ANSWERED, NAP_SECONDS, PAGE, PREFIX, message
from tests.support.servers import gunicorn, redis_server
from tests.support.upstream import Upstream

TURNS = 300
#: One after the other the naps alone would take 300 s.
ALL_AT_ONCE_SECONDS = 60.0


@pytest.mark.slow
@pytest.mark.parametrize("store", ["memory", "redis"])
def test_turns_with_blocking_tools_run_at_once(store: str) -> None:
    """300 turns that begin at one instant are all admitted, nap together, and end as they should.

    How far from the ideal they end, and how fast the site's page is meanwhile, is measured by
    ``make bench WORK=crowd``.
    """
    with ExitStack() as stack:
        env = dict(stack.enter_context(Upstream()).environment)
        if store == "redis":
            env["AGENT_REDIS_URL"] = stack.enter_context(redis_server()).url
        server = stack.enter_context(
            gunicorn("tests.support.crowd_app:crowd_app()", threads=TURNS + 50, env=env)
        )
        messages = [message(str(number)) for number in range(TURNS)]
        crowd = send_crowd(server.port, PREFIX, messages, PAGE)
    assert Counter(crowd.streams) == {ANSWERED: TURNS}
    assert NAP_SECONDS <= crowd.seconds < ALL_AT_ONCE_SECONDS
    assert crowd.page_seconds
