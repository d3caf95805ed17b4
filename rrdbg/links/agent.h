/* GDB's agent expressions, run where the guest executes an instruction: part of tally.c, from interface 4 on.
 *
 * What is included before gives the code, the registers that it may ask for, and the guest's byte order. Whatever the code
 * says, it runs for no more than MOST_OPERATIONS, reads nothing but the guest and itself, and changes nothing.
 */

enum { MOST_OPERATIONS = 10000, MOST_VALUES = 1000, MOST_REGISTERS = 64 };

struct run {
    const uint8_t *code;
    uint64_t length, place;
    uint64_t depth;
    uint64_t values[MOST_VALUES];
    bool failed;                   /* what cannot be run, or reads what is not there */
    uint64_t missing, missing_at; /* of memory that is not there: how many bytes, and where */
};

static struct bytes *buffer;
static void *handles[MOST_REGISTERS];
static bool known[MOST_REGISTERS]; /* a handle may be 0 */

static uint64_t number(const uint8_t *data, uint64_t length, bool big_endian) {
    uint64_t value = 0;
    for (uint64_t i = 0; i < length; i++)
        value = value << 8 | data[big_endian ? i : length - 1 - i];
    return value;
}

static uint64_t argument(struct run *run, uint64_t size) {
    if (size > run->length || run->place > run->length - size) {
        run->failed = true;
        return 0;
    }
    run->place += size;
    return number(run->code + run->place - size, size, true);
}

static bool need(struct run *run, uint64_t count) {
    run->failed |= run->depth < count;
    return !run->failed;
}

static uint64_t pop(struct run *run) { return need(run, 1) ? run->values[--run->depth] : 0; }

static void push(struct run *run, uint64_t value) {
    if (run->depth >= MOST_VALUES)
        run->failed = true;
    else
        run->values[run->depth++] = value;
}

static void find_registers(void) {
    struct array *found = qemu_plugin_get_registers();
    unsigned int size = g_array_get_element_size(found);
    for (uint64_t i = 0; i < tally->register_count && i < MOST_REGISTERS; i++)
        for (unsigned int k = 0; k < found->length; k++) {
            const struct known_register *one = (const struct known_register *)(found->data + (size_t)k * size);
            if (strcmp(one->name, registers[i].name) == 0)
                handles[i] = one->handle, known[i] = true;
        }
    g_array_free(found, 1);
}

static void push_register(struct run *run, uint64_t wanted) {
    static bool found;
    if (!found)
        find_registers();
    found = true;
    g_byte_array_set_size(buffer, 0);
    for (uint64_t i = 0; i < tally->register_count && i < MOST_REGISTERS; i++)
        if (registers[i].number == wanted && known[i])
            qemu_plugin_read_register(handles[i], buffer);
    if (buffer->length == 0 || buffer->length > 8)
        run->failed = true;
    else
        push(run, number(buffer->data, buffer->length, tally->big_endian));
}

static void push_memory(struct run *run, uint64_t size) {
    uint64_t address = pop(run);
    g_byte_array_set_size(buffer, 0);
    if (run->failed)
        return;
    if (!qemu_plugin_read_memory_vaddr(address, buffer, size) || buffer->length != size)
        run->failed = true, run->missing = size, run->missing_at = address;
    else
        push(run, number(buffer->data, size, tally->big_endian));
}

/* Towards zero, as in C, but for the one quotient that overflows. */
static int64_t divided(struct run *run, int64_t a, int64_t b) {
    run->failed |= b == 0;
    if (b == 0)
        return 0;
    return b == -1 ? (int64_t)(0 - (uint64_t)a) : a / b;
}

static uint64_t binary(struct run *run, uint8_t opcode, uint64_t a, uint64_t b) {
    int64_t x = (int64_t)a, y = (int64_t)b;
    switch (opcode) {
    case 0x02: return a + b;
    case 0x03: return a - b;
    case 0x04: return a * b;
    case 0x05: return (uint64_t)divided(run, x, y);
    case 0x06:
        run->failed |= b == 0;
        return b ? a / b : 0;
    case 0x07: return a - b * (uint64_t)divided(run, x, y);
    case 0x08:
        run->failed |= b == 0;
        return b ? a % b : 0;
    case 0x09: return b < 64 ? a << b : 0;
    case 0x0A: return (uint64_t)(x >> (b < 63 ? b : 63));
    case 0x0B: return b < 64 ? a >> b : 0;
    case 0x0F: return a & b;
    case 0x10: return a | b;
    case 0x11: return a ^ b;
    case 0x13: return a == b;
    case 0x14: return x < y;
    default: return a < b;
    }
}

static uint64_t extended(struct run *run, uint64_t bits, uint64_t value) {
    run->failed |= bits < 1 || bits > 64;
    if (run->failed || bits == 64)
        return value;
    uint64_t sign = (uint64_t)1 << (bits - 1);
    return ((value & (sign * 2 - 1)) ^ sign) - sign;
}

static void operate(struct run *run, uint8_t opcode) {
    uint64_t *top = run->values + run->depth, a, b;
    switch (opcode) {
    case 0x02: case 0x03: case 0x04: case 0x05: case 0x06: case 0x07: case 0x08: case 0x09: case 0x0A: case 0x0B:
    case 0x0F: case 0x10: case 0x11: case 0x13: case 0x14: case 0x15:
        b = pop(run), a = pop(run);
        push(run, binary(run, opcode, a, b));
        break;
    case 0x17: push_memory(run, 1); break;
    case 0x18: push_memory(run, 2); break;
    case 0x19: push_memory(run, 4); break;
    case 0x1A: push_memory(run, 8); break;
    case 0x22: push(run, argument(run, 1)); break;
    case 0x23: push(run, argument(run, 2)); break;
    case 0x24: push(run, argument(run, 4)); break;
    case 0x25: push(run, argument(run, 8)); break;
    case 0x26: push_register(run, argument(run, 2)); break;
    case 0x0C: pop(run), pop(run); break; /* trace */
    case 0x0D: argument(run, 1), need(run, 1); break; /* trace_quick */
    case 0x30: argument(run, 2), need(run, 1); break; /* trace16 */
    case 0x0E: push(run, pop(run) == 0); break;
    case 0x12: push(run, ~pop(run)); break;
    case 0x16:
        a = argument(run, 1);
        push(run, extended(run, a, pop(run)));
        break;
    case 0x2A: /* zero_ext */
        a = argument(run, 1), b = pop(run);
        push(run, a < 64 ? b & (((uint64_t)1 << a) - 1) : b);
        break;
    case 0x20: /* if_goto */
        a = argument(run, 2);
        if (pop(run))
            run->place = a;
        break;
    case 0x21: run->place = argument(run, 2); break; /* goto */
    case 0x28: /* dup */
        if (need(run, 1))
            push(run, top[-1]);
        break;
    case 0x29: pop(run); break;
    case 0x2B: /* swap */
        if (need(run, 2))
            a = top[-1], top[-1] = top[-2], top[-2] = a;
        break;
    case 0x32: /* pick */
        a = argument(run, 1);
        if (need(run, a + 1))
            push(run, top[-1 - (int64_t)a]);
        break;
    case 0x33: /* rot */
        if (need(run, 3))
            a = top[-1], top[-1] = top[-2], top[-2] = top[-3], top[-3] = a;
        break;
    default: run->failed = true;
    }
}

/* Run `program`; false where it cannot be, or reads what is not there. */
static bool worked_out(struct run *run, const struct program *program, uint64_t *value) {
    run->code = code + program->start, run->length = program->length;
    run->place = run->depth = run->missing = 0, run->failed = false;
    for (int i = 0; i < MOST_OPERATIONS; i++) {
        uint8_t opcode = (uint8_t)argument(run, 1);
        *value = !run->failed && opcode == 0x27 ? pop(run) : 0;
        if (!run->failed && opcode == 0x27)
            return true;
        if (!run->failed)
            operate(run, opcode);
        if (run->failed)
            return false;
    }
    return false;
}

/* 1 and 0 as the condition says, -1 where it cannot be told. */
static int holds(const struct program *program) {
    static struct run run;
    uint64_t value;
    return worked_out(&run, program, &value) ? value != 0 : -1;
}
