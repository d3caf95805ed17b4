"""How a recording is made: by running a guest, or from what QEMU alone has left."""
