/* The examples' model on a board whose line is the standard input and output; it ends with its input. */
#include <stdio.h>

#include "echo_model.h"

static void write_bytes(void *user, const uint8_t *bytes, size_t count) {
    (void)user;
    fwrite(bytes, 1, count, stdout);
}

static tp_tick ticks(void *user) {
    static tp_tick now;
    (void)user;
    return now += 1000;
}

int main(void) {
    static tp_probe probe;
    tp_config *config = echo_configure("pipe", 7, 1000000, 32);
    int byte;
    config->write = write_bytes;
    config->ticks = ticks;
    if (tp_init(&probe, config) != 0) return 1;
    while ((byte = getchar()) != EOF) {
        tp_receive(&probe, (uint8_t)byte);
        tp_poll(&probe);
    }
    return 0;
}
