"""Files that came inside of a request, put where the next worker finds them."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from msgspec import structs

from wsgi_app.attachments import Attachment
from wsgi_app.engine.turn.request import TurnRequest
from wsgi_app.errors import TurnError
from wsgi_app.files import FileStorage
from wsgi_app.store.base import SessionKey
from wsgi_app.web.attached import as_attachment
from wsgi_app.web.mount import Mount

log = logging.getLogger("wsgi_app")


def keep_inside(mount: Mount, key: SessionKey, wanted: TurnRequest) -> TurnRequest:
    """The request with its files stored, as those of ``POST /files`` are.

    Another worker can continue its turn then. The request as it is where that is not so: there is
    no storage, or no other worker, the session is for this turn alone, or the tenant has no room.
    """
    is_lasting = mount.shared_store and not (wanted.ephemeral or wanted.passing)
    size = sum(len(one.data) for one in wanted.attachments)
    if mount.files is None or not (is_lasting and size):
        return wanted
    stored: dict[int, Attachment] = {}
    try:
        if mount.files.used_bytes(key.tenant) + size > mount.settings.max_file_bytes_per_tenant:
            return wanted
        for index, one in enumerate(wanted.attachments):
            if one.data:
                stored[index] = _store(mount, mount.files, key, one)
    except (OSError, TurnError) as error:
        log.warning("files that came inside of a request are not stored: %s", error)
        _delete(mount.files, key, stored.values())
        return wanted
    attachments = tuple(stored.get(index, one) for index, one in enumerate(wanted.attachments))
    return structs.replace(wanted, attachments=attachments)


def forget_inside(mount: Mount, key: SessionKey, kept: TurnRequest, wanted: TurnRequest) -> None:
    """Undo `keep_inside`: no turn has come of it."""
    if mount.files is not None and kept is not wanted:
        pairs = zip(kept.attachments, wanted.attachments)
        _delete(mount.files, key, [one for one, given in pairs if one is not given])


def _store(mount: Mount, files: FileStorage, key: SessionKey, one: Attachment) -> Attachment:
    file = mount.runner.files.keep(key, one.name, one.data, one.media_type)
    return as_attachment(files, key, file)


def _delete(files: FileStorage, key: SessionKey, stored: Iterable[Attachment]) -> None:
    try:
        for one in stored:
            files.delete(key.tenant, one.file_id)
    except OSError:
        log.warning("the files of a refused request stay until their session ends")
