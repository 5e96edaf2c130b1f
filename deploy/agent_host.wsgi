"""What Apache's mod_wsgi loads: it takes a file, and a name that is there when the file has run."""

from wsgi_app import app as application  # noqa: F401 - mod_wsgi looks it up by name
