/* Where the ROM jumps to after a direct boot. */
    .section .boot, "ax"
    j _start
    .section .note.GNU-stack, "", %progbits
