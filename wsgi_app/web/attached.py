"""The files that a message names: from their ids to what its agent gets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from wsgi_app.attachments import Attachment
from wsgi_app.errors import RequestError, StoreUnavailable
from wsgi_app.files import FileStorage
from wsgi_app.store.base import SessionKey
from wsgi_app.web.client_tools import takes_attachments
from wsgi_app.web.mount import Mount
from wsgi_app.web.uploads import storage_of


def attached(
    mount: Mount, key: SessionKey, ids: Sequence[str], refuse: Callable[[str, str], RequestError]
) -> tuple[Attachment, ...]:
    """The session's files of these ids; raises what ``refuse`` makes."""
    if not ids:
        return ()
    storage = storage_of(mount)
    if not takes_attachments(mount):
        raise refuse("files", "This agent takes text alone")
    most = mount.settings.max_files_per_message
    if len(ids) > most:
        raise refuse("files", f"Expected {most} at most")
    try:
        found = [_find(storage, key, file_id) for file_id in ids]
        storage.keep(*key)
    except OSError:
        raise StoreUnavailable from None
    for index, one in enumerate(found):
        if one is None:
            raise refuse(f"files.{index}", "The session has no such file")
    return tuple(one for one in found if one is not None)


def _find(storage: FileStorage, key: SessionKey, file_id: str) -> Attachment | None:
    file = storage.find(key.tenant, file_id)
    if file is None or file.session_id != key.session_id:
        return None
    return Attachment(
        media_type=file.media_type,
        name=file.name,
        file_id=file.id,
        stored_bytes=file.size,
        opener=partial(storage.open, key.tenant, file.id),
    )
