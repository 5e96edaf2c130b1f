"""The scripted agent on a system without epoll, as macOS is one."""

from __future__ import annotations

import select

del select.epoll

from tests.support.apps import scripted_app  # noqa: E402 - after what it shall not find

app = scripted_app()
