"""The stand-alone app: the host at the root of its own Flask app, with the chat page."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from functools import partial

from flask import Flask

from wsgi_app import logs
from wsgi_app.agents import OpenAIAgent, demo_agent
from wsgi_app.config import Settings, load_settings, setting_name
from wsgi_app.engine.turn.turn import Agent
from wsgi_app.errors import ConfigError
from wsgi_app.host import AgentHost
from wsgi_app.web.mount import EXTENSION_KEY
from wsgi_app.web.page import make_page_blueprint
from wsgi_app.web.sending import bound_answer

#: When AGENT_MODEL names none; one that every OpenAI account has.
DEFAULT_MODEL = "gpt-4.1-mini"


def create_app(environ: Mapping[str, str] = os.environ) -> Flask:
    """Build the app that `wsgi_app:app` serves; raises ConfigError for a malformed setting."""
    settings = load_settings({}, {}, environ)
    logs.set_up(settings.log_format)
    app = Flask(__name__, static_folder=None, template_folder=None)
    # Nothing wraps this app: streams beyond the threads are parked where the server lets them.
    delivery = settings.delivery or "auto"
    AgentHost(choose_agent(settings, environ), delivery=delivery).init_app(app)
    [mount] = app.extensions[EXTENSION_KEY].values()
    app.register_blueprint(make_page_blueprint(partial(bound_answer, mount=mount)))
    return app


def choose_agent(settings: Settings, environ: Mapping[str, str]) -> Agent:
    """Take AGENT_FACTORY's agent, else a model's if one is configured, else the demo's."""
    if settings.factory is not None:
        return _load_agent(settings.factory)
    if not (environ.get("OPENAI_API_KEY") or environ.get("OPENAI_BASE_URL")):
        return demo_agent
    return OpenAIAgent(model=settings.model or DEFAULT_MODEL, system=settings.system_prompt)


def _load_agent(target: str) -> Agent:
    key = setting_name("factory")
    module_name, _, name = target.partition(":")
    try:
        found = getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"{key} cannot be loaded: {target}: {error}") from error
    if not callable(found):
        raise ConfigError(f"{key} is not callable: {target}")
    agent: Agent = found
    return agent
