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

/* Places in tp_probe.end, in the order in which `End` says them. */
enum { TP_RUN_ID, TP_REASON, TP_PROMPT_TOKENS, TP_MADE, TP_T0, TP_T_END };

#define TP_MAX_GROUP 64

/* crc.c. CRC-16/IBM-3740 starts at 0xFFFF; over a body and its own CRC it comes to 0. */
uint16_t tp_crc16(uint32_t crc, uint32_t byte);
uint32_t tp_crc32(uint32_t crc, uint32_t word); /* four bytes, least significant first; starts and ends inverted */

/* frames_in.c: a byte from the line. Returns the length of the body that it completes in config->body, or 0. */
void tp_frame_forget(tp_probe *probe);
uint32_t tp_frame_take(tp_probe *probe, uint32_t byte);

/* frames_out.c: a body's bytes go through put one by one between begin and end; no body is ever held whole. One frame
 * is made at a time: several probes must be polled by the same thread. */
void tp_frame_begin(tp_probe *probe);
void tp_put(uint32_t byte);
void tp_frame_end(void);

/* writing.c: MessagePack values, each in its shortest encoding. */
#define TP_NIL 0xC0
void tp_put_uint(uint64_t value);
void tp_put_array(uint32_t count);
void tp_put_bin_header(uint32_t count);
void tp_put_content(const uint8_t *bytes, uint32_t count);
void tp_put_bin(const void *bytes, uint32_t count);
void tp_put_str(const char *text, uint32_t most); /* cut after `most` bytes, between characters; NULL: nil */

/* reading.c: what the host asks. `values` are its numbers in their order, the message's own first; of bytes it is how
 * many there are, and `bytes` is where. */
#define TP_MOST_VALUES 6 /* of a message, beside its number */
typedef struct {
    uint32_t values[TP_MOST_VALUES + 1];
    const uint8_t *bytes;
} tp_asked;

/* 1 where a body is one whole message that we know, each of its fields within its bounds. */
int tp_read_message(tp_asked *asked, const uint8_t *body, uint32_t count);

/* saying.c: the messages of the board, each as one frame. */
tp_tick tp_now(tp_probe *probe);
/* A message's elements and number, and its first values. A message that has no others ends with them. */
#define TP_SHAPE(elements, number) ((uint32_t)((number) - 16) << 4 | (elements))
void tp_say(tp_probe *probe, uint32_t shape, const tp_tick *values, uint32_t count);

void tp_say_hello(tp_probe *probe, uint32_t nonce);
void tp_say_tokens(tp_probe *probe, uint32_t first, uint32_t stop); /* in as many groups as it takes */
void tp_say_end(tp_probe *probe);
void tp_say_fault(tp_probe *probe, uint32_t run, const char *code, const char *text);
void tp_say_stats(tp_probe *probe, uint32_t nonce);
/* run.c. */
extern const char tp_no_run[];
void tp_run_forget(tp_probe *probe);
void tp_run_carry_out(tp_probe *probe);
void tp_run_resend(tp_probe *probe); /* as probe->waiting says, if it does */

#endif
