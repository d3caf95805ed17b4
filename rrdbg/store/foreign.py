"""What was recorded without rrdbg: a log and perhaps a console somewhere, described as a recording is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from rrdbg.errors import UsageError
from rrdbg.model.machine.invocation import Addition, BundledFile, Invocation
from rrdbg.model.machine.options import Option, format_properties, parse_properties
from rrdbg.store.clock import first_moment
from rrdbg.store.layout import Layout

_BUNDLED = ("kernel", "initrd", "bios", "dtb")


@dataclass(frozen=True, slots=True)
class ForeignLayout(Layout):
    """Where the parts of such a recording lie; ``files`` are those that QEMU's options name, by option."""

    log_file: Path = field(kw_only=True)
    console_file: Path | None = field(kw_only=True)
    files: Mapping[str, Path] = field(kw_only=True)

    @property
    def name(self) -> str:
        """What the recording is called: its log's name."""
        return self.log_file.name

    @property
    def log(self) -> Path:
        """QEMU's replay log."""
        return self.log_file

    @property
    def console(self) -> Path:
        """The guest's console output.

        :raises UsageError: nobody has told where it is.
        """
        if self.console_file is None:
            raise UsageError(
                "An attached QEMU has no captured console; "
                "record with -serial file:FILE, and attach with --console FILE."
            )
        return self.console_file

    def bundled(self, option: str) -> Path:
        """The file that QEMU's option ``-option`` names; one that is not there if it has no such option."""
        return self.files.get(option, self.root / "files" / option)


def foreign_layout(
    log: Path, console: Path | None, options: tuple[Option, ...], directory: Path | None
) -> ForeignLayout:
    """Where things lie for a QEMU that was started with ``options`` in ``directory``.

    :raises UsageError: there is no file ``console``.
    """
    if console and not console.is_file():
        raise UsageError(f"There is no console file {console}.")
    files = {
        option.name: (directory or Path()) / option.value
        for option in options
        if option.name in _BUNDLED and option.value
    }
    return ForeignLayout(log.parent, log_file=log, console_file=console, files=files)


def foreign_invocation(binary: str, options: tuple[Option, ...], log: Path) -> Invocation:
    """The machine as far as a command line tells about it, and its log about its clock.

    :raises LogError: the log is damaged.
    """
    icount = next((option.value or "" for option in options if option.name == "icount"), "")
    clock = next((parse_properties(option.value or "", "base") for option in options if option.name == "rtc"), {})
    if clock.get("base", "utc") in ("utc", "localtime"):
        clock["base"] = utc(first_moment(log))
    return Invocation(
        binary=binary,
        options=tuple(option for option in options if option.name != "rtc"),
        host_options=(),
        chardevs=(),
        bundled=tuple(
            BundledFile(option.name, option.value) for option in options if option.name in _BUNDLED and option.value
        ),
        disks=(),
        additions=(Addition(("-rtc", format_properties(clock)), "the guest's clock began at this date"),),
        shift=parse_properties(icount, "shift").get("shift", "auto"),
    )


def utc(seconds: float) -> str:
    """A time since 1970 as ``YYYY-MM-DDTHH:MM:SS`` in UTC."""
    return datetime.fromtimestamp(int(seconds), UTC).replace(tzinfo=None).isoformat()
