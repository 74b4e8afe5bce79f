/* The line: USART3 at 115,200 baud on PD8 (out) and PD9 (in), which is the Nucleo-144 boards' USB port (UM1974), RM0385
 * chapters 6 and 31. One byte is all that it holds, so an interrupt takes each as it comes. */
#include "board.h"
#include "receive_ring.h"
#include "stm32_registers.h"
#include "stm32f7.h"

#define BAUD 115200u
#define WRITE_POLLS 400000u /* over 10 ms at any clock; a byte takes 87 us */

#define GPIOD_MODER REGISTER(0x40020C00)
#define GPIOD_AFRH REGISTER(0x40020C24)
#define USART_CR1 REGISTER(0x40004800)
#define USART_BRR REGISTER(0x4000480C)
#define USART_ISR REGISTER(0x4000481C)
#define USART_ICR REGISTER(0x40004820)
#define USART_RDR REGISTER(0x40004824)
#define USART_TDR REGISTER(0x40004828)
#define ISR_RXNE (1u << 5)
#define ISR_TXE (1u << 7)
#define ICR_ERRORS 15u                                 /* parity, framing, noise, overrun */
#define CR1_ON (1u << 5 | 1u << 3 | 1u << 2 | 1u << 0) /* interrupt on receive, send, receive, enable */

void line_start(uint32_t clock_hz) {
    RCC_AHB1ENR |= 1u << 3;
    RCC_APB1ENR |= 1u << 18;
    (void)RCC_APB1ENR; /* two cycles until the clocks are there */
    GPIOD_AFRH = (GPIOD_AFRH & ~0xFFu) | 7u << 0 | 7u << 4;
    GPIOD_MODER = (GPIOD_MODER & ~(15u << 16)) | 2u << 16 | 2u << 18;
    USART_BRR = (clock_hz + BAUD / 2) / BAUD;
    USART_CR1 = CR1_ON;
    NVIC_ISER(USART3_IRQ) = 1u << USART3_IRQ % 32;
}

void line_entry(void) {
    USART_ICR = ICR_ERRORS;
    if (USART_ISR & ISR_RXNE) receive_ring_put((uint8_t)USART_RDR);
}

void board_write(const uint8_t *bytes, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (!came(&USART_ISR, ISR_TXE, ISR_TXE, WRITE_POLLS)) return;
        USART_TDR = bytes[i];
    }
}
