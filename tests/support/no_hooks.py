"""A configuration of gunicorn without the package's hooks."""

graceful_timeout = 3
control_socket_disable = True
