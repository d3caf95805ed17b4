/* Which writes change the bytes that points watch, and from what to what: part of tally.c, from interface 4 on.
 *
 * QEMU calls behind an access, where what was there before can no longer be read. So the bytes are read before the
 * instructions that are known to write there. At the first write of an instruction nothing is known of the bytes before
 * it: it is noted all the same, and whoever reads the tally has to look there.
 *
 * The delivery of an interrupt or exception writes, too, and QEMU tells of none of those writes. At which counts there
 * are deliveries the replay's log says: at the first blocks behind each the bytes are compared with what was seen last,
 * and a difference is noted as one to be looked at.
 */

struct watched {
    uint8_t *before, *after, *seen; /* at the beginning of the instruction, now, and when it was looked at last */
    bool before_known, seen_known;
    uint64_t noted_at; /* counted when the last hit was noted */
    struct hit *noted;
};

static const uint64_t NEVER = ALARM - 1;

static struct watched *watched; /* one for each point */
static uint64_t before_at;      /* counted when the bytes before an instruction were read; 0: they no longer are those */
static uint8_t *read_before;    /* what else was read then, as it is kept with a hit */
static uint64_t next_delivery;
static uint64_t waiting_hit; /* the first one that waits for what comes next, if any does */

static void forget_before(void) { before_at = 0; }

static uint64_t length_of(const struct point *point) { return point->end - point->start; }

static bool read_place(const struct point *point, uint8_t *into) {
    uint64_t length = length_of(point);
    if (!qemu_plugin_read_memory_vaddr(point->start, buffer, length) || buffer->length != length)
        return false;
    memcpy(into, buffer->data, length);
    return true;
}

static void see(const struct point *point, struct watched *watch, bool known) {
    if (known)
        memcpy(watch->seen, watch->after, length_of(point));
    watch->seen_known = known;
}

/* An instruction that has written to a watched place before is about to begin. */
static void on_writer(unsigned int vcpu, void *data) {
    (void)vcpu, (void)data;
    before_at = executed();
    for (uint64_t i = 0; i < tally->point_count; i++)
        watched[i].before_known = read_place(&tally->points[i], watched[i].before);
#if API_VERSION >= 7
    read_all(tally->points, read_before); /* what reads registers there has to have said so */
#endif
}

/* Keep the bytes before and after with the hit, where there is room for them. */
static void tell(const struct point *point, const struct watched *watch) {
    uint64_t length = length_of(point);
    uint8_t *value = record_of(watch->noted);
    uint64_t read = 2 * tally->value_size;
    watch->noted->told = length <= tally->value_size;
    if (watch->noted->told) {
#if API_VERSION < 7
        read_all(point, read_before);
#endif
        memcpy(value, watch->before, length);
        memcpy(value + tally->value_size, watch->after, length);
        memcpy(value + read, read_before + read, tally->record_size - read);
    }
}

/* An instruction has written to the place of `point`; behind it lies `next`, where it goes on unless it `may_jump`. */
static void written(const struct point *point, uint64_t next, bool may_jump) {
    struct watched *watch = &watched[point - tally->points];
    uint64_t now = executed();
    bool again = watch->noted && watch->noted_at == now;
    bool known = read_place(point, watch->after);
    bool told = before_at == now && watch->before_known && known;
    bool changes = !told || memcmp(watch->before, watch->after, length_of(point)) != 0;
    *slot(next) = 1;
    tally->met += !again;
    see(point, watch, known);
    if (again && changes && told && counts(point))
        tell(point, watch);
    else if (again)
        watch->noted->told = 0; /* it may have changed nothing in the end */
    if (again || !changes || !counts(point))
        return;
    if (may_jump && !*waiting())
        waiting_hit = tally->hits;
    *waiting() |= may_jump;
    watch->noted = note(point, now, next, may_jump ? 0 : next);
    watch->noted_at = now;
    if (told)
        tell(point, watch);
}

static void on_watched_access(uint32_t info, uint64_t address, uint64_t next, bool may_jump) {
    uint64_t end = address + ((uint64_t)1 << qemu_plugin_mem_size_shift(info));
    if (address >= highest || end <= lowest || !qemu_plugin_mem_is_store(info))
        return;
    for (const struct point *point = tally->points; point < tally->points + tally->point_count; point++)
        if (point->kind & WRITES && address < point->end && end > point->start)
            written(point, next, may_jump);
}

static void on_watched(unsigned int vcpu, uint32_t info, uint64_t address, void *data) {
    (void)vcpu;
    on_watched_access(info, address, (uintptr_t)data, false);
}

static void on_watched_last(unsigned int vcpu, uint32_t info, uint64_t address, void *data) {
    (void)vcpu;
    on_watched_access(info, address, (uintptr_t)data, true);
}

/* A block begins, and the last instruction of the one before has written. */
static void on_next(unsigned int vcpu, void *data) {
    (void)vcpu;
    for (; waiting_hit < tally->hits; waiting_hit++) {
        struct hit *hit = &latest[waiting_hit & (tally->kept - 1)];
        if (!hit->address)
            hit->address = (uintptr_t)data;
    }
    *waiting() = 0;
}

/* A block begins, and something was delivered just before, or may have been. */
static void on_block(unsigned int vcpu, void *data) {
    uint64_t now = executed();
    (void)vcpu;
    for (uint64_t i = 0; i < tally->point_count; i++) {
        const struct point *point = &tally->points[i];
        struct watched *watch = &watched[i];
        bool known = read_place(point, watch->after);
        bool alike = watch->seen_known ? known && memcmp(watch->seen, watch->after, length_of(point)) == 0 : !known;
        if (known && !alike && begun)
            note(point, now, (uintptr_t)data, 0);
        see(point, watch, known);
    }
    begun = true;
    while (next_delivery < tally->delivery_count && deliveries[next_delivery].last < now)
        next_delivery++;
    set_alarm(next_delivery < tally->delivery_count ? deliveries[next_delivery].first : NEVER);
}

static void watch_block(struct qemu_plugin_tb *tb) {
    uint64_t address = qemu_plugin_insn_vaddr(qemu_plugin_tb_get_insn(tb, 0));
    if (!ahead)
        set_alarm(0); /* at the first block of all */
    qemu_plugin_register_vcpu_tb_exec_cond_cb(tb, on_next, NO_REGISTERS, UNEQUAL, counter_at(waiting()), 0,
                                              (void *)(uintptr_t)address);
    qemu_plugin_register_vcpu_tb_exec_cond_cb(tb, on_block, NO_REGISTERS, AT_LEAST, counter, ALARM,
                                              (void *)(uintptr_t)address);
}

/* The instruction that `next` lies behind; the `last` one of a block may jump. */
static void watch_instruction(struct qemu_plugin_insn *insn, uint64_t next, bool last) {
    int flags = tally->points->reading < tally->points->reading_end ? READ_REGISTERS : NO_REGISTERS;
    qemu_plugin_register_vcpu_insn_exec_cond_cb(insn, on_writer, flags, UNEQUAL, slot_counter(next), 0, NULL);
    qemu_plugin_register_vcpu_mem_cb(insn, last ? on_watched_last : on_watched, NO_REGISTERS, WRITES,
                                     (void *)(uintptr_t)next);
}

static bool prepare_watches(void) {
    watched = calloc(tally->point_count, sizeof *watched);
    read_before = calloc(1, tally->record_size + 1);
    for (uint64_t i = 0; watched && i < tally->point_count; i++) {
        uint8_t *room = malloc(3 * length_of(&tally->points[i]));
        if (!room)
            return false;
        watched[i].before = room;
        watched[i].after = room + length_of(&tally->points[i]);
        watched[i].seen = watched[i].after + length_of(&tally->points[i]);
    }
    return watched && read_before;
}
