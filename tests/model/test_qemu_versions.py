"""What is known of QEMU's versions."""

from __future__ import annotations

import pytest

from rrdbg.model.machine.findings import Level
from rrdbg.model.machine.qemu_versions import about_version


@pytest.mark.parametrize(
    ("version", "level"),
    [
        ("7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)", Level.GOOD),
        ("11.1.2", Level.GOOD),
        ("8.2.0", Level.NOTE),
        ("9.0.1", Level.WRONG),
        ("6.2.0", Level.WRONG),
        ("unknown", Level.WRONG),
    ],
)
def test_about_version(version: str, level: Level) -> None:
    finding = about_version("qemu-system-x86_64", version)
    assert finding.level is level
    assert version in finding.what
    assert finding.remedy or level is Level.GOOD
