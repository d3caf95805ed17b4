/* A TCG plugin for QEMU that tallies executions of instructions and accesses to memory, and never stops the guest.
 *
 * From interface 4 on it judges conditions, too: GDB's agent expressions, of registers and memory. An execution at which
 * none holds is no hit. The meaning of the opcodes is that of rrdbg/model/program/agent.py, errors and bounds included.
 * There it also tells which writes change the watched bytes, and from what to what.
 *
 * What to look for stands in a file that rrdbg makes, and what was found is written there: both sides map it, and read
 * it while the guest stands still. rrdbg/links/tally.py has the other half of the layout.
 *
 * QEMU tells a plugin no instruction count, so the plugin keeps one: each translated instruction adds one, in the
 * generated code itself. An instruction that faults half-way is executed twice then, and counted twice, where QEMU's
 * own count has it once. So counts are a little too high after faults; whoever reads them must know. From interface 7 on
 * QEMU tells of exceptions, and at which counts they come the replay's log says: there the count is put right.
 *
 * API_VERSION says for which of QEMU's plugin interfaces this is built: 1 (QEMU 7.2), 2 (from 9.0), 4 (from 9.2) or 7
 * (from 11.1). The interface is declared here as far as it is used, since distributions do not package its header.
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

/* --- QEMU's side -------------------------------------------------------------------------------------------------- */

struct qemu_plugin_tb;
struct qemu_plugin_insn;

typedef void (*exec_function)(unsigned int vcpu, void *data);
typedef void (*access_function)(unsigned int vcpu, uint32_t info, uint64_t address, void *data);

enum { NO_REGISTERS = 0, READ_REGISTERS = 1, ADD_U64 = 0, READS = 1, WRITES = 2, UNEQUAL = 3, AT_LEAST = 7 };

size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t index);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb, exec_function call, int flags, void *data);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn, exec_function call, int flags, void *data);
void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *insn, access_function call, int flags, int accesses,
                                      void *data);
bool qemu_plugin_mem_is_store(uint32_t info);
unsigned int qemu_plugin_mem_size_shift(uint32_t info);

struct qemu_plugin_hwaddr;
struct qemu_plugin_hwaddr *qemu_plugin_get_hwaddr(uint32_t info, uint64_t address);
uint64_t qemu_plugin_hwaddr_phys_addr(const struct qemu_plugin_hwaddr *physical);

#if API_VERSION >= 7
void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, void (*call)(struct qemu_plugin_tb *tb, void *data),
                                           void *data);
#else
void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, void (*call)(uint64_t id, struct qemu_plugin_tb *tb));
#endif

#if API_VERSION >= 2
struct qemu_plugin_scoreboard;
struct counter {
    struct qemu_plugin_scoreboard *board;
    size_t offset;
};
struct qemu_plugin_scoreboard *qemu_plugin_scoreboard_new(size_t size);
void *qemu_plugin_scoreboard_find(struct qemu_plugin_scoreboard *board, unsigned int vcpu);
void qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(struct qemu_plugin_insn *insn, int operation,
                                                         struct counter counter, uint64_t value);
#else
void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn *insn, int operation, void *counter,
                                                uint64_t value);
#endif

#if API_VERSION >= 4
/* GLib's, which every QEMU has loaded. */
struct bytes {
    uint8_t *data;
    unsigned int length;
};
struct array {
    char *data;
    unsigned int length;
};
struct bytes *g_byte_array_new(void);
struct bytes *g_byte_array_set_size(struct bytes *array, unsigned int length);
char *g_array_free(struct array *array, int free_segment);
unsigned int g_array_get_element_size(struct array *array);

/* In later versions there is more behind it. */
struct known_register {
    void *handle;
    const char *name;
};
struct array *qemu_plugin_get_registers(void);
int qemu_plugin_read_register(void *handle, struct bytes *buffer);
bool qemu_plugin_read_memory_vaddr(uint64_t address, struct bytes *buffer, size_t length);

void qemu_plugin_register_vcpu_tb_exec_cond_cb(struct qemu_plugin_tb *tb, exec_function call, int flags, int condition,
                                               struct counter counter, uint64_t value, void *data);
void qemu_plugin_register_vcpu_insn_exec_cond_cb(struct qemu_plugin_insn *insn, exec_function call, int flags,
                                                 int condition, struct counter counter, uint64_t value, void *data);
#endif

#if API_VERSION >= 7
enum { EXCEPTIONS = 2, HOST_CALLS = 4 };
void qemu_plugin_register_vcpu_discon_cb(uint64_t id, int kinds,
                                         void (*call)(unsigned int vcpu, int kind, uint64_t from, uint64_t to,
                                                      void *data),
                                         void *data);
#endif

EXPORT int qemu_plugin_version = API_VERSION;

/* --- The file ----------------------------------------------------------------------------------------------------- */

/* Or READS, WRITES, both. */
enum { EXECUTION = 0, FRAME = 4, BLOCKS = 8, HANDLER = 16, SWITCH = 32, RENAME = 64, ACCESSES = 128, RETURN = 256 };

struct point {
    uint64_t kind;
    uint64_t start, end;           /* addresses; an execution's end is its start; a frame's are physical, of one page */
    uint64_t program, program_end; /* its conditions, one of which must hold; none: it always counts */
    uint64_t unclear;              /* whether it counts where a condition cannot be told */
    uint64_t reading, reading_end; /* what is to be read at each hit */
    uint64_t returns;              /* the first so many of that are where the call may return to that begins here */
};

struct program {
    uint64_t start, length; /* in the code */
};

struct reading {
    uint64_t program; /* of which value this is */
    uint64_t text;    /* whether that is where a text begins */
    uint64_t place;   /* in what is kept with the hit */
};

struct cpu_register {
    uint64_t number; /* that the code calls it by */
    char name[32];
};

struct hit {
    uint64_t executed; /* instructions executed before it; by an access its own instruction counts */
    uint64_t point;
    uint64_t pc;
    uint64_t address; /* where a frame's first byte is to the instruction; how long a block is; what comes next after a
                          write that was judged, as soon as it is known; else 0 */
    uint64_t told;    /* the bytes before and after it, or who runs, or what is read, are kept beside it; or as
                         accesses.h has it */
};

struct delivery {
    uint64_t first, last; /* between which counts it may come */
};

enum { MOST_VIEWS = 16 };

/* Memory of the guest's kernel, and where it is in this process: QEMU has the guest's RAM mapped. */
struct view {
    uint64_t start, length, host;
};

/* How a Linux kernel says who runs: by a pointer, to a structure with these offsets of members. */
struct tasks {
    uint64_t variable, pid, tgid, comm;
    uint64_t listening; /* whether it is time to; the views are known then */
    uint64_t view_count;
    struct view views[MOST_VIEWS];
};

struct tally {
    uint64_t point_count;
    uint64_t kept;   /* how many of the latest hits there is room for; a power of two */
    uint64_t wanted; /* the number of the hit, from 1 on, whose place is asked for */
    uint64_t wanted_executed;
    uint64_t hits;
    uint64_t big_endian;
    uint64_t program_count, register_count, code_size; /* a multiple of eight */
    uint64_t exception_count; /* of those that come, how many instructions are before each */
    uint64_t exceptions_met;
    uint64_t unexpected; /* exceptions that did not come where they were expected */
    uint64_t met;        /* executions at points, and writes, whether they counted or not */
    uint64_t judges_writes; /* only writes that change what is there are hits, and all points are watched */
    uint64_t value_size;    /* room for the bytes before a write, and for those after it */
    uint64_t delivery_count;
    uint64_t round; /* how often blocks have been asked for anew; all of them are told again then */
    uint64_t counter; /* where in this process the counter is, which may be put right there while the guest stands */
    uint64_t ahead;   /* by so much it is more than what was counted */
    uint64_t reading_count;
    uint64_t record_size;   /* room for what is kept with each hit: two values, and then what is read */
    uint64_t handler_room;  /* for how many addresses of handlers of exceptions there is room */
    uint64_t handler_count; /* known before the first code is translated */
    struct tasks tasks;
    struct point points[];
    /* programs, registers, readings, code, exceptions, deliveries, handlers, the latest hits, what is kept with each */
};

static struct tally *tally;
static const struct program *programs;
static const struct cpu_register *registers;
static const struct reading *readings;
static const uint8_t *code;
static const uint64_t *exceptions;
static const struct delivery *deliveries;
static const uint64_t *handlers;
static struct hit *latest;
static uint8_t *values;
static uint64_t accesses;        /* any of READS and WRITES that a point is about */
static uint64_t lowest, highest; /* all of the memory that points are about, but frames */

enum { PAGE = 4096, MARKS = 1 << 14 };
static uint8_t marks[MARKS]; /* whether something may be wanted where code has such an address */

static uint8_t *mark(uint64_t address) { return &marks[(address ^ address >> 14) % MARKS]; }

/* --- Counting ----------------------------------------------------------------------------------------------------- */

#if API_VERSION >= 2
static struct counter counter;

static void count(struct qemu_plugin_insn *insn) {
    qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(insn, ADD_U64, counter, 1);
}

static uint64_t *counted(void) { return qemu_plugin_scoreboard_find(counter.board, 0); }

#if API_VERSION >= 4
/* The counter is ahead by so much that it has a certain value, ALARM, at the count at which a block is to be looked at. */
static const uint64_t ALARM = (uint64_t)1 << 62;
static uint64_t ahead;
static bool begun; /* a block has */

enum { SLOTS = 1 << 12, COUNTER_SIZE = (2 + SLOTS) * sizeof(uint64_t) };

static uint64_t executed(void) { return *counted() - ahead; }

static void set_alarm(uint64_t at) {
    *counted() += ALARM - at - ahead;
    tally->ahead = ahead = ALARM - at;
}

/* Behind the counter is whether a write waits for what comes next; then instructions are marked, by their addresses:
 * those that have written to watched places, or those that calls return to.
 */
static uint64_t *waiting(void) { return counted() + 1; }

static uint64_t *slot(uint64_t address) { return counted() + 2 + (address ^ address >> 12) % SLOTS; }

static struct counter counter_at(const uint64_t *place) {
    return (struct counter){counter.board, (uint64_t)(place - counted()) * sizeof(uint64_t)};
}

static struct counter slot_counter(uint64_t address) { return counter_at(slot(address)); }
#else
enum { COUNTER_SIZE = sizeof(uint64_t) };

static uint64_t executed(void) { return *counted(); }
#endif

static void put_right(uint64_t now, uint64_t expected) { *counted() += expected - now; }

/* Counting comes before calling. */
enum { COUNTED_ITSELF = 1 };

static int asked_for(void) { return (int)accesses; }
#else
static uint64_t counter;

static void count(struct qemu_plugin_insn *insn) {
    qemu_plugin_register_vcpu_insn_exec_inline(insn, ADD_U64, &counter, 1);
}

static uint64_t executed(void) { return counter; }

static void put_right(uint64_t now, uint64_t expected) { counter += expected - now; }

static uint64_t *counted(void) { return &counter; }

/* Calling comes before counting. */
enum { COUNTED_ITSELF = 0 };

/* QEMU 7.2 tells of nothing where reads alone are asked for, and of everything where writes are. */
static int asked_for(void) { return READS | WRITES; }
#endif

static struct hit *note(const struct point *point, uint64_t now, uint64_t pc, uint64_t address) {
    struct hit *hit = &latest[tally->hits++ & (tally->kept - 1)];
    *hit = (struct hit){now, (uint64_t)(point - tally->points), pc, address, 0};
    if (tally->hits == tally->wanted)
        tally->wanted_executed = now;
    return hit;
}

#if API_VERSION >= 4
#include "agent.h"

static bool counts(const struct point *point) {
    for (uint64_t i = point->program; i < point->program_end; i++) {
        int found = holds(&programs[i]);
        if (found > 0 || (found < 0 && point->unclear))
            return true;
    }
    return point->program == point->program_end;
}

#include "reading.h"
#include "watch.h"
#else
static bool counts(const struct point *point) {
    (void)point;
    return true;
}

static void forget_before(void) {}
#endif

#include "tasks.h"
#include "accesses.h"
#include "frames.h"
#include "blocks.h"

static void on_execution(unsigned int vcpu, void *data) {
    const struct point *point = data;
    (void)vcpu;
    tally->met++;
    if (!counts(point))
        return;
    struct hit *hit = note(point, executed() - COUNTED_ITSELF, point->start, 0);
#if API_VERSION >= 4
    read_hit(point, hit);
#else
    (void)hit;
#endif
}

static bool reads_registers(const struct point *point) {
    return point->program < point->program_end || point->reading < point->reading_end;
}

static void on_access(unsigned int vcpu, uint32_t info, uint64_t address, void *data) {
    uint64_t end = address + ((uint64_t)1 << qemu_plugin_mem_size_shift(info));
    (void)vcpu;
    if (address >= highest || end <= lowest)
        return;
    uint64_t access = qemu_plugin_mem_is_store(info) ? WRITES : READS;
    for (struct point *point = tally->points; point < tally->points + tally->point_count; point++)
        if (point->kind & access && address < point->end && end > point->start)
            note(point, executed(), (uintptr_t)data, 0);
}

static void mark_points(void) {
    for (uint64_t i = 0; i < tally->handler_count; i++)
        *mark(handlers[i]) = 1;
    for (const struct point *point = tally->points; point < tally->points + tally->point_count; point++)
        if (point->kind == EXECUTION || point->kind & (HANDLER | SWITCH | RENAME))
            *mark(point->start) = 1;
}

/* What is looked for at the instruction at `address`. */
static void look_for_points(struct qemu_plugin_insn *insn, uint64_t address) {
    follow_tasks(insn, address);
    for (struct point *point = tally->points; point < tally->points + tally->point_count; point++)
        if (point->kind == EXECUTION && point->start == address)
            qemu_plugin_register_vcpu_insn_exec_cb(insn, on_execution,
                                                   reads_registers(point) ? READ_REGISTERS : NO_REGISTERS, point);
}

static void instrument(struct qemu_plugin_tb *tb) {
    if (!tally->counter)
        mark_points();
    tally->counter = (uintptr_t)counted();
    size_t length = qemu_plugin_tb_n_insns(tb);
    for (struct point *point = tally->points; point < tally->points + tally->point_count; point++)
        if (point->kind == BLOCKS)
            tell_block(tb, point);
#if API_VERSION >= 4
    if (tally->judges_writes)
        watch_block(tb);
    await_returns(tb);
#endif
    for (size_t i = 0; i < length; i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        uint64_t address = qemu_plugin_insn_vaddr(insn);
        count(insn);
        if (*mark(address))
            look_for_points(insn, address);
#if API_VERSION >= 4
        if (tally->judges_writes)
            watch_instruction(insn, address + qemu_plugin_insn_size(insn), i + 1 == length);
#endif
        if (accesses && !tally->judges_writes)
            qemu_plugin_register_vcpu_mem_cb(insn, on_access, NO_REGISTERS, asked_for(), (void *)(uintptr_t)address);
        if (everything)
            qemu_plugin_register_vcpu_mem_cb(insn, on_any_access, NO_REGISTERS, READS | WRITES,
                                             (void *)(uintptr_t)address);
        if (frames)
            qemu_plugin_register_vcpu_mem_cb(insn, on_write, NO_REGISTERS, WRITES, (void *)(uintptr_t)address);
    }
}

#if API_VERSION >= 7
/* An instruction that faults was counted when it was begun, and QEMU's own count does not have it. */
static void on_exception(unsigned int vcpu, int kind, uint64_t from, uint64_t to, void *data) {
    (void)vcpu, (void)kind, (void)from, (void)to, (void)data;
    uint64_t now = executed();
    forget_before();
    if (tally->exceptions_met >= tally->exception_count) {
        tally->unexpected++;
        return;
    }
    uint64_t expected = exceptions[tally->exceptions_met++];
    tally->unexpected += now != expected && now != expected + 1;
    put_right(now, expected);
}

static void on_translation(struct qemu_plugin_tb *tb, void *data) {
    (void)data;
    instrument(tb);
}
#else
static void on_translation(uint64_t id, struct qemu_plugin_tb *tb) {
    (void)id;
    instrument(tb);
}
#endif

/* --- The beginning ------------------------------------------------------------------------------------------------ */

static bool open_tally(const char *path) {
    struct stat status;
    int file = open(path, O_RDWR | O_CLOEXEC);
    if (file < 0)
        return false;
    void *memory = fstat(file, &status) == 0
        ? mmap(NULL, (size_t)status.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0)
        : MAP_FAILED;
    close(file);
    if (memory == MAP_FAILED)
        return false;
    tally = memory;
    programs = (const struct program *)&tally->points[tally->point_count];
    registers = (const struct cpu_register *)&programs[tally->program_count];
    readings = (const struct reading *)&registers[tally->register_count];
    code = (const uint8_t *)&readings[tally->reading_count];
    exceptions = (const uint64_t *)(code + tally->code_size);
    deliveries = (const struct delivery *)&exceptions[tally->exception_count];
    handlers = (const uint64_t *)&deliveries[tally->delivery_count];
    latest = (struct hit *)&handlers[tally->handler_room];
    values = (uint8_t *)&latest[tally->kept];
    lowest = UINT64_MAX;
    for (struct point *point = tally->points; point < tally->points + tally->point_count; point++) {
        if (point->kind == ACCESSES)
            everything = point;
        if (point->kind == EXECUTION || point->kind >= BLOCKS)
            continue;
        if (point->kind == FRAME) {
            add_frame(point);
            continue;
        }
        accesses |= point->kind;
        lowest = point->start < lowest ? point->start : lowest;
        highest = point->end > highest ? point->end : highest;
    }
    return true;
}

EXPORT int qemu_plugin_install(uint64_t id, const void *info, int argc, char **argv) {
    static const char option[] = "tally=";
    (void)info;
    if (argc == 0) {
        /* Only whether this QEMU takes the plugin is to be found out. */
        puts("rrdbg: loaded");
        fflush(stdout);
        _exit(0);
    }
    if (strncmp(argv[0], option, strlen(option)) != 0 || !open_tally(argv[0] + strlen(option)))
        return 1;
#if API_VERSION >= 2
    counter.board = qemu_plugin_scoreboard_new(COUNTER_SIZE);
#endif
#if API_VERSION >= 4
    buffer = g_byte_array_new();
    if (tally->judges_writes && !prepare_watches())
        return 1;
#endif
#if API_VERSION >= 7
    qemu_plugin_register_vcpu_discon_cb(id, EXCEPTIONS | HOST_CALLS, on_exception, NULL);
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation, NULL);
#else
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
#endif
    return 0;
}
