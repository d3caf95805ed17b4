"""QEMU's graph of block nodes, as ``-blockdev`` options describe it, and the image files at its bottom.

A node names its children by their ``node-name`` or describes them inside itself (``file.driver=...``). Only what leads
to one image file is understood: a format over a file, and filters that rrdbg adds by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rrdbg.errors import UsageError
from rrdbg.model.machine.options import parse_properties

_PROTOCOLS = ("file", "host_device", "host_cdrom")
_FORMATS = ("raw", "qcow2", "qcow", "qed", "vdi", "vmdk", "vpc", "vhdx", "dmg", "bochs", "cloop", "parallels")

Node = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Image:
    """An image file and its format; ``backing`` if the command line itself names the image below it."""

    path: str
    format: str
    read_only: bool
    backing: Image | None = None


class BlockGraph:
    """The nodes of one command line."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}

    def add(self, value: str) -> None:
        """Take the value of a ``-blockdev``.

        :raises UsageError: it has no node-name.
        """
        node = parse_properties(value, "driver")
        if "node-name" not in node:
            raise UsageError(
                f"This cannot be recorded: -blockdev {value[:60]} has no node-name=, so nothing can use it."
            )
        self._nodes[node["node-name"]] = node

    def roots(self) -> dict[str, Image]:
        """The nodes that no other node uses, by name: those that devices are given.

        :raises UsageError: a node is none that can be recorded, or is not there.
        """
        used = {
            node[key] for node in self._nodes.values() for key in ("file", "backing", "image") if key in node
        }  # fmt: skip
        return {name: self._image(name, node) for name, node in self._nodes.items() if name not in used}

    def _image(self, name: str, node: Node) -> Image:
        driver = node.get("driver", "")
        if driver in _PROTOCOLS:
            return Image(node.get("filename", ""), "raw", node.get("read-only") == "on")
        if driver == "blkreplay":
            return self._image(name, self._child(name, node, "image"))
        if driver not in _FORMATS or "offset" in node or "size" in node:
            raise _unknown(name, driver)
        file = self._child(name, node, "file")
        if file.get("driver") not in _PROTOCOLS:
            raise _unknown(name, file.get("driver", ""))
        below = self._image(name, self._child(name, node, "backing")) if _has(node, "backing") else None
        return Image(file.get("filename", ""), driver, node.get("read-only") == "on", below)

    def _child(self, name: str, node: Node, key: str) -> Node:
        if key in node:
            try:
                return self._nodes[node[key]]
            except KeyError:
                raise UsageError(
                    f"This cannot be recorded: -blockdev {name} uses {node[key]!r}, which is not there."
                ) from None
        return {item.removeprefix(f"{key}."): text for item, text in node.items() if item.startswith(f"{key}.")}


def _has(node: Node, key: str) -> bool:
    return any(item == key or item.startswith(f"{key}.") for item in node)


def _unknown(name: str, driver: str) -> UsageError:
    return UsageError(
        f"This cannot be recorded: -blockdev {name} uses the driver {driver or '(none)'}, and only an image file in "
        "one of QEMU's formats gets an overlay; give driver=raw, qcow2 or another format, and file.driver=file."
    )
