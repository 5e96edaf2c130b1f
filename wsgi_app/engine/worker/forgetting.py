"""How an agent's memory of a session is deleted with it."""

from __future__ import annotations

from typing import Final

from wsgi_app.engine.turn.session_name import SessionName
from wsgi_app.engine.worker.session_agents import SessionAgents
from wsgi_app.errors import RequestError
from wsgi_app.events import EventId
from wsgi_app.store.base import Fence, SessionKey, Store

#: The longest that a deletion waits for an agent's own memory.
FORGET_SECONDS: Final = 10.0
#: Such a long wait needs a slot or a permit.
LONG_SECONDS: Final = 1.0


def delete_session(
    store: Store, agents: SessionAgents, name: SessionName, wait_seconds: float
) -> bool:
    """Forget a session, whose turns were ended; False for an unknown one.

    ``wait_seconds``: how long the request may wait for ends; if long, the memory gets longer.

    The agent's own memory goes first: if that fails the session is still there, to be deleted
    again. Raises MemoryUnavailable and StoreUnavailable.
    """
    key = SessionKey(name.tenant, name.session_id)
    seconds = FORGET_SECONDS if wait_seconds >= LONG_SECONDS else wait_seconds
    agents.discard(key)
    agents.forget(name, seconds)
    deleted = store.delete_session(key)
    # Once more: a turn may have come and gone between. What runs on does it at its own end.
    agents.forget(name, seconds)
    return deleted


def forget_if_gone(store: Store, agents: SessionAgents, namespace: str, fence: Fence) -> None:
    """Delete what an agent's code has written that ran on until its session was deleted.

    Each of a turn's threads that outlives it does so at its end: a graph that is stopped goes on
    writing in some that it does not wait for.
    """
    if agents.forgets_sessions is False:
        return
    try:
        found = store.read(fence.key, EventId(fence.turn, 0), 0)
        if found is None or found.newest_turn < fence.turn:
            agents.forget(SessionName(namespace, *fence.key), FORGET_SECONDS)
    except RequestError:
        pass  # it was logged; the session's next deletion takes it away
