/* From the line to bodies: COBS and CRC undone byte by byte. What is no frame is left out. */
#include "tp_internal.h"

enum { CRC_BYTES = 2 };

void tp_frame_forget(tp_probe *probe) {
    probe->encoded = probe->is_frame = 0;
    probe->cobs_left = probe->cobs_zero = 0;
    probe->received = 0;
    probe->crc = 0xFFFF;
}

/* A byte of body or CRC. The CRC is not told from the body until the end, where all of it must come to 0. */
static void take_decoded(tp_probe *probe, uint32_t byte) {
    uint32_t received = probe->received, room = (uint32_t)probe->config->body_bytes;
    if (received < room) probe->config->body[received] = (uint8_t)byte;
    if (received <= room + CRC_BYTES) probe->received = received + 1;
    probe->crc = tp_crc16(probe->crc, byte);
}

static void take_encoded(tp_probe *probe, uint32_t byte) {
    if (probe->cobs_left > 0) {
        probe->cobs_left--;
        take_decoded(probe, byte);
        return;
    }
    if (probe->cobs_zero) take_decoded(probe, 0);
    probe->cobs_left = (uint8_t)(byte - 1);
    probe->cobs_zero = byte != 0xFF;
}

static int is_array(uint32_t byte) { return byte - 0x91 <= 0x9F - 0x91; }

/* A zero byte has come: the length of the body that is now there, or 0. */
static uint32_t finish(tp_probe *probe) {
    uint32_t length = probe->received - CRC_BYTES;
    if (probe->cobs_left > 0 || probe->crc != 0 || length - 1 >= probe->config->body_bytes || !probe->is_frame) {
        length = 0;
        probe->dropped += probe->is_frame; /* the log is none of ours */
    }
    tp_frame_forget(probe);
    return length;
}

uint32_t tp_frame_take(tp_probe *probe, uint32_t byte) {
    if (byte == 0) return finish(probe);
    if (probe->encoded < 2 && ++probe->encoded == 2) probe->is_frame = (uint8_t)is_array(byte);
    take_encoded(probe, byte);
    return 0;
}
