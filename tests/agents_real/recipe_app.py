"""A site that mounts a recipe of `examples/frameworks/`, in the environment of its framework.

``RECIPE`` names it, ``OPENAI_BASE_URL`` is the provider, which is the shop's warehouse as well.
"""

from __future__ import annotations

import importlib
import os

import shop  # of the folder of the recipes, which is on the path
from flask import Flask

from wsgi_app import AgentHost
from wsgi_app.agents import http

warehouse = http.http_client()


def stock(article: str) -> str:
    """Count how many of an article are in stock.

    Args:
        article: The article's name.

    """
    if article.startswith("slow"):  # this one is asked for, and the answer never comes
        warehouse.post(f"{os.environ['OPENAI_BASE_URL']}/warehouse", json={"article": article})
    return f"{len(article)} of {article}"


def recipe_app() -> Flask:
    """Mount the recipe below /agents."""
    shop.stock = stock
    app = Flask("site")
    answer = importlib.import_module(os.environ["RECIPE"]).answer
    AgentHost(answer).init_app(app, url_prefix="/agents")
    return app
