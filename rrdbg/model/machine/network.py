"""The guest's network: what arrives from the host passes a filter, which records it.

A network card's packets are input as keys are. QEMU's ``filter-replay`` puts them into the log, one filter for each
backend, which it knows by the backend's id; so a backend without one is given one here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

from rrdbg.errors import UsageError
from rrdbg.model.machine.options import Option, format_properties, parse_properties

_TIMED_CARDS = ("e1000", "igb")
"""Beginnings of the names of cards that set a timer whenever a snapshot is loaded (QEMU: ``e1000_post_load`` in
hw/net/e1000.c, ``e1000e_intrmgr_resume`` in hw/net/e1000e_core.c): a replay waits for it, and the log knows none."""

_SAFE_CARD = "virtio-net-pci"
_VIRTIO_FLAGS = ("tx=timer", "x-txtimer=1", "guest_announce=off")
"""What a virtio card needs to be stopped and loaded (QEMU's hw/net/virtio-net.c; tried with 7.2).

By itself it sends from a bottom half, which runs when the host's main loop comes round, and a stop cancels and begins
anew; a timer of the guest's clock, due at once, is exact. After a load it would set a timer to announce itself.
"""

_CARD_PROPERTIES = {"macaddr": "mac"}
"""How ``-nic`` calls what ``-net nic`` calls otherwise."""

_BACKENDS = ("netdev", "nic")
_NIC_PROPERTIES = ("id", "model", "mac", "macaddr", "addr", "vectors", "name")
"""What of a ``-nic`` describes the card, not the host."""

_OF_THE_HOST = ("hostfwd", "guestfwd", "smb", "tftp")
"""Beginnings of what leads from QEMU's own network to the host."""


def has_network(words: Sequence[str]) -> bool:
    """Whether a machine with these ``words`` is connected to something."""
    following = pairwise(words)
    return any(option in ("-netdev", "-nic") and not value.startswith("none") for option, value in following)


def recorded_backends(words: Sequence[str]) -> tuple[str, ...]:
    """The ids of the backends whose packets are recorded in a machine with these ``words``.

    >>> recorded_backends(["-netdev", "user,id=n", "-object", "qom-type=filter-replay,id=rrdbg-net1,netdev=n"])
    ('n',)
    """
    objects = [parse_properties(value, "qom-type") for option, value in pairwise(words) if option == "-object"]
    return tuple(known["netdev"] for known in objects if known["qom-type"] == "filter-replay")


class Networks:
    """The network backends of one command line, as they are met; ``machine`` is the machine's type, on x86 only."""

    def __init__(self, machine: str | None) -> None:
        self._default_is_timed = machine is not None and machine.startswith(("pc", "q35"))
        self._backends: list[str] = []
        self._old: list[dict[str, str]] = []
        self._asked = False
        self._virtio = False
        self._additions: list[tuple[tuple[str, ...], str]] = []

    @property
    def asked(self) -> bool:
        """Whether the user said anything about a network; without that QEMU adds a live one."""
        return self._asked or bool(self._old)

    def additions(self) -> list[tuple[tuple[str, ...], str]]:
        """Options that the user did not give, each with its reason.

        :raises UsageError: what only the whole command line tells: a ``-net`` has no partner.
        """
        if len(self._old) == 1:
            kind = self._old[0]["type"]
            lacks = "a backend, such as -net user" if kind == "nic" else "a card, -net nic"
            raise UsageError(f"This cannot be recorded: -net {kind} lacks {lacks}; use -nic user,model=MODEL.")
        filters = [
            format_properties({"qom-type": "filter-replay", "id": f"rrdbg-net{number}", "netdev": backend})
            for number, backend in enumerate(self._backends, 1)
        ]
        recorded = "network packets are recorded and replayed"
        additions = [*self._additions, *((("-object", words), recorded) for words in filters)]
        if self._virtio:
            flags = (word for flag in _VIRTIO_FLAGS for word in ("-global", f"virtio-net-device.{flag}"))
            additions.append((tuple(flags), "virtio-net sends at exact instructions, and sets no timer after a load"))
        return additions

    def take(self, name: str, value: str) -> list[Option]:
        """What QEMU is given in the place of ``-netdev``, ``-nic`` or ``-net``.

        :raises UsageError: such a network cannot be recorded.
        """
        properties = parse_properties(value, "type")
        if name == "net":
            return self._take_old(properties)
        self._asked = True
        if properties.get("type") == "none":
            return [Option(name, value)]
        if properties.get("type", "").startswith("vhost") or properties.get("vhost") == "on":
            raise UsageError(
                f"This cannot be recorded: -{name} {value}, whose packets go past QEMU into the guest's memory; "
                "leave vhost out."
            )
        if name == "netdev" and "id" not in properties:
            raise UsageError(f"This cannot be recorded: -netdev {value} has no id=, which a -device would need, too.")
        missing = {}
        reasons = []
        if "id" not in properties:
            missing["id"] = f"rrdbg-nic{len(self._backends) + 1}"
            reasons.append("its packets are recorded by its id")
        if name == "nic" and "model" not in properties and self._default_is_timed:
            missing["model"] = _SAFE_CARD
            reasons.append("QEMU's default card, e1000, lets no replay pass")
        if properties.get("type") == "tap" and "vnet_hdr" not in properties:
            missing["vnet_hdr"] = "off"
            reasons.append("replays have no tap, and another backend must look the same to the guest")
        self._backends.append((properties | missing)["id"])
        if name == "nic":
            # Machines other than PCs have a virtio card by default, where they have one at all.
            self.take_card((properties | missing).get("model", _SAFE_CARD))
        if not missing:
            return [Option(name, value)]
        self._additions.append(((f"-{name}", f"{value},{format_properties(missing)}"), " and ".join(reasons)))
        return []

    def take_card(self, driver: str) -> None:
        """Take a ``-device`` that may be a network card.

        :raises UsageError: no replay gets past it.
        """
        if driver.startswith(_TIMED_CARDS):
            raise UsageError(
                f"This cannot be recorded: the network card {driver} sets a timer when a snapshot is loaded, and the "
                f"replay stands still as the log has none; use {_SAFE_CARD}, rtl8139 or another card."
            )
        self._virtio |= driver.startswith("virtio-net") or driver == "virtio"

    def _take_old(self, properties: Mapping[str, str]) -> list[Option]:
        """Join ``-net nic`` and ``-net BACKEND`` into one ``-nic``, which QEMU does not make a hub for."""
        if properties.get("type") == "none":
            self._asked = True
            return [Option("nic", "none")]
        self._old.append(dict(properties))
        if len(self._old) > 2:
            raise UsageError("This cannot be recorded: more than one network with the old -net; use -nic for each.")
        cards = [item for item in self._old if item["type"] == "nic"]
        backends = [item for item in self._old if item["type"] != "nic"]
        if len(self._old) == 1:
            return []
        if len(cards) != 1:
            raise UsageError("This cannot be recorded: with the old -net give one -net nic and one backend; use -nic.")
        card = {_CARD_PROPERTIES.get(key, key): text for key, text in cards[0].items() if key != "type"}
        words = format_properties({"type": backends[0]["type"]} | card | backends[0]).removeprefix("type=")
        return self.take("nic", words)


def unplugged(options: Iterable[Option], hubs: Iterator[int]) -> Iterator[Option]:
    """``options`` with networks that lead nowhere: a replay gets its packets from the log, and needs no host for them.

    Several replays run at once, and a port or a tap can be had by one only. A hub port shows the guest's card the same;
    ``hubs`` gives the number of each one's hub. QEMU's own network, ``user``, stays, since its state is in a snapshot.
    """
    for option in options:
        properties = parse_properties(option.value or "", "type") if option.name in _BACKENDS else {}
        if properties.get("type", "none") == "none":
            yield option
            continue
        if properties["type"] == "user":
            kept = {key: text for key, text in properties.items() if not key.startswith(_OF_THE_HOST)}
            words = format_properties(kept | {"restrict": "on"})
        else:
            card = _NIC_PROPERTIES if option.name == "nic" else ("id",)
            kept = {key: text for key, text in properties.items() if key in card}
            words = format_properties({"type": "hubport", "hubid": str(next(hubs))} | kept)
        yield Option(option.name, words.removeprefix("type="))
