"""What QEMU's versions and the architectures make of record and replay; `make test-matrix` runs it on three QEMUs."""
