"""rrdbg: a reverse debugger for QEMU record/replay."""
