/* The probe on USART1 of an STM32 with the HAL. In main.c, behind MX_USART1_UART_Init(): tinyprobe_start(); and in the
 * main loop: tinyprobe_poll(); and call tinyprobe_usart_irq() first in USART1_IRQHandler of stm32XXxx_it.c. */
#include "echo_model.h"
#include "main.h" /* of the project: includes stm32XXxx_hal.h */

extern UART_HandleTypeDef huart1;

static tp_probe probe;

static void write_bytes(void *user, const uint8_t *bytes, size_t count) {
    (void)user;
    HAL_UART_Transmit(&huart1, (uint8_t *)bytes, (uint16_t)count, 100); /* bounded: after 100 ms it drops */
}

/* The core's cycle counter. A Cortex-M0 has none: there take a free 32-bit timer. */
static tp_tick ticks(void *user) {
    (void)user;
    return DWT->CYCCNT;
}

void tinyprobe_start(void) {
    tp_config *config;
    CoreDebug->DEMCR |= CoreDebug_DEMCR_TRCENA_Msk;
    DWT->CYCCNT = 0;
    DWT->CTRL |= DWT_CTRL_CYCCNTENA_Msk;
    /* Another number at each start: of parts with a random number generator take that. */
    config = echo_configure("stm32", HAL_GetUIDw0() ^ SysTick->VAL ^ (RTC->SSR << 8), SystemCoreClock, 32);
    config->write = write_bytes;
    config->ticks = ticks;
    echo_facts.cpu_hz = SystemCoreClock;
    tp_init(&probe, config);
    __HAL_UART_ENABLE_IT(&huart1, UART_IT_RXNE);
}

void tinyprobe_poll(void) { tp_poll(&probe); }

void tinyprobe_usart_irq(void) {
    if (__HAL_UART_GET_FLAG(&huart1, UART_FLAG_RXNE)) {
#ifdef USART_RDR_RDR
        tp_receive(&probe, (uint8_t)huart1.Instance->RDR);
#else
        tp_receive(&probe, (uint8_t)huart1.Instance->DR);
#endif
    }
    if (__HAL_UART_GET_FLAG(&huart1, UART_FLAG_ORE)) __HAL_UART_CLEAR_OREFLAG(&huart1);
}
