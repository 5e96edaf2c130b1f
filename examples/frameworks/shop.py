"""What all recipes have in common: a model's name and a tool."""

import os

MODEL = os.environ.get("AGENT_MODEL", "gpt-4.1-mini")


def stock(article: str) -> str:
    """Count how many of an article are in stock.

    Args:
        article: The article's name.

    """
    return f"{len(article)} of {article}"
