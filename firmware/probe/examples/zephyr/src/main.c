/* The probe on the UART that the devicetree chooses as zephyr,console. */
#include <zephyr/device.h>
#include <zephyr/drivers/uart.h>
#include <zephyr/kernel.h>
#include <zephyr/random/random.h>

#include "echo_model.h"

static const struct device *const line = DEVICE_DT_GET(DT_CHOSEN(zephyr_console));
static tp_probe probe;

static void write_bytes(void *user, const uint8_t *bytes, size_t count) {
    ARG_UNUSED(user);
    for (size_t at = 0; at < count; at++) uart_poll_out(line, bytes[at]);
}

static tp_tick ticks(void *user) {
    ARG_UNUSED(user);
    return k_cycle_get_32();
}

static void on_receive(const struct device *device, void *user) {
    uint8_t byte;
    ARG_UNUSED(user);
    if (!uart_irq_update(device)) return;
    while (uart_irq_rx_ready(device) && uart_fifo_read(device, &byte, 1) == 1) tp_receive(&probe, byte);
}

int main(void) {
    tp_config *config = echo_configure(CONFIG_BOARD, sys_rand32_get(), sys_clock_hw_cycles_per_sec(), 32);
    if (!device_is_ready(line)) return 0;
    config->write = write_bytes;
    config->ticks = ticks;
    tp_init(&probe, config);
    uart_irq_callback_user_data_set(line, on_receive, NULL);
    uart_irq_rx_enable(line);
    for (;;) {
        tp_poll(&probe);
        k_yield();
    }
}
