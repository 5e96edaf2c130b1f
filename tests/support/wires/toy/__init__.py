"""A wire as small as one can be; `tests.support.toy_wire_app` puts it among the host's."""
