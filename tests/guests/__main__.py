"""Builds the guests named, or all, into build/guests: ``python -m tests.guests [workload] [rtos] [linux]``."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.guests.build import GUESTS, GuestError, build
from tests.guests.linux import build_linux
from tests.guests.rtos import build_rtos

OUT_DIR = Path(__file__).parents[2] / "build" / "guests"


def main(names: list[str]) -> int:
    for name in names or [*GUESTS, "rtos", "linux"]:
        try:
            if name == "linux":
                guest = build_linux(OUT_DIR)
                print(f"linux: {guest.kernel} with {guest.initrd}")
            elif name == "rtos":
                print(f"rtos: {build_rtos('mps2-an385', OUT_DIR)}")
            else:
                print(f"{name}: {build(name, OUT_DIR)}")
        except GuestError as error:
            print(f"Cannot build the guest {name}: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
