"""langgraph-sdk for Python, and what its tests of threads ask for."""

from __future__ import annotations

from typing import Any, Final

from langgraph_sdk import get_sync_client
from langgraph_sdk.client import SyncLangGraphClient

from tests.support.servers import Gunicorn
from wsgi_app.auth import DEVELOPMENT_TOKEN

HELLO: Final[Any] = {"messages": [{"role": "user", "content": "hello"}]}
#: As often a thread is asked for that one of two workers has made.
LOOKS: Final = 6


def client_of(server: Gunicorn, token: str = DEVELOPMENT_TOKEN) -> SyncLangGraphClient:
    """The SDK's client, whose caller closes it."""
    return get_sync_client(url=f"{server.url}/agents/langgraph", api_key=token)


def says(text: str) -> Any:
    """Metadata that has the agent say this."""
    return {"steps": [{"text": text}]}


def copy_of(client: SyncLangGraphClient, thread_id: str) -> Any:
    """A thread's copy, which the SDK gives back, though its type says that it does not."""
    copy: Any = client.threads.copy
    return copy(thread_id)
