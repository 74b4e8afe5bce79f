/* The second stage of the RP2040's boot: 256 bytes that its ROM reads from the start of the flash, checks and runs from RAM
 * (RP2040 datasheet, 2.8). It sets the flash interface up for plain reads, command 03h, which every serial flash knows
 * (4.10), and goes on to the vector table behind itself. Slow, and safe: one bit at a time. For four bits at a time, take
 * the stage for the board's own flash from the Pico SDK in its place. tools/elf_to_uf2.py puts the check value, a CRC-32
 * (2.8.1.3.1), into the last four bytes. */
    .syntax unified
    .cpu cortex-m0plus
    .thumb
    .section .boot2, "ax"
    .global boot2
boot2:
    push {lr}
    ldr r3, =0x18000000         /* SSI */
    movs r1, #0
    str r1, [r3, #0x08]         /* SSIENR: off while it is changed */
    movs r1, #4
    str r1, [r3, #0x14]         /* BAUDR: a quarter of the core's clock, 31 MHz at 125 MHz */
    ldr r1, =(31 << 16 | 3 << 8)
    str r1, [r3, #0x00]         /* CTRLR0: frames of 32 bits; a command, then data */
    ldr r1, =(0x03 << 24 | 2 << 8 | 6 << 2)
    ldr r0, =0x180000F4
    str r1, [r0]                /* SPI_CTRLR0: command 03h of 8 bits, address of 24 */
    movs r1, #0
    str r1, [r3, #0x04]         /* CTRLR1: one frame a read */
    movs r1, #1
    str r1, [r3, #0x08]         /* SSIENR: on */
    pop {r0}
    cmp r0, #0
    beq 1f
    bx r0                       /* called by someone who wants to have the flash back */
1:  ldr r0, =vectors
    ldr r1, =0xE000ED08         /* VTOR */
    str r0, [r1]
    ldmia r0, {r0, r1}
    msr msp, r0
    bx r1
    .ltorg
    .space 252 - (. - boot2)
    .word 0                     /* the check value's place */
