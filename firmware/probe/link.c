/* The state machine: what the board does with each message, and the ring that bytes come through. */
#include <string.h>

#include "tp_internal.h"

/* A fault of the link's own says its code only: what each means is known to the host. */
static void complain(tp_probe *probe, uint32_t run, const char *code) { tp_say_fault(probe, run, code, NULL); }

static void refuse(tp_probe *probe, uint32_t run, const char *code) {
    tp_run_forget(probe);
    complain(probe, run, code);
}

static const char busy[] = "busy", bad_request[] = "bad_request";

/* Messages */

static void begin_prompt(tp_probe *probe, const uint32_t *said) {
    tp_run_forget(probe);
    probe->end[TP_RUN_ID] = said[1];
    probe->pieces = said[3];
    probe->pieces_got = 0;
    probe->asked.max_tokens = said[4];
    probe->streamed = (uint8_t)said[5];
    probe->asked.prompt_bytes = 0;
    probe->state = TP_RECEIVING;
}

/* In what follows `said` are a message's values, its number first. */
static void on_piece(tp_probe *probe, const tp_asked *asked) {
    const tp_config *config = probe->config;
    const uint32_t *said = asked->values;
    uint32_t run = said[1], piece = said[2], count = said[6];
    tp_tick values[3];
    if (probe->end[TP_RUN_ID] != run) {
        if (probe->generating) {
            complain(probe, run, busy);
            return;
        }
        if (piece != 0) {
            probe->dropped++;
            return;
        }
        if (said[4] > config->token_count) {
            refuse(probe, run, bad_request);
            return;
        }
        begin_prompt(probe, said);
    }
    if (piece > probe->pieces_got || piece >= probe->pieces) {
        probe->dropped++;
        return;
    }
    if (piece == probe->pieces_got) {
        if (count > config->prompt_bytes - probe->asked.prompt_bytes) {
            refuse(probe, run, "too_long");
            return;
        }
        memcpy(config->prompt + probe->asked.prompt_bytes, asked->bytes, count);
        probe->asked.prompt_bytes += count;
        probe->pieces_got++;
    }
    /* A piece that came before is acknowledged again: the first word of that was lost. */
    values[0] = run;
    values[1] = probe->pieces_got;
    values[2] = tp_now(probe);
    tp_say(probe, TP_SHAPE(4, TP_START), values, 3);
    if (probe->state == TP_RECEIVING && probe->pieces_got == probe->pieces) tp_run_carry_out(probe);
}

static void on_hello(tp_probe *probe, const uint32_t *said) {
    tp_run_forget(probe);
    probe->waiting[0] = 0;
    probe->stopped = 1;
    if (said[2] > TP_PROTOCOL || said[3] < TP_PROTOCOL)
        complain(probe, 0, "version");
    else
        tp_say_hello(probe, said[1]);
}

static void on_abort(tp_probe *probe, uint32_t run) {
    if (run != probe->end[TP_RUN_ID])
        complain(probe, run, tp_no_run);
    else if (probe->state == TP_RUNNING)
        probe->stopped = 1;
    else if (probe->has_end)
        tp_say_end(probe);
    else
        refuse(probe, run, tp_no_run);
}

static void on_resend(tp_probe *probe, const uint32_t *said) {
    if (probe->waiting[0]) probe->dropped++;
    memcpy(probe->waiting, said, sizeof probe->waiting);
    if (!probe->generating) tp_run_resend(probe);
}

static void on_loop(tp_probe *probe, const uint32_t *said) {
    const tp_config *config = probe->config;
    tp_tick values[4];
    if (probe->state != TP_IDLE) {
        complain(probe, 0, busy);
        return;
    }
    values[0] = said[1];
    values[1] = 0;
    values[2] = tp_now(probe);
    if (config->loop != NULL) values[1] = config->loop(config->user, said[2]);
    values[3] = tp_now(probe);
    if (values[1] == 0)
        complain(probe, 0, bad_request);
    else
        tp_say(probe, TP_SHAPE(5, TP_LOOP), values, 4);
}

static void on_body(tp_probe *probe, uint32_t count) {
    tp_asked asked;
    const uint32_t *said = asked.values;
    if (!tp_read_message(&asked, probe->config->body, count)) {
        probe->dropped++;
        return;
    }
    switch (said[0]) {
    case TP_ASK_HELLO: on_hello(probe, said); break;
    case TP_RUN: on_piece(probe, &asked); break;
    case TP_ABORT: on_abort(probe, said[1]); break;
    case TP_ASK_STATS: tp_say_stats(probe, said[1]); break;
    case TP_RESEND: on_resend(probe, said); break;
    default: on_loop(probe, said); break;
    }
}

/* Bytes */

static uint32_t after(const tp_probe *probe, uint32_t index) {
    return index + 1 == probe->config->ring_bytes ? 0 : index + 1;
}

/* The producer writes the byte and then ring_in, the consumer reads ring_in and then the byte; all are volatile, so
 * that the compiler keeps this order, and one core sees its own writes in it. One place is left empty. */
void tp_receive(tp_probe *probe, uint8_t byte) {
    uint32_t in = probe->ring_in, next = after(probe, in);
    if (next == probe->ring_out) {
        probe->ring_lost = probe->ring_lost + 1;
        return;
    }
    ((volatile uint8_t *)probe->config->ring)[in] = byte;
    probe->ring_in = next;
}

/* Takes no more bytes than the ring holds, so that a line that never falls silent does not keep us here for ever; and
 * once a run is to stop, what else has come waits for its end. */
static void take_received(tp_probe *probe) {
    size_t left;
    for (left = probe->config->ring_bytes; left > 0; left--) {
        uint32_t out = probe->ring_out;
        uint32_t count;
        uint8_t byte;
        if (out == probe->ring_in || (probe->generating && probe->stopped)) return;
        byte = ((volatile uint8_t *)probe->config->ring)[out];
        probe->ring_out = after(probe, out);
        count = tp_frame_take(probe, byte);
        if (count > 0) on_body(probe, count);
    }
}

void tp_poll(tp_probe *probe) { take_received(probe); }

int tp_token_made(tp_probe *probe, uint32_t id) {
    tp_tick now = tp_now(probe);
    uint32_t made = (uint32_t)probe->end[TP_MADE];
    tp_token *token = &probe->config->tokens[made];
    if (!probe->generating || probe->stopped || made >= probe->asked.max_tokens) return 1;
    token->id = id;
    token->tick = now;
    probe->end[TP_MADE] = made + 1;
    if (probe->streamed) tp_say_tokens(probe, made, made + 1);
    if (((now - probe->stamped) & probe->tick_mask) >= probe->tick_mask / 4) {
        probe->stamped = now;
        tp_say_stats(probe, 0);
    }
    take_received(probe);
    return probe->stopped || made + 1 >= probe->asked.max_tokens;
}

static int is_within(size_t value, size_t least, size_t most) { return value >= least && value <= most; }

int tp_init(tp_probe *probe, const tp_config *config) {
    const tp_facts *facts = config->facts;
    if (config->ring_bytes < 128 || !is_within(config->body_bytes, 64, TP_MAX_BODY) ||
        !is_within(config->token_count, 1, 0xFFFF) || !is_within(facts->tick_bits, 8, 8 * sizeof(tp_tick)) ||
        facts->tick_hz == 0 || facts->build_id_bytes > 32)
        return -1;
    memset(probe, 0, sizeof *probe);
    probe->config = config;
    probe->asked.prompt = config->prompt;
    probe->tick_mask = (tp_tick)~(tp_tick)0 >> (8 * sizeof(tp_tick) - facts->tick_bits);
    tp_frame_forget(probe);
    tp_say_hello(probe, 0);
    return 0;
}
