"""The files that a message names: from their ids to what its agent gets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from wsgi_app.attachments import Attachment
from wsgi_app.errors import RequestError, StoreUnavailable
from wsgi_app.files import FileStorage, StoredFile
from wsgi_app.store.base import SessionKey
from wsgi_app.web.client_tools import takes_attachments
from wsgi_app.web.mount import Mount
from wsgi_app.web.uploads import storage_of


def attached(
    mount: Mount,
    key: SessionKey,
    wanted: Sequence[Attachment | str],
    refuse: Callable[[str, str], RequestError],
    field: str = "files",
) -> tuple[Attachment, ...]:
    """What came with a message, and the session's files of these ids.

    Raises the error that ``refuse`` makes.
    """
    if not wanted:
        return ()
    if not takes_attachments(mount):
        raise refuse(field, "This agent accepts text alone")
    most = mount.settings.max_files_per_message
    if len(wanted) > most:
        raise refuse(field, f"Expected {most} at most")
    try:
        found = [_resolved(mount, key, one) for one in wanted]
    except OSError:
        raise StoreUnavailable from None
    for index, one in enumerate(found):
        if one is None:
            raise refuse(f"{field}.{index}", "The session has no such file")
    return tuple(one for one in found if one is not None)


def _resolved(mount: Mount, key: SessionKey, one: Attachment | str) -> Attachment | None:
    if isinstance(one, Attachment):
        return one
    storage = storage_of(mount)
    found = _find(storage, key, one)
    if found is not None:
        storage.keep(*key)
    return found


def _find(storage: FileStorage, key: SessionKey, file_id: str) -> Attachment | None:
    file = storage.find(key.tenant, file_id)
    if file is None or file.session_id != key.session_id:
        return None
    return as_attachment(storage, key, file)


def as_attachment(storage: FileStorage, key: SessionKey, file: StoredFile) -> Attachment:
    """A file of the session's, for its agent."""
    return Attachment(
        media_type=file.media_type,
        name=file.name,
        file_id=file.id,
        stored_bytes=file.size,
        opener=partial(storage.open, key.tenant, file.id),
    )
