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

enum { EXECUTION = 0, FRAME = 4, BLOCKS = 8, HANDLER = 16, SWITCH = 32, RENAME = 64, ACCESSES = 128 }; /* or READS, WRITES, both */

struct point {
    uint64_t kind;
    uint64_t start, end;           /* addresses; an execution's end is its start; a frame's are physical, of one page */
    uint64_t program, program_end; /* its conditions, one of which must hold; none: it always counts */
    uint64_t unclear;              /* whether it counts where a condition cannot be told */
};

struct program {
    uint64_t start, length; /* in the code */
};

struct cpu_register {
    uint64_t number; /* that the code calls it by */
    char name[32];
};

struct hit {
    uint64_t executed; /* instructions executed before it; by an access its own instruction counts */
    uint64_t point;
    uint64_t pc;
    uint64_t address; /* where a frame's first byte is to the instruction; how long a block is; else 0 */
    uint64_t told;    /* the bytes before and after it, or who runs, are kept beside the hits; or as accesses.h has it */
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
    struct tasks tasks;
    struct point points[];
    /* programs, registers, code, exceptions, deliveries, the latest hits, two values for each */
};

static struct tally *tally;
static const struct program *programs;
static const struct cpu_register *registers;
static const uint8_t *code;
static const uint64_t *exceptions;
static const struct delivery *deliveries;
static struct hit *latest;
static uint8_t *values;
static uint64_t accesses;        /* any of READS and WRITES that a point is about */
static uint64_t lowest, highest; /* all of the memory that points are about, but frames */

enum { PAGE = 4096, SEEN = 1 << 12 };
static bool frames;                     /* some points are frames */
static uint64_t frames_low, frames_high; /* their offsets in their pages, all together */
static uint64_t seen[SEEN];             /* what was noted of frames already, so far as it has not made room */

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

enum { WRITERS = 1 << 12, COUNTER_SIZE = (1 + WRITERS) * sizeof(uint64_t) };

static uint64_t executed(void) { return *counted() - ahead; }

static void set_alarm(uint64_t at) {
    *counted() += ALARM - at - ahead;
    ahead = ALARM - at;
}

/* Behind the counter are the instructions that have written to watched places, by their addresses. */
static uint64_t *writer(uint64_t pc) { return counted() + 1 + (pc ^ pc >> 12) % WRITERS; }
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

#include "watch.h"
#else
static bool counts(const struct point *point) {
    (void)point;
    return true;
}
#endif

#include "tasks.h"
#include "accesses.h"

static void on_execution(unsigned int vcpu, void *data) {
    const struct point *point = data;
    (void)vcpu;
    tally->met++;
    if (counts(point))
        note(point, executed() - COUNTED_ITSELF, point->start, 0);
}

static void on_access(unsigned int vcpu, uint32_t info, uint64_t address, void *data) {
    uint64_t end = address + ((uint64_t)1 << qemu_plugin_mem_size_shift(info));
    (void)vcpu;
    if (address >= highest || end <= lowest)
        return;
    uint64_t access = qemu_plugin_mem_is_store(info) ? WRITES : READS;
    for (struct point *point = tally->points; point < tally->points + tally->point_count; point++)
        if (point->kind & access && address < point->end && end > point->start) {
#if API_VERSION >= 4
            if (tally->judges_writes) {
                written(point, (uintptr_t)data);
                continue;
            }
#endif
            note(point, executed(), (uintptr_t)data, 0);
        }
}

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

struct block {
    const struct point *point;
    uint64_t start, size;
    uint64_t told; /* in the round after this one it is to be told */
};

/* Code is executed that was not before: noted once, or once more where QEMU has translated it anew. */
static void on_block_begin(unsigned int vcpu, void *data) {
    struct block *block = data;
    (void)vcpu;
    if (block->told <= tally->round)
        note(block->point, executed(), block->start, block->size);
    block->told = tally->round + 1;
}

static void tell_block(struct qemu_plugin_tb *tb, const struct point *point) {
    struct qemu_plugin_insn *last = qemu_plugin_tb_get_insn(tb, qemu_plugin_tb_n_insns(tb) - 1);
    uint64_t start = qemu_plugin_insn_vaddr(qemu_plugin_tb_get_insn(tb, 0));
    struct block *block = start >= point->start && start < point->end ? calloc(1, sizeof *block) : NULL;
    if (!block)
        return;
    *block = (struct block){point, start, qemu_plugin_insn_vaddr(last) + qemu_plugin_insn_size(last) - start, 0};
    qemu_plugin_register_vcpu_tb_exec_cb(tb, on_block_begin, NO_REGISTERS, block);
}

static void instrument(struct qemu_plugin_tb *tb) {
    tally->counter = (uintptr_t)counted();
    size_t length = qemu_plugin_tb_n_insns(tb);
    for (struct point *point = tally->points; point < tally->points + tally->point_count; point++)
        if (point->kind == BLOCKS)
            tell_block(tb, point);
#if API_VERSION >= 4
    if (tally->judges_writes)
        watch_block(tb);
#endif
    for (size_t i = 0; i < length; i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        uint64_t address = qemu_plugin_insn_vaddr(insn);
        count(insn);
        follow_tasks(insn, address);
        for (struct point *point = tally->points; point < tally->points + tally->point_count; point++)
            if (point->kind == EXECUTION && point->start == address)
                qemu_plugin_register_vcpu_insn_exec_cb(
                    insn, on_execution, point->program < point->program_end ? READ_REGISTERS : NO_REGISTERS, point);
#if API_VERSION >= 4
        if (tally->judges_writes)
            watch_instruction(insn, address);
#endif
        if (accesses)
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
    before_at = 0;
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
    code = (const uint8_t *)&registers[tally->register_count];
    exceptions = (const uint64_t *)(code + tally->code_size);
    deliveries = (const struct delivery *)&exceptions[tally->exception_count];
    latest = (struct hit *)&deliveries[tally->delivery_count];
    values = (uint8_t *)&latest[tally->kept];
    lowest = UINT64_MAX;
    for (struct point *point = tally->points; point < tally->points + tally->point_count; point++) {
        if (point->kind == ACCESSES)
            everything = point;
        if (point->kind == EXECUTION || point->kind >= BLOCKS)
            continue;
        if (point->kind == FRAME) {
            uint64_t low = point->start % PAGE, high = low + (point->end - point->start);
            frames_low = !frames || low < frames_low ? low : frames_low;
            frames_high = high > frames_high ? high : frames_high;
            frames = true;
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
