/* What the library's own files know of each other; nothing here is for its users. */
#ifndef TP_INTERNAL_H
#define TP_INTERNAL_H

#include "tinyprobe.h"

/* Numbers of the messages: docs/link-protocol.md. */
enum { TP_ASK_HELLO = 1, TP_RUN, TP_ABORT, TP_ASK_STATS, TP_RESEND, TP_ASK_LOOP };
enum { TP_HELLO = 17, TP_START, TP_TOKENS, TP_END, TP_FAULT, TP_STATS, TP_LOG, TP_LOOP };

/* Stats.state and End.reason. */
enum { TP_IDLE, TP_RECEIVING, TP_RUNNING, TP_SENDING };
enum { TP_ENDED_EOS, TP_ENDED_LIMIT, TP_ENDED_ABORTED };

#define TP_MAX_GROUP 64

/* crc.c. CRC-16/IBM-3740 starts at 0xFFFF; over a body and its own CRC it comes to 0. */
uint16_t tp_crc16(uint16_t crc, uint8_t byte);
uint32_t tp_crc32(uint32_t crc, uint32_t word); /* four bytes, least significant first; starts and ends inverted */

/* frames_in.c: a byte from the line. Returns the length of the body that it completes in config->body, or 0. */
void tp_frame_forget(tp_probe *probe);
size_t tp_frame_take(tp_probe *probe, uint8_t byte);

/* frames_out.c: a body's bytes go through put one by one between begin and end; no body is ever held whole. */
void tp_frame_begin(tp_probe *probe);
void tp_put(tp_probe *probe, uint8_t byte);
void tp_frame_end(tp_probe *probe);

/* writing.c: MessagePack values, each in its shortest encoding. */
void tp_message(tp_probe *probe, uint8_t elements, uint8_t number); /* begins a frame */
void tp_put_uint(tp_probe *probe, uint64_t value);
unsigned tp_uint_size(uint64_t value);
void tp_put_size(tp_probe *probe, uint64_t bytes); /* nil where it is TP_UNKNOWN */
void tp_put_array(tp_probe *probe, unsigned count);
void tp_put_bin_header(tp_probe *probe, size_t count);
void tp_put_bin(tp_probe *probe, const uint8_t *bytes, size_t count);
void tp_put_str(tp_probe *probe, const char *text, size_t most); /* cut after `most` bytes, between characters */

/* reading.c: the elements of a body, in order, each within its bounds. */
typedef struct {
    const uint8_t *at, *end;
    unsigned left;
    int bad;
} tp_reader;

int tp_read_body(tp_reader *reader, const uint8_t *body, size_t count); /* 0 unless it is one whole array */
uint32_t tp_read_uint(tp_reader *reader, uint32_t least, uint32_t most);
const uint8_t *tp_read_bin(tp_reader *reader, size_t *count);

/* saying.c: the messages of the board, each as one frame. */
tp_tick tp_now(tp_probe *probe);
tp_tick tp_tick_mask(const tp_probe *probe);
void tp_say_hello(tp_probe *probe, uint32_t nonce);
void tp_say_start(tp_probe *probe);
void tp_say_tokens(tp_probe *probe, uint32_t first, uint32_t stop); /* in as many groups as it takes */
void tp_say_end(tp_probe *probe);
void tp_say_fault(tp_probe *probe, uint32_t run, const char *code, const char *text);
void tp_say_stats(tp_probe *probe, uint32_t nonce);
void tp_say_loop(tp_probe *probe, uint32_t nonce, uint32_t instructions, tp_tick before, tp_tick after);

#endif
