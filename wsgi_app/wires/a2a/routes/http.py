"""A2A over HTTP and JSON: a path for each operation."""

from __future__ import annotations

from typing import TypeVar

import msgspec
from flask import Response, request

from wsgi_app.web.envelope import json_response
from wsgi_app.web.mount import Mount
from wsgi_app.web.parse import invalid, parse_body
from wsgi_app.wires.a2a.encode import JsonObject
from wsgi_app.wires.a2a.request import ListRequest, SendRequest, TaskRequest
from wsgi_app.wires.a2a.routes import listing, tasks

T = TypeVar("T")


def send_message(mount: Mount) -> Response:
    """POST /a2a/message:send: take a message, and answer with its task."""
    return _answer(tasks.send(mount, _sent(mount)))


def stream_message(mount: Mount) -> Response:
    """POST /a2a/message:stream: take a message, and stream its task."""
    return tasks.stream(mount, _sent(mount), _bare)


def get_task(mount: Mount, task_id: str) -> Response:
    """GET /a2a/tasks/<task_id>: a task as it is now."""
    tasks.check_version()
    wanted = _queried(TaskRequest, id=task_id)
    ref, view = tasks.known_task(mount, wanted.id)
    return json_response(tasks.task_of(mount, ref, view).document(wanted.history_length))


def list_tasks(mount: Mount) -> Response:
    """GET /a2a/tasks: the tenant's tasks, newest first."""
    tasks.check_version()
    return json_response(listing.list_tasks(mount, _queried(ListRequest)))


def cancel_task(mount: Mount, task_id: str) -> Response:
    """POST /a2a/tasks/<task_id>:cancel: end a task, on any worker."""
    tasks.check_version()
    return json_response(tasks.cancel(mount, task_id))


def subscribe_to_task(mount: Mount, task_id: str) -> Response:
    """POST /a2a/tasks/<task_id>:subscribe: a task as it is now, and what follows."""
    tasks.check_version()
    return tasks.subscribe(mount, task_id, _bare)


def read_task(mount: Mount, task_id: str) -> Response:
    """GET /a2a/tasks/<task_id>:subscribe: the same, as the protocol's definition has it."""
    return subscribe_to_task(mount, task_id)


def _sent(mount: Mount) -> SendRequest:
    tasks.check_version()
    return tasks.check_sent(parse_body(request, SendRequest, mount.settings.max_body_bytes))


def _queried(kind: type[T], **more: str) -> T:
    """What the query asks for."""
    try:
        return msgspec.convert({**request.args.to_dict(), **more}, kind, strict=False)
    except msgspec.ValidationError as error:
        reason, _, field = str(error).partition(" - at `$.")
        raise invalid(field.rstrip("`") or "query", reason) from None


def _bare(event: JsonObject) -> JsonObject:
    return event


def _answer(made: JsonObject | Response) -> Response:
    return made if isinstance(made, Response) else json_response(made)
