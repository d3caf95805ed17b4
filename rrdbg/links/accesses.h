/* Every access to memory, in its order: part of tally.c.
 *
 * So who looks at a stretch of the guest sees which code touches what, and when. Only the latest are kept. What is told
 * of each is how many bytes it touches, and 256 more if it writes. */

static const struct point *everything; /* the point that asks for it */

static void on_any_access(unsigned int vcpu, uint32_t info, uint64_t address, void *data) {
    (void)vcpu;
    struct hit *hit = note(everything, executed(), (uintptr_t)data, address);
    hit->told = (uint64_t)qemu_plugin_mem_is_store(info) << 8 | 1u << qemu_plugin_mem_size_shift(info);
}
