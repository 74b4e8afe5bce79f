/* tinyprobe: the board's side of tinyprof's link, for one's own firmware.
 *
 * C99, no allocation, no dependencies but <stdint.h>, <stddef.h> and <string.h>. Every byte on the line is specified in
 * docs/link-protocol.md. The user gives two functions, one that writes bytes and one that reads a counter; gives
 * memory; feeds what arrives; and calls tp_poll() from the main loop:
 *
 *     static uint8_t memory_in[512], memory_prompt[512];
 *     static tp_token memory_tokens[256];
 *     tp_init(&probe, &config);
 *     for (;;) tp_poll(&probe);            // config.generate is called from here
 *     void UART_IRQHandler(void) { tp_receive(&probe, UART->DR); }
 *
 * and from `generate`, once for each token: if (tp_token_made(probe, id)) return;
 */
#ifndef TINYPROBE_H
#define TINYPROBE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TP_PROTOCOL 1
#define TP_MAX_BODY 1024 /* longest body that the link allows, either way */
#define TP_MAX_TEXT 255  /* so many bytes of a token's text travel */

/* The counter's type: uint32_t for counters of up to 32 bits, uint64_t with -DTP_TICK_64. */
#ifdef TP_TICK_64
typedef uint64_t tp_tick;
#else
typedef uint32_t tp_tick;
#endif

typedef struct tp_probe tp_probe;

/* What is kept of a token until the next run, for the groups that are sent after the timed part and for `Resend`. */
typedef struct {
    uint32_t id;
    tp_tick tick;
} tp_token;

/* What the board says of itself; every string ends in a zero and is UTF-8, and what is longer than its field in
 * docs/link-protocol.md is cut. None is NULL but identity. A size or rate of 0 is "not known". */
typedef struct {
    const char *firmware_name, *firmware_version;
    const uint8_t *build_id;
    size_t build_id_bytes; /* at most 32 */
    const char *engine, *engine_build;
    const char *platform, *identity;
    uint64_t cpu_hz, ram_bytes, flash_bytes, flash_used_bytes;
    uint32_t flags;
    uint64_t tick_hz;
    uint8_t tick_bits;
    const char *model_name;
    uint8_t model_sha256[32];
    const char *quantisation, *kv_cache, *activations;
    uint32_t ctx;
} tp_facts;

/* A run, as `generate` is told of it. */
typedef struct {
    const uint8_t *prompt; /* not ended by a zero */
    size_t prompt_bytes;
    uint32_t max_tokens;
} tp_run;

/* How a run ended, as `generate` says. Prompt tokens count begin-of-sequence. Marks of TP_UNKNOWN travel as nil. */
#define TP_UNKNOWN UINT64_MAX
typedef struct {
    uint32_t prompt_tokens;
    int ended_eos;                             /* the last token is end-of-sequence */
    uint64_t ram_peak, heap_peak, stack_peak;  /* bytes, high-water marks */
    const char *fault_code, *fault_text;       /* NULL, or why it failed: too_long, model, memory, internal; one line */
} tp_outcome;

typedef struct {
    const tp_facts *facts;
    void *user;                                             /* handed to the functions below */
    void (*write)(void *user, const uint8_t *bytes, size_t count); /* bounded: it may drop, it may not hang */
    tp_tick (*ticks)(void *user);
    void (*generate)(void *user, tp_probe *probe, const tp_run *run, tp_outcome *outcome);
    /* The text of a token: its bytes (any, even none) and how many, the same each time. NULL: tokens travel without. */
    const uint8_t *(*text)(void *user, uint32_t id, size_t *count);
    /* Executes a loop of about `instructions` known instructions and returns how many exactly; NULL where there is no
     * such loop. Only emulated boards are asked for it: their clock is checked by it. */
    uint32_t (*loop)(void *user, uint32_t instructions);
    uint32_t boot;                                          /* another one at each start */
    uint8_t *ring;      size_t ring_bytes;                  /* received bytes until tp_poll: README.md; 128 or more */
    uint8_t *body;      size_t body_bytes;                  /* one message of the host: this is `rx_max`, 64 to 1,024 */
    uint8_t *prompt;    size_t prompt_bytes;                /* a whole prompt */
    tp_token *tokens;   size_t token_count;                 /* this is `token_max`, 1 to 65,535 */
} tp_config;

/* The buffer of what is sent: a part of COBS, its delimiters, and short parts before it, so that writes are few. */
#define TP_TX_BYTES 320

/* The state of a link; its content is the library's own. It takes about 470 bytes, 320 of which are for sending. */
struct tp_probe {
    const tp_config *config;
    uint8_t encoded, is_frame, cobs_left, cobs_zero; /* what is being received */
    uint8_t state, streamed, stopped, generating, has_end;
    uint8_t tx_after_full;
    uint16_t crc, tx_crc, tx_fill, tx_part;
    volatile uint32_t ring_in, ring_out, ring_lost;
    uint32_t received; /* bytes of the frame so far, decoded */
    uint32_t dropped, pieces, pieces_got;
    tp_run asked; /* as much of it as has come */
    uint32_t waiting[4]; /* a Resend that came in a run's middle waits for its end */
    tp_tick tick_mask, stamped;
    tp_tick end[6]; /* run, reason, prompt tokens, tokens made, t0, t_end: as `End` says them */
    tp_outcome outcome;
    uint8_t tx[TP_TX_BYTES];
};

/* Begins: empties everything and says `Hello` unasked. Returns 0, or -1 where config breaks a bound named above. */
int tp_init(tp_probe *probe, const tp_config *config);

/* A byte that arrived. The only function that an interrupt may call, of the core that polls; what the ring cannot take
 * is counted. */
void tp_receive(tp_probe *probe, uint8_t byte);

/* Deals with everything that has arrived, runs included; returns at once when there is nothing. */
void tp_poll(tp_probe *probe);

/* From `generate`, as soon as a token's id is chosen: stamps it, sees to the host's messages, and tells whether to stop
 * (nonzero: aborted, asked who we are, or max_tokens are made; then `generate` returns). */
int tp_token_made(tp_probe *probe, uint32_t id);

/* A line of the board's log, in a frame. level: 0 debug, 1 information, 2 warning, 3 error. */
void tp_log(tp_probe *probe, uint8_t level, const char *text);

#ifdef __cplusplus
}
#endif
#endif
