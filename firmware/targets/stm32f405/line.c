/* The line: USART1 at 115,200 baud on PA9 (out) and PA10 (in), RM0090 chapters 8 and 30. One byte is all that it holds, so
 * an interrupt takes each as it comes. */
#include "board.h"
#include "receive_ring.h"
#include "stm32f405.h"
#include "stm32_registers.h"

#define BAUD 115200u
#define WRITE_POLLS 200000u /* over 10 ms at any clock; a byte takes 87 us */

#define GPIOA_MODER REGISTER(0x40020000)
#define GPIOA_AFRH REGISTER(0x40020024)
#define USART_SR REGISTER(0x40011000)
#define USART_DR REGISTER(0x40011004)
#define USART_BRR REGISTER(0x40011008)
#define USART_CR1 REGISTER(0x4001100C)
#define SR_RXNE (1u << 5)
#define SR_TXE (1u << 7)
#define CR1_ON (1u << 13 | 1u << 5 | 1u << 3 | 1u << 2) /* enable, interrupt on receive, send, receive */

void line_start(uint32_t clock_hz) {
    RCC_AHB1ENR |= 1u << 0;
    RCC_APB2ENR |= 1u << 4;
    (void)RCC_APB2ENR; /* two cycles until the clocks are there */
    GPIOA_AFRH = (GPIOA_AFRH & ~0xFF0u) | 7u << 4 | 7u << 8;
    GPIOA_MODER = (GPIOA_MODER & ~(15u << 18)) | 2u << 18 | 2u << 20;
    USART_BRR = (clock_hz + BAUD / 2) / BAUD;
    USART_CR1 = CR1_ON;
}

/* Reading the byte also clears an overrun. */
void line_entry(void) {
    uint32_t status = USART_SR, byte = USART_DR;
    if (status & SR_RXNE) receive_ring_put((uint8_t)byte);
}

void board_write(const uint8_t *bytes, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (!came(&USART_SR, SR_TXE, SR_TXE, WRITE_POLLS)) return;
        USART_DR = bytes[i];
    }
}
