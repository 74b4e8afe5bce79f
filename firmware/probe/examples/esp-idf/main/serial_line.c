#include "serial_line.h"

#include "driver/uart.h"
#include "esp_timer.h"
#include "freertos/FreeRTOS.h"

enum { PORT = UART_NUM_0, ROOM = 1024 };

void serial_start(void) {
    const uart_config_t line = {
        .baud_rate = 115200, .data_bits = UART_DATA_8_BITS, .stop_bits = UART_STOP_BITS_1};
    ESP_ERROR_CHECK(uart_driver_install(PORT, ROOM, ROOM, 0, NULL, 0));
    ESP_ERROR_CHECK(uart_param_config(PORT, &line));
}

void serial_write(void *user, const uint8_t *bytes, size_t count) {
    (void)user;
    uart_write_bytes(PORT, bytes, count);
}

size_t serial_read(uint8_t *bytes, size_t room, unsigned wait_ms) {
    int count = uart_read_bytes(PORT, bytes, room, pdMS_TO_TICKS(wait_ms));
    return count > 0 ? (size_t)count : 0;
}

tp_tick serial_ticks(void *user) {
    (void)user;
    return (tp_tick)esp_timer_get_time();
}
