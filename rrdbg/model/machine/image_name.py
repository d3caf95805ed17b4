"""The names that QEMU takes for an image: a path, or a protocol and what that wants."""

from __future__ import annotations

import re

from rrdbg.errors import UsageError
from rrdbg.model.machine.options import parse_properties

_PROTOCOL = re.compile(r"([A-Za-z0-9+.-]+):(.*)", re.DOTALL)
_PLAIN = frozenset({"driver", "filename", "file", "file.driver", "file.filename"})
_FILE_DRIVERS = (None, "file")


def read_image_name(name: str) -> tuple[str, str | None]:
    """The path of the image that QEMU would open as ``name``, and its format if the name tells.

    :raises UsageError: it is no file of this host's; the message says how to make it one.
    """
    found = _PROTOCOL.fullmatch(name)
    if found is None or "/" in found[1]:
        return name, None
    protocol, rest = found.groups()
    if protocol == "file":
        return rest, None
    if protocol == "json":
        return _of_json(name, rest)
    if protocol == "fat":
        folder = rest.rpartition(":")[2]
        raise UsageError(
            f"This cannot be recorded: {name}, a disk that QEMU makes of a folder, which may change; make an image "
            f"of it with 'qemu-img convert -O raw fat:{folder} IMAGE', and give that with format=raw."
        )
    raise UsageError(
        f"This cannot be recorded: the disk {name}, which is not a file of this host; copy it with "
        f"'qemu-img convert -O qcow2 {name} IMAGE', and give that. (A file of that name is ./{name}.)"
    )


def _of_json(name: str, text: str) -> tuple[str, str | None]:
    properties = parse_properties(text)
    driver = properties.get("driver")
    if properties.keys() <= _PLAIN:
        if driver in _FILE_DRIVERS and "filename" in properties:
            return properties["filename"], None
        if driver not in _FILE_DRIVERS and properties.get("file.driver") in _FILE_DRIVERS:
            path = properties.get("file.filename")
            if path:
                return path, driver
    raise UsageError(
        f"This cannot be recorded: the disk {name}; give its file with file=PATH,format=FORMAT, or describe it with "
        "-blockdev."
    )
