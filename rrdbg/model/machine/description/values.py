"""Kinds of values that a property of a described machine may have; none of them can name a file of the host's."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """What a value must look like; ``refers`` tells what else in the machine it names, for example a ``chardev``."""

    pattern: re.Pattern[str]
    refers: str = ""

    def takes(self, text: str) -> bool:
        """Whether ``text`` is such a value."""
        return self.pattern.fullmatch(text) is not None


def choice(*words: str) -> Kind:
    """One of ``words``."""
    return Kind(re.compile("|".join(map(re.escape, words))))


def _kind(pattern: str, refers: str = "") -> Kind:
    return Kind(re.compile(pattern, re.ASCII | re.DOTALL), refers)


_NAME = r"[A-Za-z][\w.-]{0,62}"

SWITCH = choice("on", "off", "auto", "yes", "no", "true", "false")
"""What QEMU takes for a yes or no."""

NUMBER = _kind(r"-?\d{1,20}|0x[0-9a-fA-F]{1,16}")
SIZE = _kind(r"\d{1,16}(\.\d{1,6})?([bBkKmMgGtT]|[kKmMgGtT]i?B)?|0x[0-9a-fA-F]{1,16}")
NAME = _kind(_NAME)
"""What QEMU takes for an id."""

WORD = _kind(r"[\w.+:-]{0,128}")
"""A word that names nothing outside: no slash, no comma, no equals sign."""

MAC = _kind(r"[0-9a-fA-F]{1,2}(:[0-9a-fA-F]{1,2}){5}")
UUID = _kind(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
DATE = _kind(r"utc|localtime|\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d)?")
NETWORK = _kind(r"[0-9a-fA-F.:]{1,45}(/[0-9.]{1,15})?")
"""An address of the guest's own network."""

TEXT = _kind(r"[^\0]{0,16384}")
"""What the guest reads; QEMU looks into none of it."""

LINE = _kind(r"[^\0\n\r]{0,1024}")
SERIAL_PORT = _kind(rf"none|null|vc|chardev:{_NAME}", "port")
CPU = _kind(r"[A-Za-z0-9][\w.-]*(,[+-]?[\w.-]+(=[\w.+-]+)?)*")
"""A model and its features: QEMU splits at commas, and knows no escape."""

GUEST_FILE = _kind(r"opt/[\w./-]{1,51}")
"""A name in the guest's fw_cfg that is not for firmware."""

CHARDEV = _kind(_NAME, "chardev")
DRIVE = _kind(_NAME, "drive")
NETDEV = _kind(_NAME, "netdev")
OBJECT = _kind(_NAME, "object")
FILE = _kind(r"/dev/+fd/[3-9]", "file")
"""A file that lies in the recording, and is given to QEMU open."""
