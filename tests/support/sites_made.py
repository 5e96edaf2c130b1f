"""The scripted site as a variable, for servers that look a name up by ``eval``."""

from tests.support.apps import scripted_app

site = scripted_app()
