"""What a request of the Responses API names instead of sending it: items of earlier responses."""

from __future__ import annotations

from typing import Any, Final

from wsgi_app.errors import RequestError
from wsgi_app.web.mount import Mount
from wsgi_app.wires.openai.encode.items import REASONING
from wsgi_app.wires.openai.ids import PartRef, ResponseRef
from wsgi_app.wires.openai.request.messages import bad_request
from wsgi_app.wires.openai.routes.read import find_response, snapshot

Item = dict[str, Any]

#: The responses that one request may name: each is read from the store.
MAX_RESPONSES: Final = 200


def resolve(mount: Mount, items: list[Item]) -> list[Item]:
    """Put the items themselves into the place of references; raises RequestError.

    `@ai-sdk/openai` sends the agent's own answers so, by the ids under which it got them.
    """
    outputs: dict[ResponseRef, list[Item]] = {}
    return [
        _find(mount, item, outputs, f"input.{index}") if _is_reference(item) else item
        for index, item in enumerate(items)
    ]


def _is_reference(item: Item) -> bool:
    # The type may be left out, by OpenAI's schema.
    kind = item.get("type")
    return kind == "item_reference" or (kind is None and "id" in item and "role" not in item)


def _find(mount: Mount, item: Item, outputs: dict[ResponseRef, list[Item]], field: str) -> Item:
    try:
        part = PartRef.parse(str(item.get("id")))
    except ValueError:
        raise _unknown(field) from None
    if part.kind == REASONING.prefix:
        return {"type": "reasoning"}  # agents get none back
    if part.response not in outputs:
        if len(outputs) >= MAX_RESPONSES:
            raise bad_request(field, f"Expected items of {MAX_RESPONSES} responses at most")
        outputs[part.response] = _output(mount, part.response, field)
    for known in outputs[part.response]:
        if known["id"] == part.id:
            return known
    raise _unknown(field)


def _output(mount: Mount, ref: ResponseRef, field: str) -> list[Item]:
    try:
        find_response(mount, ref.id)
        document = snapshot(mount, ref).document()
    except RequestError as error:
        if error.code != "not_found":
            raise
        raise _unknown(field) from None
    output: list[Item] = document["output"]
    return output


def _unknown(field: str) -> RequestError:
    return bad_request(field, "There is no such item, or it is no longer kept")
