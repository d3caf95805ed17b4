/* Who runs in a Linux guest, from when on: part of tally.c.
 *
 * Behind the instruction that makes another task the running one (SWITCH) the kernel's variable points to that. The
 * kernel's memory is read where QEMU has it mapped, since plugins can read none before interface 4.
 *
 * Where the running task is about to be given another name (RENAME) it has the old one yet. What it is called in the end
 * is told when something is noted next; if another one was given the name, or it is the same, nothing is to be told.
 *
 * Before interface 7 QEMU tells of no exceptions; but where their handlers begin (HANDLER) the replay's log says at which
 * count the next one comes, and if the instruction that has faulted was counted there is one more, which is taken away.
 */

enum { OPEN = 0, TOLD = 1, NOTHING = 2, NAME = 16 };

static uint64_t running;   /* the task that was noted last; 0: none by now */
static char name[NAME];    /* what it was called then */
static struct hit *rename_; /* what is still open */

static const void *mapped(uint64_t address, uint64_t length) {
    for (uint64_t i = 0; i < tally->tasks.view_count; i++) {
        const struct view *view = &tally->tasks.views[i];
        uint64_t offset = address - view->start;
        if (offset < view->length && length <= view->length - offset)
            return (const uint8_t *)(uintptr_t)view->host + offset;
    }
    return NULL;
}

static uint64_t current_task(void) {
    const uint8_t *data = mapped(tally->tasks.variable, 8);
    uint64_t value = 0;
    for (int i = 0; data && i < 8; i++)
        value |= (uint64_t)data[i] << 8 * i;
    return value;
}

/* Keep the numbers and the name of `task` with the hit, and remember it as the running one. */
static void tell_task(struct hit *hit, uint64_t task) {
    const struct tasks *tasks = &tally->tasks;
    const void *pid = mapped(task + tasks->pid, 4), *tgid = mapped(task + tasks->tgid, 4);
    const void *comm = mapped(task + tasks->comm, NAME);
    uint8_t *value = values + (uint64_t)(hit - latest) * tally->record_size;
    if (!pid || !tgid || !comm) {
        tally->unexpected++;
        return;
    }
    memcpy(value, pid, 4);
    memcpy(value + 4, tgid, 4);
    memcpy(value + 8, comm, NAME);
    memcpy(name, comm, NAME);
    running = task;
    hit->address = task;
    hit->told = TOLD;
}

/* Something is noted next: tell what came of a name that was to be given. */
static void settle(void) {
    const char *comm = running ? mapped(running + tally->tasks.comm, NAME) : NULL;
    bool other = comm && strncmp(comm, name, NAME) != 0;
    if (rename_ && other)
        tell_task(rename_, running);
    else if (rename_)
        rename_->told = NOTHING;
    else
        tally->unexpected += other;
    rename_ = NULL;
}

static void on_switch(unsigned int vcpu, void *data) {
    const struct point *point = data;
    (void)vcpu;
    if (!tally->tasks.listening)
        return;
    settle();
    tell_task(note(point, executed() - COUNTED_ITSELF, point->start, 0), current_task());
}

static void on_rename(unsigned int vcpu, void *data) {
    const struct point *point = data;
    (void)vcpu;
    if (!tally->tasks.listening)
        return;
    settle();
    struct hit *hit = note(point, executed() - COUNTED_ITSELF, point->start, 0);
    tell_task(hit, current_task());
    hit->told = OPEN;
    rename_ = hit;
}

static void on_handler(unsigned int vcpu, void *data) {
    uint64_t now = executed() - COUNTED_ITSELF;
    (void)vcpu, (void)data;
    if (!tally->tasks.listening)
        return;
    for (; tally->exceptions_met < tally->exception_count; tally->exceptions_met++) {
        uint64_t expected = exceptions[tally->exceptions_met];
        if (now < expected)
            return; /* an interrupt's handler begins here, too */
        if (now <= expected + 1) {
            put_right(now, expected);
            forget_before();
            tally->exceptions_met++;
            return;
        }
        tally->unexpected++;
    }
}

static bool is_handler(uint64_t address) {
    for (uint64_t i = 0; i < tally->handler_count; i++)
        if (handlers[i] == address)
            return true;
    return false;
}

static void follow_tasks(struct qemu_plugin_insn *insn, uint64_t address) {
    if (is_handler(address))
        qemu_plugin_register_vcpu_insn_exec_cb(insn, on_handler, NO_REGISTERS, NULL);
    for (struct point *point = tally->points; point < tally->points + tally->point_count; point++)
        if (point->start == address && point->kind & (HANDLER | SWITCH | RENAME))
            qemu_plugin_register_vcpu_insn_exec_cb(
                insn, point->kind == HANDLER ? on_handler : point->kind == SWITCH ? on_switch : on_rename,
                NO_REGISTERS, point);
}
