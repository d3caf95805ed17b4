"""What a running QEMU, and its entry in ``/proc``, tell about how it was started and what it can load."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from rrdbg.errors import QmpError
from rrdbg.links.qmp import QmpLink
from rrdbg.model.machine.options import Option, parse_options, parse_properties

_FLAGS = {"vapic": "-global apic-common.vapic=off", "hpet": "-machine hpet=off", "clock": "-rtc base=DATE,clock=vm"}


@dataclass(frozen=True, slots=True)
class InternalSnapshot:
    """A snapshot inside the disk images; ``made`` is when, in seconds since 1970, and ``size`` in bytes."""

    tag: str
    icount: int
    size: int
    made: float


@dataclass(frozen=True, slots=True)
class Inspection:
    """One look at a QEMU.

    ``mode`` is ``none``, ``record`` or ``play``, ``log`` the replay log as QEMU was given it, ``state`` the run state.
    ``command`` and ``directory`` are empty and None where ``/proc`` does not tell them. ``missing`` are options without
    which loading a snapshot inside QEMU may hang or derail it.
    """

    mode: str
    log: str
    icount: int
    state: str
    version: str
    target: str
    command: tuple[str, ...]
    directory: Path | None
    snapshots: tuple[InternalSnapshot, ...]
    missing: tuple[str, ...]

    @property
    def options(self) -> tuple[Option, ...]:
        """The command line's options."""
        return parse_options(self.command[1:])

    def properties(self, name: str, implied: str = "") -> dict[str, str]:
        """The properties of all options ``-name`` together."""
        values = [option.value or "" for option in self.options if option.name == name]
        return {key: text for value in values for key, text in parse_properties(value, implied).items()}


async def inspect(qmp: QmpLink, pid: int) -> Inspection:
    """Look at the QEMU at ``qmp``; ``pid`` is its process id, or 0.

    :raises QmpError: QEMU refused to tell.
    """
    replay = await _object(qmp, "query-replay")
    command, directory = _process(pid)
    seen = Inspection(
        mode=str(replay["mode"]),
        log=str(replay.get("filename", "")),
        icount=int(str(replay["icount"])),
        state=await qmp.run_state(),
        version=await _version(qmp),
        target=str((await _object(qmp, "query-target"))["arch"]),
        command=command,
        directory=directory,
        snapshots=await internal_snapshots(qmp),
        missing=(),
    )
    found = await _missing(qmp, seen) if seen.target in ("x86_64", "i386") else ()
    return replace(seen, missing=found)


async def _missing(qmp: QmpLink, seen: Inspection) -> tuple[str, ...]:
    processors = await qmp.execute("query-cpus-fast")
    assert isinstance(processors, list)
    risky = {
        "vapic": await _is_on(qmp, f"{processors[0]['qom-path']}/lapic", "vapic"),
        "hpet": await _is_on(qmp, "/machine", "hpet"),
        "clock": bool(seen.command) and seen.properties("rtc").get("clock", "host") != "vm",
    }
    return tuple(_FLAGS[name] for name, is_risky in risky.items() if is_risky)


async def _is_on(qmp: QmpLink, path: str, name: str) -> bool:
    """Whether a device's property is set; a machine that has no such device has no trouble with it."""
    try:
        return await qmp.execute("qom-get", path=path, property=name) is True
    except QmpError:
        return False


async def _version(qmp: QmpLink) -> str:
    answer = await _object(qmp, "query-version")
    numbers = answer["qemu"]
    assert isinstance(numbers, Mapping)
    package = f" ({answer['package']})" if answer["package"] else ""
    return f"{numbers['major']}.{numbers['minor']}.{numbers['micro']}{package}"


async def internal_snapshots(qmp: QmpLink) -> tuple[InternalSnapshot, ...]:
    """The snapshots that can be loaded: they are in all images that the guest writes to."""
    nodes = await qmp.execute("query-named-block-nodes", flat=True)
    assert isinstance(nodes, list)
    images = [node["image"].get("snapshots", []) for node in nodes if node["drv"] == "qcow2" and not node["ro"]]
    if not images:
        return ()
    common = set.intersection(*({item["name"] for item in image} for image in images))
    return tuple(
        InternalSnapshot(
            item["name"], item.get("icount", -1), item["vm-state-size"], item["date-sec"] + item["date-nsec"] / 1e9
        )
        for item in max(images, key=lambda image: sum(item["vm-state-size"] for item in image))
        if item["name"] in common
    )


async def _object(qmp: QmpLink, command: str) -> Mapping[str, object]:
    answer = await qmp.execute(command)
    assert isinstance(answer, Mapping)
    return answer


def _process(pid: int) -> tuple[tuple[str, ...], Path | None]:
    """The command line and the working directory of a process, as far as we may see them."""
    if not pid:
        return (), None
    entry = Path("/proc") / str(pid)
    try:
        words = (entry / "cmdline").read_bytes().decode(errors="surrogateescape").split("\0")[:-1]
        return tuple(words), (entry / "cwd").readlink()
    except OSError:
        return (), None
