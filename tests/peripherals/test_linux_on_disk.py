"""Linux whose root is a disk of its own, and which fetches a file over the network while it is recorded."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from rrdbg.engine.making.recorder import Recorder, RecordRequest
from rrdbg.store.logevents import events
from rrdbg.store.logformat import Kind
from tests.conftest import GUEST_DIR, failing_clearly
from tests.guests import linux
from tests.guests.linux.on_disk import build_linux_on_disk
from tests.peripherals.states import assert_travels

CONTENT = hashlib.shake_128(b"what the guest fetches").digest(200_000)


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    """A web server that is gone before the replay."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.matrix
@pytest.mark.linux
def test_linux_on_a_disk_with_a_network(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    with failing_clearly("linux"):
        guest = build_linux_on_disk(GUEST_DIR, tmp_path / "root.img")
    before = hashlib.blake2b(guest.image.read_bytes()).digest()
    command = (
        "qemu-system-x86_64", *linux.QEMU_OPTIONS, "-nographic", "-no-reboot",
        "-kernel", str(guest.linux.kernel), "-initrd", str(guest.linux.initrd),
        "-append", f"{guest.linux.cmdline} rrdbg_port={server.server_port}",
        "-drive", f"file={guest.image},format=raw,if=virtio", "-nic", "user,model=virtio-net-pci",
    )  # fmt: skip
    recording = tmp_path / "recording"
    done = asyncio.run(Recorder(RecordRequest(command, recording, timeout=180)).run())
    assert done.ended == "the guest powered off"
    server.shutdown()
    console = (recording / "console.log").read_text()
    assert "up, on /dev/vda ext4" in console
    assert f"fetched {hashlib.md5(CONTENT).hexdigest()}" in console
    packets = sum(1 for _ in events(recording / "replay.bin", (Kind.NET,)))
    blocks = sum(1 for _ in events(recording / "replay.bin", (Kind.BLOCK,)))
    assert packets > len(CONTENT) // 1500
    assert blocks > 50
    asyncio.run(assert_travels(recording, (90, 97, 99), spacing=2.0))
    assert hashlib.blake2b(guest.image.read_bytes()).digest() == before
