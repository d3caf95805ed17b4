"""What becomes QEMU: a program of its own, run by its path between rrdbg and QEMU, never imported.

``become_qemu.py PARENT FOLDER KIND FROM=TO ... -- PROGRAM ARGUMENT ...`` puts the file descriptors FROM to the numbers
TO, goes to FOLDER, and executes PROGRAM in its own place; KIND ``replay`` makes it a batch process, KIND ``other``
leaves that. If the process PARENT is no longer the one above it nothing is executed: it has died before it was
arranged that its death would be told. No shell is needed for any of that, so nothing is read as anything but words.
It takes 10 ms with ``python -I -S`` and nothing imported but ``os`` and ``sys``.
"""

import os
import sys


def become(words: list[str]) -> None:
    """Do what the words say."""
    parent, folder, kind, *rest = words
    place = rest.index("--")
    for pair in rest[:place]:
        low, _, high = pair.partition("=")
        os.dup2(int(low), int(high))
        os.close(int(low))
    if kind == "replay":
        # Threads that hand over to each other at each event of the log are quicker where none preempts the other:
        # 10 s of UEFI that spins replay in 19 s instead of 54 s (QEMU 11.1, with one processor to keep to).
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    os.chdir(folder)
    if os.getppid() != int(parent):
        sys.exit("whoever was to be told has gone")
    program = rest[place + 1]
    try:
        os.execv(program, rest[place + 1 :])
    except OSError as error:
        sys.exit(f"{program}: {error.strerror}")


if __name__ == "__main__":
    become(sys.argv[1:])
