"""Files that agents give their users."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from functools import partial
from typing import BinaryIO, Final

from msgspec import structs

from wsgi_app.config import Settings
from wsgi_app.engine.turn.request import TurnRequest
from wsgi_app.errors import TurnError
from wsgi_app.files import FileStorage, StoredFile
from wsgi_app.store.base import SessionKey

_PIECE_BYTES: Final = 65_536
_TYPE: Final = re.compile(r"[a-z0-9.+-]{1,60}/[a-z0-9.+-]{1,60}\Z", re.ASCII)
_NOT_IN_NAMES: Final = re.compile(r"[\x00-\x1f\x7f/\\\ud800-\udfff]")


class GivenFiles:
    """Where turns put them: the storage of users' files, if the host has one."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        #: Set before the first turn.
        self.storage: FileStorage | None = None

    def keep(
        self, key: SessionKey, name: str, content: bytes | BinaryIO, media_type: str
    ) -> StoredFile:
        """Store a file, in pieces; see `Turn.attach`."""
        if self.storage is None:
            raise RuntimeError("this host keeps no files: AGENT_FILES_DIR is not set")
        if _TYPE.match(media_type) is None:
            raise ValueError(f"not a media type: {media_type!r}")
        self._check(self.storage.used_bytes(key.tenant), self._settings.max_file_bytes_per_tenant)
        writer = self.storage.begin(*key)
        try:
            size = 0
            for data in _pieces(content):
                size += len(data)
                self._check(size, self._settings.max_file_bytes)
                writer.write(data)
            plain = _NOT_IN_NAMES.sub("_", name)[:255]
            return writer.finish(plain, media_type)
        except BaseException:
            writer.abandon()
            raise

    def bound(self, key: SessionKey, request: TurnRequest) -> TurnRequest:
        """A request of another worker, whose files can be opened here."""
        storage = self.storage
        if storage is None or all(one.opener or not one.file_id for one in request.attachments):
            return request
        attachments = tuple(
            structs.replace(one, opener=partial(storage.open, key.tenant, one.file_id))
            for one in request.attachments
        )
        return structs.replace(request, attachments=attachments)

    @staticmethod
    def _check(size: int, limit: int) -> None:
        if size > limit:
            raise TurnError("The agent's file is too large.", {"max_bytes": limit})


def _pieces(content: bytes | BinaryIO) -> Iterator[bytes]:
    file = io.BytesIO(content) if isinstance(content, bytes) else content
    while data := file.read(_PIECE_BYTES):
        yield data
