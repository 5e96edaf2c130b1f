"""What is known of the server that runs this worker: its threads, its clients, its end.

Servers reveal little of this to applications, each in its own way: one file per question.
"""

from wsgi_app.delivery.server.body import is_body_here as is_body_here
from wsgi_app.delivery.server.body import open_chunked_body as open_chunked_body
from wsgi_app.delivery.server.client import SOCKET_KEYS as SOCKET_KEYS
from wsgi_app.delivery.server.client import client_disconnected as client_disconnected
from wsgi_app.delivery.server.client import client_socket as client_socket
from wsgi_app.delivery.server.client import learns_by_writing as learns_by_writing
from wsgi_app.delivery.server.facts import GUNICORN as GUNICORN
from wsgi_app.delivery.server.facts import ServerFacts as ServerFacts
from wsgi_app.delivery.server.facts import find_server as find_server
from wsgi_app.delivery.server.leaving import find_leaving as find_leaving
from wsgi_app.delivery.server.leaving import prepare_leaving as prepare_leaving
