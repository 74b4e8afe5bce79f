/* From the line to bodies: COBS and CRC undone byte by byte. What is no frame is left out, as the page on the link says. */
#include "tp_internal.h"

enum { NOTHING, ONE_BYTE, IN_FRAME, NO_FRAME };

void tp_frame_forget(tp_probe *probe) {
    probe->frame_state = NOTHING;
    probe->received = 0;
    probe->cobs_left = probe->cobs_zero = 0;
    probe->crc = 0xFFFF;
}

/* A byte of body or CRC. The CRC is not told from the body until the end, where all of it must come to 0. */
static void take_decoded(tp_probe *probe, uint8_t byte) {
    if (probe->received < probe->config->body_bytes) probe->config->body[probe->received] = byte;
    if (probe->received < probe->config->body_bytes + 3) probe->received++;
    probe->crc = tp_crc16(probe->crc, byte);
}

static void take_encoded(tp_probe *probe, uint8_t byte) {
    if (probe->cobs_left > 0) {
        probe->cobs_left--;
        take_decoded(probe, byte);
        return;
    }
    if (probe->cobs_zero) take_decoded(probe, 0);
    probe->cobs_left = (uint8_t)(byte - 1);
    probe->cobs_zero = byte != 0xFF;
}

static int is_array(uint8_t byte) { return byte >= 0x91 && byte <= 0x9F; }

/* A zero byte has come: the length of the body that is now there, or 0. */
static size_t finish(tp_probe *probe) {
    size_t length = 0;
    if (probe->frame_state == IN_FRAME) {
        size_t received = probe->received;
        int is_whole = probe->cobs_left == 0 && probe->crc == 0 && received >= 3 &&
                       received <= probe->config->body_bytes + 2 && is_array(probe->config->body[0]);
        if (is_whole)
            length = received - 2;
        else
            probe->dropped++;
    }
    tp_frame_forget(probe);
    return length;
}

size_t tp_frame_take(tp_probe *probe, uint8_t byte) {
    if (byte == 0) return finish(probe);
    if (probe->frame_state == NOTHING)
        probe->frame_state = ONE_BYTE;
    else if (probe->frame_state == ONE_BYTE)
        probe->frame_state = is_array(byte) ? IN_FRAME : NO_FRAME;
    if (probe->frame_state != NO_FRAME) take_encoded(probe, byte);
    return 0;
}
