/* The probe on UART0 (GPIO 0 and 1) of a Raspberry Pi Pico. */
#include "echo_model.h"
#include "hardware/clocks.h"
#include "hardware/irq.h"
#include "hardware/uart.h"
#include "pico/rand.h"
#include "pico/stdlib.h"
#include "pico/unique_id.h"

static tp_probe probe;

static void write_bytes(void *user, const uint8_t *bytes, size_t count) {
    (void)user;
    uart_write_blocking(uart0, bytes, count); /* bounded: there is no flow control */
}

static tp_tick ticks(void *user) {
    (void)user;
    return time_us_32();
}

static void on_receive(void) {
    while (uart_is_readable(uart0)) tp_receive(&probe, (uint8_t)uart_getc(uart0));
}

int main(void) {
    static char identity[2 * PICO_UNIQUE_BOARD_ID_SIZE_BYTES + 1];
    tp_config *config = echo_configure(PICO_RP2040 ? "rp2040" : "rp2350", get_rand_32(), 1000000, 32);
    pico_get_unique_board_id_string(identity, sizeof identity);
    echo_facts.identity = identity;
    echo_facts.cpu_hz = clock_get_hz(clk_sys);
    config->write = write_bytes;
    config->ticks = ticks;
    uart_init(uart0, 115200);
    gpio_set_function(0, GPIO_FUNC_UART);
    gpio_set_function(1, GPIO_FUNC_UART);
    tp_init(&probe, config);
    irq_set_exclusive_handler(UART0_IRQ, on_receive);
    irq_set_enabled(UART0_IRQ, true); /* on this core, which is the one that polls */
    uart_set_irq_enables(uart0, true, false);
    for (;;) tp_poll(&probe);
}
