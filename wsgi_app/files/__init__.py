"""Files that users have sent: what keeps them, and the one that comes with this package."""

from wsgi_app.files.contract import FileStorage, FileWriter, StoredFile
from wsgi_app.files.directory import FileDirectory

__all__ = ["FileDirectory", "FileStorage", "FileWriter", "StoredFile"]
