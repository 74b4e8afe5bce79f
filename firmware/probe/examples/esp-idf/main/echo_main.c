#include "echo_model.h"
#include "esp_random.h"
#include "sdkconfig.h"
#include "serial_line.h"

static tp_probe probe;

static void take_arrived(unsigned wait_ms) {
    uint8_t arrived[64];
    size_t count = serial_read(arrived, sizeof arrived, wait_ms);
    for (size_t at = 0; at < count; at++) tp_receive(&probe, arrived[at]);
}

static void look(void) { take_arrived(0); }

void app_main(void) {
    tp_config *config = echo_configure(CONFIG_IDF_TARGET, esp_random(), 1000000, 32);
    serial_start();
    config->write = serial_write;
    config->ticks = serial_ticks;
    echo_look = look;
    tp_init(&probe, config);
    for (;;) {
        take_arrived(10);
        tp_poll(&probe);
    }
}
