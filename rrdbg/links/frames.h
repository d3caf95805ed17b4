/* By which addresses frames of physical memory are written to: part of tally.c. */

enum { SEEN = 1 << 12 };
static bool frames;                     /* some points are frames */
static uint64_t frames_low, frames_high; /* their offsets in their pages, all together */
static uint64_t seen[SEEN];             /* what was noted of frames already, so far as it has not made room */

/* An instruction has written `size` bytes of one page: note by which address it has reached which frame, once each. */
static void write_page(uint32_t info, uint64_t address, uint64_t size, uint64_t pc) {
    uint64_t offset = address % PAGE;
    if (offset >= frames_high || offset + size <= frames_low)
        return;
    /* Where QEMU cannot tell any more what the page is, it may be any frame. */
    const struct qemu_plugin_hwaddr *physical = qemu_plugin_get_hwaddr(info, address);
    uint64_t page = physical ? qemu_plugin_hwaddr_phys_addr(physical) / PAGE : 0;
    for (struct point *point = tally->points; point < tally->points + tally->point_count; point++) {
        if (point->kind != FRAME || (physical && point->start / PAGE != page))
            continue;
        if (offset >= point->start % PAGE + (point->end - point->start) || offset + size <= point->start % PAGE)
            continue;
        uint64_t known = (address - offset + point->start % PAGE) * tally->point_count + (uint64_t)(point - tally->points);
        uint64_t *place = &seen[(known ^ known >> 12 ^ known >> 24) % SEEN];
        if (*place != known + 1) {
            *place = known + 1;
            note(point, executed(), pc, address - offset + point->start % PAGE);
        }
    }
}

static void on_write(unsigned int vcpu, uint32_t info, uint64_t address, void *data) {
    uint64_t size = (uint64_t)1 << qemu_plugin_mem_size_shift(info);
    uint64_t left = PAGE - address % PAGE;
    (void)vcpu;
    if (!qemu_plugin_mem_is_store(info))
        return;
    write_page(info, address, size < left ? size : left, (uintptr_t)data);
    if (size > left)
        write_page(info, address + left, size - left, (uintptr_t)data);
}

static void add_frame(const struct point *point) {
    uint64_t low = point->start % PAGE, high = low + (point->end - point->start);
    frames_low = !frames || low < frames_low ? low : frames_low;
    frames_high = high > frames_high ? high : frames_high;
    frames = true;
}
