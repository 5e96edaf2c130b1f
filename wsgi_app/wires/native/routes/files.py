"""Routes of the files that users send along."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import BinaryIO, Final
from urllib.parse import quote

from flask import Response, request

from wsgi_app.attachments import KNOWN
from wsgi_app.delivery.server import client_socket
from wsgi_app.errors import RequestError
from wsgi_app.files import FileStorage, StoredFile
from wsgi_app.web.current import current_principal, session_key
from wsgi_app.web.envelope import json_response
from wsgi_app.web.mount import Mount
from wsgi_app.web.parse import check_session_id
from wsgi_app.web.uploads import receive, storage_of
from wsgi_app.wires.native.answers import DeleteAnswer, FileAnswer

_PIECE_BYTES: Final = 65_536
_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cache-Control": "private, no-store",
}


def post_files(mount: Mount) -> Response:
    """POST /files?session_id=: keep a file, to be sent along with messages of that session."""
    storage_of(mount)
    key = session_key(check_session_id(request.args.get("session_id", "")))
    try:
        file = receive(mount, request, key, request.args.get("name", ""))
    except OSError as error:
        raise _away(mount, error) from None
    return json_response(_answer(file), 201)


def get_file(mount: Mount, file_id: str) -> Response:
    """GET /files/<file_id>: the file, for its tenant alone."""
    storage, tenant = storage_of(mount), current_principal().tenant
    permit = mount.take_permit()
    if permit is None:
        raise RequestError("at_capacity", "Too many large answers at once; try again.")
    try:
        file, opened = _open(mount, storage, tenant, file_id)
    except BaseException:
        permit.give_back()
        raise
    response = Response(_Pieces(mount, opened, permit.give_back), content_type=_shown(file))
    response.headers.update(_HEADERS)
    response.headers["Content-Length"] = str(file.size)
    response.headers["Content-Disposition"] = _disposition(file)
    return response


def _open(
    mount: Mount, storage: FileStorage, tenant: str, file_id: str
) -> tuple[StoredFile, BinaryIO]:
    try:
        file = storage.find(tenant, file_id)
        if file is not None:
            return file, storage.open(tenant, file_id)
    except FileNotFoundError:
        pass  # it has gone just now
    except OSError as error:
        raise _away(mount, error) from None
    raise RequestError("not_found", "There is no such file.")


def delete_file(mount: Mount, file_id: str) -> Response:
    """DELETE /files/<file_id>: forget the file."""
    try:
        deleted = storage_of(mount).delete(current_principal().tenant, file_id)
    except OSError as error:
        raise _away(mount, error) from None
    return json_response(DeleteAnswer(deleted=deleted))


class _Pieces:
    """A file's bytes for the server; a client that takes none is left after a while."""

    def __init__(self, mount: Mount, file: BinaryIO, give_back: Callable[[], None]) -> None:
        self._file = file
        self._give_back = give_back
        self._client = client_socket(request.environ)
        self._before = None
        if self._client is not None:
            self._before = self._client.gettimeout()
            self._client.settimeout(mount.settings.write_timeout_seconds)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        data = self._file.read(_PIECE_BYTES)
        if not data:
            raise StopIteration
        return data

    def close(self) -> None:
        """Called by the server, whatever has happened."""
        self._file.close()
        self._give_back()
        if self._client is not None and self._client.fileno() >= 0:
            self._client.settimeout(self._before)


def _answer(file: StoredFile) -> FileAnswer:
    return FileAnswer(
        id=file.id,
        session_id=file.session_id,
        name=file.name,
        media_type=file.media_type,
        size=file.size,
    )


def _shown(file: StoredFile) -> str:
    """Its type for browsers: text of whatever kind is plain, and should run nowhere."""
    if file.media_type.startswith("text/"):
        return "text/plain; charset=utf-8"
    return file.media_type if file.media_type in KNOWN else "application/octet-stream"


def _disposition(file: StoredFile) -> str:
    name = quote(file.name or "file", safe="", errors="replace")
    return f"attachment; filename*=UTF-8''{name}"


def _away(mount: Mount, error: OSError) -> RequestError:
    mount.warn_once("files", f"files cannot be kept or read: {error.strerror}")
    return RequestError("store_unavailable", "The files are not to be had now; try again.")
