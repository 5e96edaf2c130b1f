"""Where the parts meet: an agent, its settings, and the Flask app that it is mounted in."""

from __future__ import annotations

import inspect
import logging
import os
from collections.abc import Callable, Iterable
from typing import Any

from flask import Blueprint, Flask, Response, current_app

from wsgi_app.auth import Authenticate, make_authenticator
from wsgi_app.compat.msgspec import prepare_structs
from wsgi_app.config import Settings, load_settings, setting_name, with_namespace
from wsgi_app.engine.runtime.threads import start_thread
from wsgi_app.engine.turn.turn import Agent
from wsgi_app.engine.worker.agent_factory import Given
from wsgi_app.errors import ConfigError
from wsgi_app.files import FileDirectory, FileStorage
from wsgi_app.store import MemoryStore, Store, StoreLimits
from wsgi_app.web.blueprint import HostBlueprint
from wsgi_app.web.mount import EXTENSION_KEY, Mount
from wsgi_app.web.set_up import unused_logins
from wsgi_app.wires import find_wires
from wsgi_app.wires.a2a.routes.card import card_response

log = logging.getLogger("wsgi_app")


class AgentHost:
    """Hosts an agent inside a Flask app.

    ``agent`` is called with a `Turn` and yields strings and events; or it is a factory, called
    without an argument, that makes such agents: one for each session if they have ``close()``.
    ``authenticate`` is called with the request and answers the tenant's name (or a `Principal`),
    None for 401; without it AGENT_TOKENS decide. ``before_stream`` is called in the request's
    context before a response begins to wait for events, to return what the site holds (database
    connections of Flask-SQLAlchemy are returned without it). ``files`` keeps the files that users
    send, instead of the directory that AGENT_FILES_DIR names. ``settings`` are those of
    docs/settings.md without ``AGENT_``, in lower case.

    Nothing starts before the first request, or before the worker where gunicorn has the hooks, so
    that it may be made before gunicorn forks.
    """

    def __init__(
        self,
        agent: Agent | Callable[[], Any],
        authenticate: Authenticate | None = None,
        *,
        before_stream: Callable[[], None] | None = None,
        files: FileStorage | None = None,
        **settings: Any,
    ) -> None:
        self._agent = agent
        self._authenticate = authenticate
        self._before_stream = before_stream
        self._files = files
        self._overrides = settings
        #: One for each app, with its prefix there.
        self._mounts: list[tuple[Mount, str]] = []

    def init_app(self, app: Flask, url_prefix: str | None = None) -> None:
        """Mount the host's routes below a prefix; without one, at the root, over all other paths.

        Raises ConfigError for a malformed or unknown setting, a prefix that is taken, and an agent
        that cannot be called.
        """
        app.register_blueprint(self.blueprint(url_prefix))

    def blueprint(self, url_prefix: str | None = None) -> Blueprint:
        """Make a blueprint of the host's routes, for what takes one: a list, a plugin.

        The host is mounted when an app registers it, below the prefix that the app gives it then,
        else below ``url_prefix``; `init_app`'s errors are raised then. Each app may register it
        once. ``admin`` and ``cors_origins`` are as the first app to do so has them.
        """
        return HostBlueprint(self._mount, find_wires(), url_prefix)

    def agent_card(self) -> Response:
        """Answer with the agent's card for A2A: a view for the site's own well-known path.

        ``app.add_url_rule("/.well-known/agent-card.json", view_func=host.agent_card)``, where the
        host is mounted below a prefix.
        """
        here = [one for one in self._mounts if one[0].app.extensions is current_app.extensions]
        return card_response(*here[0])

    def _mount(self, app: Flask, prefix: str | None, name: str) -> Mount:
        prepare_structs()
        settings = load_settings(self._overrides, app.config, os.environ)
        # The name of a blueprint around the host's is before the last dot.
        outer = name.rpartition(".")[0]
        settings = with_namespace(
            settings, ".".join(filter(None, (app.import_name, outer))), prefix
        )
        mounts = app.extensions.setdefault(EXTENSION_KEY, {})
        if "namespace" not in self._overrides:
            _check_namespace(settings, mounts.values())
        mount = Mount(
            app,
            settings,
            _factory_of(self._agent),
            make_authenticator(settings, self._authenticate),
            _store_maker(settings),
            shared_store=settings.redis_url is not None,
            before_stream=self._before_stream,
            files=self._files or _file_storage(settings),
        )
        if self._authenticate is not None and (unused := unused_logins(settings)):
            mount.warn_once("login", unused)
        mounts[name] = mount
        self._mounts.append((mount, prefix or ""))
        mount.log_warnings()
        return mount


def _file_storage(settings: Settings) -> FileStorage | None:
    """What keeps users' files, where a directory is set for that."""
    if settings.files_dir is None:
        return None
    return FileDirectory(settings.files_dir, settings.host, settings.session_ttl_seconds)


def _factory_of(agent: Agent | Callable[[], Any]) -> Callable[[], Agent]:
    """A factory needs no argument; an agent needs its turn.

    Raises ConfigError for what can be neither.
    """
    if hasattr(agent, "open_session") and not inspect.isclass(agent):
        return Given(agent)  # what it opens takes an argument
    try:
        parameters = inspect.signature(agent).parameters.values()
    except (TypeError, ValueError) as error:
        raise ConfigError(f"the agent cannot be called: {agent!r}") from error
    needed = [
        p
        for p in parameters
        if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]
    if needed and inspect.isclass(agent):
        raise ConfigError(f"{agent.__name__} is a class that needs arguments: pass an object")
    if needed:
        return Given(agent)
    return agent  # type: ignore[return-value] # it takes none


def _check_namespace(settings: Settings, others: Iterable[Mount]) -> None:
    """Refuse hosts that would share all sessions because a setting of the app names them alike."""
    if any(other.settings.namespace == settings.namespace for other in others):
        raise ConfigError(
            f"{setting_name('namespace')} gives two hosts of this app one namespace, so that they"
            " share all sessions: set it as AgentHost(…, namespace=…) for each"
        )


def _store_maker(settings: Settings) -> Callable[[], Store]:
    """What makes the store in a worker; the client of Redis is loaded before the fork."""
    limits, url = StoreLimits.from_settings(settings), settings.redis_url
    if url is None:
        return lambda: MemoryStore(limits)
    from wsgi_app.store.redis import RedisStore  # noqa: PLC0415 - a host without it saves its time

    return lambda: RedisStore(url, limits, namespace=settings.host, start_thread=start_thread)
