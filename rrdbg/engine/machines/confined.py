"""How the QEMUs of one recording are confined: as far as this host can, and what was asked for permits."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rrdbg.errors import LinkError, QemuLaunchError, RecordingError
from rrdbg.links.confinement import Measure, Reach, measures_for, options_of, words_of
from rrdbg.links.images import image_files
from rrdbg.links.process import find_qemu
from rrdbg.model.machine.description.describe import describe
from rrdbg.model.machine.invocation import Invocation
from rrdbg.model.machine.network import has_network
from rrdbg.model.machine.options import Option
from rrdbg.store.layout import Layout
from rrdbg.store.recording import Recording


@dataclass(frozen=True, slots=True)
class Confinement:
    """The ``measures`` that hold; ``qemu`` may read ``read``, and a guest of one's own that goes on by itself may use
    its ``network``. ``why_not`` says why the files and sockets of a recording of one's own are left alone."""

    qemu: Path
    measures: frozenset[Measure] = frozenset()
    read: tuple[Path, ...] = ()
    network: bool = False
    why_not: str = ""

    @classmethod
    async def of(cls, recording: Recording, qemu: Path, scratch: Path) -> Confinement:
        """For machines of ``recording`` that run ``qemu`` and write below ``scratch``.

        A recording from elsewhere consists of what can be described, and needs nothing of this host. One of the user's
        own may name files and sockets that nobody here knows of; then only programs are refused to it.
        """
        measures = await measures_for(qemu)
        folders = (recording.layout.root, scratch)
        if not recording.own:
            return cls(qemu, measures, folders)
        try:
            disks = await _needs(recording.manifest.invocation, recording.layout)
        except (RecordingError, LinkError) as error:
            return cls(qemu, measures & {Measure.SANDBOX}, why_not=str(error))
        return cls(qemu, measures, (*folders, *disks), has_network(recording.manifest.invocation.machine_words()))

    @classmethod
    async def of_recorder(
        cls, invocation: Invocation, layout: Layout, qemu: Path, measures: frozenset[Measure] | None = None
    ) -> Confinement:
        """For the QEMU that records ``invocation`` into ``layout``; for its :meth:`words` it is one ``by_itself``.

        Which ``measures`` hold is found out unless it is known.

        It has what the user has asked for: nothing is taken where that cannot be described, or has a screen or
        a line to somebody.
        """
        if not all(map(_is_quiet, invocation.host_options)):
            return cls(qemu)
        try:
            disks = await _needs(invocation, layout)
        except (RecordingError, LinkError):
            return cls(qemu)
        known = await measures_for(qemu) if measures is None else measures
        return cls(qemu, known, tuple(disks), has_network(invocation.machine_words()))

    @property
    def told(self) -> tuple[str, ...]:
        """What holds of a QEMU that replays, and what does not and why, each as a sentence without its stop."""
        missing = "not, as the recording's own command line asks for more" if self.why_not else "not on this host"
        return (
            *(str(measure) for measure in Measure if measure in self.measures),
            *(f"{missing}: {measure}" for measure in Measure if measure not in self.measures),
            *([f"what it asks for: {self.why_not}"] if self.why_not else ()),
        )

    @property
    def io_uring(self) -> bool:
        """Whether QEMU may read files so; it would lead around a filter of system calls."""
        return Measure.SOCKETS not in self.measures

    def options(self) -> tuple[str, ...]:
        """The options of QEMU's own."""
        return options_of(self.measures)

    def words(
        self, directory: Path, *, read: Iterable[Path] = (), write: Iterable[Path] = (), by_itself: bool = False
    ) -> tuple[str, ...]:
        """What a machine that writes to ``directory`` is confined by; it also needs ``read`` and ``write``.

        One that goes on ``by_itself`` follows no log.
        """
        reach = Reach((*self.read, *read), (directory, *write), self.network and by_itself)
        return words_of(self.measures, self.qemu, reach)


def _is_quiet(option: Option) -> bool:
    value = option.value or ""
    return option.name == "name" or (option.name, value.partition(",")[0]) in {
        ("display", "none"), ("monitor", "none"), ("chardev", "null"),
    }  # fmt: skip


async def _needs(invocation: Invocation, layout: Layout) -> list[Path]:
    """The files outside of a recording of one's own that its machine needs: those of its disks.

    :raises RecordingError: it has something that cannot be described.
    :raises LinkError: a disk may need more.
    """
    program = Path(invocation.binary).name
    describe(dataclasses.replace(invocation, host_options=(), binary=program), own=True)
    files: dict[Path, None] = {}
    for disk in invocation.disks:
        files |= dict.fromkeys(await image_files(layout.source(disk), disk.format or "raw"))
        if disk.backing:
            files |= dict.fromkeys(await image_files(Path(disk.backing), disk.backing_format or "raw"))
    return list(files)


async def confinement_of(recording: Recording) -> tuple[str, ...]:
    """What a QEMU that replays ``recording`` would give up here, as :attr:`Confinement.told`, or why none is started.

    Its QEMU is asked for its version, and nothing else.
    """
    invocation = recording.manifest.invocation
    try:
        if not recording.own:
            describe(invocation)
        qemu = Path(find_qemu(invocation.binary))
    except (RecordingError, QemuLaunchError) as error:
        return (f"it is not opened: {error}",)
    return (await Confinement.of(recording, qemu, recording.layout.scratch)).told
