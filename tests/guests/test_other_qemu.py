"""Another release's QEMU, made by scripts/other-qemu, takes nothing of this host's own."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "scripts" / "other-qemu"

# Stands for debootstrap: a root with a QEMU that looks for modules where this host's own has them, and a loader that
# tells how it was called.
_DEBOOTSTRAP = """#!/bin/sh
for word; do case $word in /*root) root=$word ;; esac; done
mkdir -p "$root/usr/bin" "$root/usr/lib64" "$root/usr/lib/x86_64-linux-gnu" "$root/var/cache/apt/archives"
for guest in x86_64 aarch64 riscv64 arm; do
    printf 'ELF /usr/lib/x86_64-linux-gnu/qemu\\0 more' >"$root/usr/bin/qemu-system-$guest"
    chmod +x "$root/usr/bin/qemu-system-$guest"
done
for tool in qemu-img gdb; do cp "$root/usr/bin/qemu-system-arm" "$root/usr/bin/$tool"; done
printf '#!/bin/sh\\necho "modules in $QEMU_MODULE_DIR"\\n' >"$root/usr/lib64/ld-linux-x86-64.so.2"
chmod +x "$root/usr/lib64/ld-linux-x86-64.so.2"
"""
_NOTHING = "#!/bin/sh\ntar -c --files-from=/dev/null\n"


def test_f19_no_module_of_the_host_is_loaded(tmp_path: Path) -> None:
    stubs = tmp_path / "stubs"
    stubs.mkdir()
    for name, text in (("debootstrap", _DEBOOTSTRAP), ("dpkg-deb", _NOTHING), ("sudo", '#!/bin/sh\nexec "$@"\n')):
        (stubs / name).write_text(text)
        (stubs / name).chmod(0o755)
    folder = tmp_path / "other"
    surroundings = os.environ | {"PATH": f"{stubs}:{os.environ['PATH']}", "MIRROR": ""}
    modules = folder / "root/usr/lib/x86_64-linux-gnu/qemu"
    for _ in range(2):
        done = subprocess.run([SCRIPT, "11", folder], env=surroundings, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (0, f"modules in {modules}\n"), done.stderr
        for guest in ("x86_64", "aarch64", "riscv64", "arm"):
            program = folder / "root/usr/bin" / f"qemu-system-{guest}"
            assert program.read_bytes() == b"ELF /usr/lib/x86_64-linux-gnu/none\0 more", "as long as it was"
            command = folder / "bin" / f"qemu-system-{guest}"
            assert f"QEMU_MODULE_DIR={modules} " in command.read_text()
            # An older script has left them so; nothing is downloaded again.
            program.write_bytes(b"ELF /usr/lib/x86_64-linux-gnu/qemu\0 more")
            command.unlink()
        (stubs / "debootstrap").write_text("#!/bin/sh\nexit 1\n")
    assert not (folder / "bin/qemu-system-ppc").exists(), "this release has none"
