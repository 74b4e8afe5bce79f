/* From bodies to the line: CRC and COBS done on the way, in a buffer of little more than one part of COBS. */
#include "tp_internal.h"

enum { FULL = 255 };

/* Closes the part that has been gathered, and writes what is closed when another part might not fit behind it. */
static void close_part(tp_probe *probe) {
    uint32_t length = (uint32_t)(probe->tx_fill - probe->tx_part);
    probe->tx[probe->tx_part] = (uint8_t)length;
    if (probe->tx_fill > TP_TX_BYTES - FULL - 1) {
        probe->config->write(probe->config->user, probe->tx, probe->tx_fill);
        probe->tx_fill = 0;
    }
    probe->tx_part = probe->tx_fill;
    probe->tx_fill++;
}

static void put_encoded(tp_probe *probe, uint8_t byte) {
    probe->tx_after_full = 0;
    if (byte == 0) {
        close_part(probe);
        return;
    }
    probe->tx[probe->tx_fill++] = byte;
    if (probe->tx_fill - probe->tx_part == FULL) {
        close_part(probe);
        probe->tx_after_full = 1;
    }
}

void tp_frame_begin(tp_probe *probe) {
    probe->tx[0] = 0;
    probe->tx_part = 1;
    probe->tx_fill = 2;
    probe->tx_crc = 0xFFFF;
    probe->tx_after_full = 0;
}

void tp_put(tp_probe *probe, uint8_t byte) {
    probe->tx_crc = tp_crc16(probe->tx_crc, byte);
    put_encoded(probe, byte);
}

void tp_frame_end(tp_probe *probe) {
    uint16_t crc = probe->tx_crc;
    put_encoded(probe, (uint8_t)(crc >> 8));
    put_encoded(probe, (uint8_t)crc);
    /* A full part at the very end stands for no zero: the empty part that was opened behind it is left out. */
    if (probe->tx_after_full)
        probe->tx_fill = probe->tx_part;
    else
        probe->tx[probe->tx_part] = (uint8_t)(probe->tx_fill - probe->tx_part);
    probe->tx[probe->tx_fill++] = 0;
    probe->config->write(probe->config->user, probe->tx, probe->tx_fill);
}
