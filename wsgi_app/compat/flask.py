"""What differs between versions of Flask."""

from __future__ import annotations

from flask.ctx import AppContext, RequestContext


def is_context(value: object) -> bool:
    """Whether the value of a context variable is what Flask keeps of a request or an app.

    It is the context itself in Flask 2.2 and later. In 2.0 and 2.1 it is a stack of them: a list
    in Werkzeug 2.2 and later, and a list within a dict before.
    """
    if isinstance(value, dict):
        value = value.get("stack")
    held = value if isinstance(value, list) else [value]
    return any(isinstance(one, (AppContext, RequestContext)) for one in held)
