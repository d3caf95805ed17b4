/* A 32-bit program for a PC, started by multiboot: a list whose items are added up by a function that calls itself. */

#define PORT 0x3f8
#define ITEMS 8
#define ROUNDS 16

struct item {
    unsigned number;
    unsigned values[4];
    struct item *next;
};

struct item items[ITEMS];
volatile unsigned total;

__attribute__((section(".multiboot"), used)) static const unsigned header[] = {0x1badb002, 0, -0x1badb002};
__attribute__((aligned(16), used)) static char stack[16384];

__attribute__((naked, noreturn)) void _start(void)
{
    __asm__("cli\n"
            "mov $stack + 16384, %esp\n"
            "call run\n"
            "1: hlt\n"
            "jmp 1b\n");
}

static void print(const char *text)
{
    for (; *text; text++)
        __asm__ volatile("outb %b0, %w1" : : "a"(*text), "Nd"(PORT));
}

__attribute__((noinline)) unsigned add(struct item *item, unsigned value)
{
    item->values[item->number % 4] += value;
    total += value;
    return item->values[item->number % 4];
}

__attribute__((noinline)) unsigned walk(struct item *item, unsigned depth)
{
    if (!item)
        return 0;
    unsigned here = add(item, depth);
    return here + walk(item->next, depth + 1);
}

__attribute__((used)) void run(void)
{
    for (unsigned number = 0; number < ITEMS; number++)
        items[number] = (struct item){.number = number, .next = number + 1 < ITEMS ? &items[number + 1] : 0};
    print("begin\n");
    for (unsigned round = 0; round < ROUNDS; round++)
        walk(items, round);
    print("done\n");
}
