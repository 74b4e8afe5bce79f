/* From reset to main on a RISC-V core in machine mode, and its traps. */
    .section .text.start, "ax"
    .global _start
_start:
    csrci mstatus, 8
    la sp, _stack_top
    la t0, _trap_stack_top
    csrw mscratch, t0
    la t0, vectors
    ori t0, t0, 1           /* vectored: the only mode that some cores have */
    csrw mtvec, t0
    la t0, _stack_bottom    /* painted, for its high-water mark */
    la t1, _stack_top
    li t2, 0xC5C5C5C5
1:  sw t2, 0(t0)
    addi t0, t0, 4
    bltu t0, t1, 1b
    la t0, _data_image
    la t1, _data_start
    la t2, _data_end
    bgeu t1, t2, 3f
2:  lw t3, 0(t0)
    sw t3, 0(t1)
    addi t0, t0, 4
    addi t1, t1, 4
    bltu t1, t2, 2b
3:  la t0, _bss_start
    la t1, _bss_end
    bgeu t0, t1, 5f
4:  sw zero, 0(t0)
    addi t0, t0, 4
    bltu t0, t1, 4b
5:  la tp, _tls_base        /* the C library's errno */
    call main
    call reset_chip

/* An exception enters at the first, interrupt n at the n-th. */
    .section .text.vectors, "ax"
    .balign 256
vectors:
    .option push
    .option norvc
    .rept 32
    j trap
    .endr
    .option pop

/* On a stack of their own, since an exception may mean that there is no room on the other. */
    .section .text.trap, "ax"
trap:
    csrrw sp, mscratch, sp
    addi sp, sp, -64
    sw ra, 0(sp)
    sw t0, 4(sp)
    sw t1, 8(sp)
    sw t2, 12(sp)
    sw a0, 16(sp)
    sw a1, 20(sp)
    sw a2, 24(sp)
    sw a3, 28(sp)
    sw a4, 32(sp)
    sw a5, 36(sp)
    sw a6, 40(sp)
    sw a7, 44(sp)
    sw t3, 48(sp)
    sw t4, 52(sp)
    sw t5, 56(sp)
    sw t6, 60(sp)
    csrr t0, mcause
    bltz t0, 1f
    mv a0, ra
    csrr a1, mscratch       /* where the stack was */
    call record_fault
1:  call line_interrupt
    lw ra, 0(sp)
    lw t0, 4(sp)
    lw t1, 8(sp)
    lw t2, 12(sp)
    lw a0, 16(sp)
    lw a1, 20(sp)
    lw a2, 24(sp)
    lw a3, 28(sp)
    lw a4, 32(sp)
    lw a5, 36(sp)
    lw a6, 40(sp)
    lw a7, 44(sp)
    lw t3, 48(sp)
    lw t4, 52(sp)
    lw t5, 56(sp)
    lw t6, 60(sp)
    addi sp, sp, 64
    csrrw sp, mscratch, sp
    mret

    .section .note.GNU-stack, "", %progbits
