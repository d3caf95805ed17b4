/* Which code is executed, each block of it once: part of tally.c. */

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
