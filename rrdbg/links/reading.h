/* What is read where a point is hit, and kept beside the hit: values of expressions, and texts that they point to; and
 * where calls return to, which is known only when they are made. Part of tally.c, from interface 4 on.
 */

/* MISSING: from the address `value` on the next so many bytes; NO_TEXT: those of a text at `value` from the address on
 * that stands in its place. */
enum { TOLD_VALUE = 0, MISSING = 1, UNCLEAR = 2, NO_TEXT = 3 };
enum { LONGEST_TEXT = 1000, RETURNS = 1 << 15, MOST_RETURNS = RETURNS / 2 };

struct read_value {
    uint32_t state, length; /* of a text, whose bytes follow; or of what is missing */
    uint64_t value;
};

static uint64_t returns[RETURNS]; /* addresses, each at the first free place from its own on; 0: free */
static uint64_t return_count;

/* The bytes up to a zero, page by page, since the next one may not be mapped. */
static void read_text(struct read_value *into, uint64_t address) {
    uint8_t *text = (uint8_t *)(into + 1);
    uint32_t length = 0;
    into->value = address;
    while (length < LONGEST_TEXT) {
        uint64_t size = PAGE - address % PAGE;
        size = size < LONGEST_TEXT - length ? size : LONGEST_TEXT - length;
        if (!qemu_plugin_read_memory_vaddr(address, buffer, size) || buffer->length != size) {
            into->state = NO_TEXT, into->length = (uint32_t)size;
            memcpy(text, &address, sizeof address);
            return;
        }
        const uint8_t *zero = memchr(buffer->data, 0, size);
        uint64_t found = zero ? (uint64_t)(zero - buffer->data) : size;
        memcpy(text + length, buffer->data, found);
        length += (uint32_t)found;
        if (zero)
            break;
        address += size;
    }
    into->length = length;
}

static void read_one(const struct reading *reading, uint8_t *record) {
    struct read_value *into = (struct read_value *)(record + reading->place);
    static struct run run;
    uint64_t value = 0;
    *into = (struct read_value){TOLD_VALUE, 0, 0};
    if (!worked_out(&run, &programs[reading->program], &value))
        *into = (struct read_value){run.missing ? MISSING : UNCLEAR, (uint32_t)run.missing, run.missing_at};
    else if (reading->text)
        read_text(into, value);
    else
        into->value = value;
}

/* All that is wanted at `point`. */
static void read_all(const struct point *point, uint8_t *record) {
    for (uint64_t i = point->reading; i < point->reading_end; i++)
        read_one(&readings[i], record);
}

static uint8_t *record_of(const struct hit *hit) { return values + (uint64_t)(hit - latest) * tally->record_size; }

static uint64_t *place_of(uint64_t address) {
    uint64_t place = (address ^ address >> 15) % RETURNS;
    while (returns[place] && returns[place] != address)
        place = (place + 1) % RETURNS;
    return &returns[place];
}

static bool is_return(uint64_t address) { return address && *place_of(address) == address; }

static void add_return(uint64_t address) {
    uint64_t *place = place_of(address);
    if (!address || *place)
        return;
    if (return_count == MOST_RETURNS) {
        tally->unexpected++;
        return;
    }
    return_count++;
    *place = address;
    *slot(address) = 1;
}

static const struct point *return_point(void) {
    static const struct point *found;
    static bool looked;
    for (const struct point *point = tally->points; !looked && point < tally->points + tally->point_count; point++)
        if (point->kind == RETURN) {
            found = found ? found : point;
            add_return(point->start);
        }
    looked = true;
    return found;
}

/* A point is hit: keep what it wants to know, and look for the returns of the call that begins here. */
static void read_hit(const struct point *point, struct hit *hit) {
    uint8_t *record = record_of(hit);
    read_all(point, record);
    for (uint64_t i = 0; i < point->returns; i++) {
        const struct read_value *told = (const struct read_value *)(record + readings[point->reading + i].place);
        if (told->state == TOLD_VALUE)
            add_return(told->value);
    }
    hit->told = point->reading < point->reading_end;
}

static void arrived(const struct point *point, uint64_t now, uint64_t address) {
    struct hit *hit = note(point, now, address, 0);
    read_hit(point, hit);
}

/* Where a block begins a call may return: whoever returns jumps, so that it is the beginning of a block. */
static void on_arrival(unsigned int vcpu, void *data) {
    (void)vcpu;
    if (is_return((uintptr_t)data))
        arrived(return_point(), executed(), (uintptr_t)data);
}

/* Code that was translated when this was known to be such an address. */
static void on_known_return(unsigned int vcpu, void *data) {
    (void)vcpu;
    arrived(return_point(), executed() - COUNTED_ITSELF, (uintptr_t)data);
}

static void await_returns(struct qemu_plugin_tb *tb) {
    if (!return_point())
        return;
    size_t length = qemu_plugin_tb_n_insns(tb);
    for (size_t i = 0; i < length; i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        uint64_t address = qemu_plugin_insn_vaddr(insn);
        if (i == 0)
            qemu_plugin_register_vcpu_tb_exec_cond_cb(tb, on_arrival, READ_REGISTERS, UNEQUAL, slot_counter(address), 0,
                                                      (void *)(uintptr_t)address);
        else if (is_return(address))
            qemu_plugin_register_vcpu_insn_exec_cb(insn, on_known_return, READ_REGISTERS, (void *)(uintptr_t)address);
    }
}
