/* Where QEMU's virt starts a core without a BIOS: the bottom of RAM. */
    .section .boot, "ax"
    lui t0, %hi(_start)
    addi t0, t0, %lo(_start)
    jr t0
    .section .note.GNU-stack, "", %progbits
