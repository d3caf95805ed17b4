#!/usr/bin/env bash
# The tour: record a guest with a planted bug and a Linux boot, then walk back from the crash to its cause.
# Run by `make demo`, which has built the guests. Recordings go to build/demo.
set -euo pipefail
cd "$(dirname "$0")/.."
export RRDBG_DIR=$PWD/build/demo
PATH=$PWD/.venv/bin:$PATH

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
run() {
    python -c 'import shlex, sys; print("$", shlex.join(sys.argv[1:]))' "$@" >&2
    "$@"
}

rm -rf "$RRDBG_DIR"
guest=$(python -m tests.guests heapbug | sed 's/^heapbug: //')

say "1. Record a guest that panics: a task's magic number was overwritten, long before anyone looked."
run rrdbg record --quiet --name heapbug --until-console PANIC -- \
    qemu-system-x86_64 -m 16M -nodefaults -serial stdio -kernel "$guest" | grep -E 'up$|PANIC'

say "2. From the crash, go back to whoever wrote tasks[3].magic, and see what came before."
run rrdbg replay heapbug-1 --batch -ex bt -ex 'last tasks[3].magic' -ex reverse-next \
    -ex 'tprintf log_append,"%s into %s, %lu used",text,task->name,task->log_used'

say "3. Record a Linux boot, to its power-off."
read -r kernel initrd append < <(python -c '
from pathlib import Path
from tests.guests.linux import build_linux
guest = build_linux(Path("build/guests"))
print(guest.kernel, guest.initrd, guest.cmdline)')
run rrdbg record --quiet --name linux -- qemu-system-x86_64 -m 256M -nographic -no-reboot \
    -kernel "$kernel" -initrd "$initrd" -append "$append" | tr -d '\r' | grep -E 'Linux version|rrdbg-guest|Power down' | cut -c1-100

say "4. Walk in it: to the middle, back by one instruction, back to the end."
run rrdbg replay linux-1 --at 50% --batch -ex reverse-stepi -ex 'reverse-stepi 1000' -ex 'stepi 1001' -ex 'info snapshots'

say "Now you. These open the shell at the end of each recording; 'help' lists the commands:"
cat <<END
  RRDBG_DIR=$RRDBG_DIR .venv/bin/rrdbg replay heapbug-1
  RRDBG_DIR=$RRDBG_DIR .venv/bin/rrdbg replay linux-1
END
