"""Receives a file: from a request's body to the storage, a piece at a time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from typing import Any, Final, NamedTuple

from flask import Request
from werkzeug.sansio.multipart import Data, File, MultipartDecoder, NeedData

from wsgi_app.attachments import ContentCheck
from wsgi_app.errors import RequestError
from wsgi_app.files import FileStorage, FileWriter, StoredFile
from wsgi_app.store.base import SessionKey
from wsgi_app.web.body import read_pieces
from wsgi_app.web.mount import Mount
from wsgi_app.web.parse import invalid

MAX_NAME_CHARS: Final = 255
#: Of a form: what stands around its file.
MAX_AROUND_BYTES: Final = 65_536
_NOT_IN_NAMES: Final = re.compile(r"[\x00-\x1f\x7f\u2028\u2029\ud800-\udfff]")


def storage_of(mount: Mount) -> FileStorage:
    """Where the host keeps files; raises RequestError where it keeps none."""
    if mount.files is None:
        raise RequestError("not_found", "This host keeps no files: AGENT_FILES_DIR is not set.")
    return mount.files


class Upload(NamedTuple):
    """A file whose upload has begun."""

    name: str
    media_type: str
    pieces: Iterator[bytes]


def receive(mount: Mount, request: Request, key: SessionKey, name: str) -> StoredFile:
    """Keep the body's file, or the first one of a form; raises RequestError.

    Nothing of it is left then.
    """
    storage, max_bytes = storage_of(mount), mount.settings.max_file_bytes
    _check_room(mount, storage, key, request.content_length or 0)
    is_form = request.mimetype == "multipart/form-data"
    with closing(read_pieces(request, max_bytes + is_form * MAX_AROUND_BYTES)) as body:
        upload = _from_form(request, body) if is_form else Upload(name, request.mimetype, body)
        try:
            check = ContentCheck(upload.media_type)
        except ValueError as error:
            raise _unsupported(error) from None
        writer = storage.begin(*key)
        try:
            _write(upload, check, writer, max_bytes)
            media_type = _finished(check)
            for _ in body:
                pass  # what stands behind it in a form
            _check_room(mount, storage, key, 0)
            return writer.finish(_clean(upload.name or name), media_type)
        except BaseException:
            writer.abandon()
            raise


def _write(upload: Upload, check: ContentCheck, writer: FileWriter, max_bytes: int) -> None:
    count = 0
    for data in upload.pieces:
        count += len(data)
        if count > max_bytes:
            raise RequestError("too_large", "The file is too large.", {"max_bytes": max_bytes})
        try:
            check.feed(data)
        except ValueError as error:
            raise _unsupported(error) from None
        writer.write(data)


def _finished(check: ContentCheck) -> str:
    try:
        return check.finish()
    except ValueError as error:
        raise _unsupported(error) from None


def _check_room(mount: Mount, storage: FileStorage, key: SessionKey, more_bytes: int) -> None:
    limit = mount.settings.max_file_bytes_per_tenant
    if storage.used_bytes(key.tenant) + more_bytes > limit:
        message = "This tenant's files hold too many bytes; delete some, or their sessions."
        raise RequestError("too_many_files", message, {"max_bytes": limit})


def _from_form(request: Request, body: Iterator[bytes]) -> Upload:
    """The first file of a form."""
    boundary = request.mimetype_params.get("boundary", "")
    if not boundary:
        raise invalid("Content-Type", "Expected a boundary")
    events = _events(MultipartDecoder(boundary.encode("utf-8", "replace")), body)
    for event in events:
        if isinstance(event, File):
            media_type = event.headers.get("Content-Type", "")
            return Upload(event.filename, media_type, _pieces(events))
    raise invalid("body", "Expected a form with a file")


def _events(decoder: MultipartDecoder, body: Iterator[bytes]) -> Iterator[Any]:
    """The parts of a form; what it holds of it at a time is bounded."""
    try:
        for data in body:
            decoder.receive_data(data)
            while not isinstance(event := decoder.next_event(), NeedData):
                yield event
            if len(decoder.buffer) > 2 * MAX_AROUND_BYTES:
                raise invalid("body", "Expected shorter headers")
    except ValueError:
        raise invalid("body", "Expected a form in multipart/form-data") from None
    raise invalid("body", "Expected the form's end")


def _pieces(events: Iterator[Any]) -> Iterator[bytes]:
    for event in events:
        if isinstance(event, Data):
            if event.data:
                yield bytes(event.data)
            if not event.more_data:
                return


def _clean(name: str) -> str:
    """A name as it may be shown: without the folders that some clients send."""
    plain = _NOT_IN_NAMES.sub("", name).replace("\\", "/").rpartition("/")[2].strip()
    return plain[:MAX_NAME_CHARS]


def _unsupported(error: ValueError) -> RequestError:
    return RequestError(
        "unsupported_media_type", "This kind of file is not accepted.", {"reason": str(error)}
    )
