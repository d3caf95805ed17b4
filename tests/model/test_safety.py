from __future__ import annotations

import pytest

from rrdbg.errors import UsageError
from rrdbg.model.machine.invocation import prepare
from rrdbg.model.machine.safety import SAFE_FLAGS, Versions, safe_flags, snapshot_hazard, step_hazard


def words(architecture: str, machine: str | None = None) -> list[str]:
    return [" ".join(flag.words) for flag in safe_flags(architecture, machine)]


def test_flags_go_by_architecture_and_machine() -> None:
    assert words("x86_64") == words("i386") == ["-machine hpet=off", "-global apic-common.vapic=off"]
    assert words("x86_64", "pc-q35-7.2") == words("x86_64")
    assert words("x86_64", "microvm") == ["-global apic-common.vapic=off"]
    assert words("riscv64", "virt") == []


def test_each_flag_has_its_reason() -> None:
    assert all(flag.words and flag.reason and flag.architectures for flag in SAFE_FLAGS)


def test_versions() -> None:
    assert "10.0.13 (Debian 1:10.0.13+ds-0+deb13u1)" in Versions(first=(10, 0))
    assert "7.2.22" not in Versions(first=(10, 0))
    assert "11.1.2" not in Versions(last=(10, 0))
    assert "0.1" in Versions()
    with pytest.raises(UsageError, match="'new' is not a version"):
        assert "new" in Versions()


def test_snapshots_that_lose_timers() -> None:
    hazard = snapshot_hazard("riscv64", "7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)")
    assert hazard
    assert "timers" in hazard.reason
    assert snapshot_hazard("riscv64", "10.0.13")
    assert snapshot_hazard("riscv64", "11.1.2") is None
    assert snapshot_hazard("x86_64", "7.2.22") is None


def test_snapshots_of_a_board_that_stand_still() -> None:
    hazard = snapshot_hazard("x86_64", "7.2.22", "isapc")
    assert hazard
    assert "stands still" in hazard.reason
    assert snapshot_hazard("x86_64", "7.2.22", "pc") is None
    assert snapshot_hazard("x86_64", "11.1.2", "isapc") is None
    words = ("qemu-system-x86_64", "-M", "isapc", "-m", "16")
    assert prepare(words, shift="5", clock_base="2026-01-01T00:00:00").board == "isapc"


def test_steps_that_derail() -> None:
    hazard = step_hazard("riscv64", "11.1.2")
    assert hazard
    assert "wfi" in hazard.reason
    assert step_hazard("aarch64", "11.1.2") is None
