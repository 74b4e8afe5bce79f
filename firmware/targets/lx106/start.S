/* From reset to main on an LX106 core (call0 ABI), and its exceptions. */
#define PS_USER 0x20
#define CAUSE_LEVEL1_INTERRUPT 4
#define CAUSE_BREAKPOINT 64   /* causes of our own: what comes by another vector than EXCCAUSE's */
#define CAUSE_NMI 65
#define CAUSE_DOUBLE 66

    .section .text.start, "ax"
    .literal_position
    .global _start
    .align 4
_start:
    movi a2, vectors
    wsr a2, vecbase
    movi a2, 0
    wsr a2, intenable
    movi a1, _stack_top
    movi a2, _stack_bottom      /* painted, for its high-water mark */
    movi a3, 0xC5C5C5C5
1:  s32i a3, a2, 0
    addi a2, a2, 4
    bltu a2, a1, 1b
    movi a2, _data_start
    movi a3, _data_end
    movi a4, _data_image
    bgeu a2, a3, 3f
2:  l32i a5, a4, 0
    s32i a5, a2, 0
    addi a4, a4, 4
    addi a2, a2, 4
    bltu a2, a3, 2b
3:  movi a2, _bss_start
    movi a3, _bss_end
    movi a5, 0
    bgeu a2, a3, 5f
4:  s32i a5, a2, 0
    addi a2, a2, 4
    bltu a2, a3, 4b
5:  movi a2, PS_USER            /* no exception is being dealt with, every interrupt may come */
    wsr a2, ps
    rsync
    movi a0, main
    callx0 a0
    movi a0, reset_chip
    callx0 a0

/* The core's layout of vectors: debug 0x10, NMI 0x20, kernel 0x30, user 0x50, double exception 0x70. */
    .section .vectors, "ax"
    .balign 256
    .global vectors
vectors:
    .org 0x10
    j from_debug
    .org 0x20
    j from_nmi
    .org 0x30
    wsr a0, excsave1
    j trap
    .org 0x50
    wsr a0, excsave1
    j trap
    .org 0x70
    j from_double
    .org 0x80
    .literal_position

/* On a stack of their own, since an exception may mean that there is no room on the other. */
    .align 4
trap:
    movi a0, _trap_stack_top
    addi a0, a0, -64
    s32i a1, a0, 4
    mov a1, a0
    rsr a0, excsave1
    s32i a0, a1, 0
    s32i a2, a1, 8
    s32i a3, a1, 12
    s32i a4, a1, 16
    s32i a5, a1, 20
    s32i a6, a1, 24
    s32i a7, a1, 28
    s32i a8, a1, 32
    s32i a9, a1, 36
    s32i a10, a1, 40
    s32i a11, a1, 44
    rsr a2, sar
    s32i a2, a1, 48
    rsr a2, exccause
    beqi a2, CAUSE_LEVEL1_INTERRUPT, 1f
    rsr a3, epc1
    mov a4, a0
    l32i a5, a1, 4
    rsr a6, excvaddr
    movi a0, record_fault
    jx a0
1:  movi a0, line_interrupt
    callx0 a0
    l32i a2, a1, 48
    wsr a2, sar
    l32i a2, a1, 8
    l32i a3, a1, 12
    l32i a4, a1, 16
    l32i a5, a1, 20
    l32i a6, a1, 24
    l32i a7, a1, 28
    l32i a8, a1, 32
    l32i a9, a1, 36
    l32i a10, a1, 40
    l32i a11, a1, 44
    l32i a0, a1, 0
    l32i a1, a1, 4
    rfe

from_debug:
    rsr a3, epc2
    movi a2, CAUSE_BREAKPOINT
    j leave
from_nmi:
    rsr a3, epc3
    movi a2, CAUSE_NMI
    j leave
from_double:
    rsr a3, depc
    movi a2, CAUSE_DOUBLE
leave:
    mov a4, a0
    mov a5, a1
    rsr a6, excvaddr
    movi a1, _trap_stack_top
    movi a0, record_fault
    jx a0
