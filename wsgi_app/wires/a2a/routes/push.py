"""Push notifications: refused by their name."""

from __future__ import annotations

from typing import Final

from flask import Response

from wsgi_app.web.mount import Mount
from wsgi_app.wires.a2a.routes.tasks import check_version, push_not_supported

METHODS: Final = (
    "CreateTaskPushNotificationConfig",
    "GetTaskPushNotificationConfig",
    "ListTaskPushNotificationConfigs",
    "DeleteTaskPushNotificationConfig",
)


def create_config(_mount: Mount, task_id: str) -> Response:
    """POST /a2a/tasks/<task_id>/pushNotificationConfigs: refused."""
    return _refuse(task_id)


def list_configs(_mount: Mount, task_id: str) -> Response:
    """GET /a2a/tasks/<task_id>/pushNotificationConfigs: refused."""
    return _refuse(task_id)


def get_config(_mount: Mount, task_id: str, config_id: str) -> Response:
    """GET /a2a/tasks/<task_id>/pushNotificationConfigs/<config_id>: refused."""
    return _refuse(task_id, config_id)


def delete_config(_mount: Mount, task_id: str, config_id: str) -> Response:
    """DELETE /a2a/tasks/<task_id>/pushNotificationConfigs/<config_id>: refused."""
    return _refuse(task_id, config_id)


def _refuse(*_names: str) -> Response:
    check_version()
    raise push_not_supported()
