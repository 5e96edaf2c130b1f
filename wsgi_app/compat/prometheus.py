"""What differs between versions of prometheus_client."""

from __future__ import annotations

import inspect

from prometheus_client.mmap_dict import MmapedDict


def write_value(values: MmapedDict, key: str, value: float) -> None:
    """Write a value into a file of counts: from 0.18 on it has a time, here none."""
    if len(inspect.signature(values.write_value).parameters) > 2:  # noqa: PLR2004 - the key, the value
        values.write_value(key, value, 0.0)
    else:
        values.write_value(key, value)  # type: ignore[call-arg] # the lock has a newer one
