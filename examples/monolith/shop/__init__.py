"""A small shop as shops have been for years: a login, server-rendered pages, one database.

The agents are the last two lines of `create_app`.
"""

from flask import Flask
from sqlalchemy import QueuePool

from wsgi_app import AgentHost

from . import agent, models, pages


def create_app() -> Flask:
    """Build the site; variables named ``SHOP_…`` set its configuration, dictionaries by ``__``."""
    app = Flask(__name__)
    app.config.from_mapping(
        SECRET_KEY="change me",
        SQLALCHEMY_DATABASE_URI="sqlite:///shop.db",
        SQLALCHEMY_ENGINE_OPTIONS={"poolclass": QueuePool, "pool_size": 5, "pool_timeout": 10},
    )
    app.config.from_prefixed_env("SHOP")
    models.init_app(app)
    pages.init_app(app)
    host = AgentHost(agent.make_agent(), authenticate=pages.customer_name)
    host.init_app(app, url_prefix="/agents")
    return app
