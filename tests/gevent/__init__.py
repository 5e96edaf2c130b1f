"""gunicorn with gevent."""
