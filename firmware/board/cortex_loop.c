/* A loop whose instructions are known: a subtraction and the branch back, and on Armv6-M so many instructions between
 * them that it takes as many cycles as instructions, to 0.05% (a branch that is taken is the only one of two cycles). */
#include "board.h"

#if __ARM_ARCH >= 7
#define BODY 0
#else
#define BODY 2046
#endif
#define TEXT_OF(number) #number
#define TEXT(number) TEXT_OF(number)

__attribute__((naked, noinline)) static void go_round(uint32_t times) {
    __asm volatile(
        ".balign 8\n"
#if __ARM_ARCH < 7
        "mov r1, pc\n" /* the address of the first nop, with the bit of Thumb: no branch reaches so far back */
        "adds r1, #1\n"
#endif
        "1:\n"
        ".rept " TEXT(BODY) "\n"
        "nop\n"
        ".endr\n"
        "subs r0, #1\n"
#if __ARM_ARCH >= 7
        "bne 1b\n"
        "bx lr\n"
#else
        "beq 2f\n"
        "bx r1\n"
        "2: bx lr\n"
#endif
    );
}

uint32_t board_loop(uint32_t instructions) {
#if __ARM_ARCH >= 7
    uint32_t each = 2, after = 1;
#else
    uint32_t each = BODY + 3, after = 0; /* the last time round one jump less, and then the return */
#endif
    uint32_t times = instructions / each;
    if (times == 0) times = 1;
    go_round(times);
    return times * each + after;
}
