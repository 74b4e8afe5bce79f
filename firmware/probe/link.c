/* The state machine: what the board does with each message, and how it carries out a run. */
#include <string.h>

#include "tp_internal.h"

static void forget_run(tp_probe *probe) {
    probe->end[TP_RUN_ID] = probe->end[TP_MADE] = 0;
    probe->state = TP_IDLE;
    probe->has_end = 0;
}

/* A fault whose code and text are one behind the other, each ended by a zero. */
static void complain(tp_probe *probe, uint32_t run, const char *code_and_text) {
    tp_say_fault(probe, run, code_and_text, code_and_text + strlen(code_and_text) + 1);
}

static void refuse(tp_probe *probe, uint32_t run, const char *code_and_text) {
    forget_run(probe);
    complain(probe, run, code_and_text);
}

static const char no_run[] = "no_run\0no such run";
static const char busy[] = "busy\0a run goes on";

/* The run */

/* `said`: what Resend says. */
static void resend(tp_probe *probe, const uint32_t *said) {
    uint32_t first = said[2], count = said[3], made = (uint32_t)probe->end[TP_MADE];
    if (said[1] != probe->end[TP_RUN_ID] || !probe->has_end) {
        complain(probe, said[1], no_run);
        return;
    }
    if (first > made) first = made;
    if (count > made - first) count = made - first;
    tp_say_tokens(probe, first, first + count);
    tp_say_end(probe);
}

static void finish_run(tp_probe *probe) {
    const tp_outcome *outcome = &probe->outcome;
    if (outcome->fault_code != NULL) {
        uint32_t run = (uint32_t)probe->end[TP_RUN_ID];
        forget_run(probe);
        tp_say_fault(probe, run, outcome->fault_code, outcome->fault_text);
        return;
    }
    probe->end[TP_REASON] = probe->stopped ? TP_ENDED_ABORTED : TP_ENDED_LIMIT;
    if (outcome->ended_eos && probe->end[TP_MADE] > 0) probe->end[TP_REASON] = TP_ENDED_EOS;
    probe->end[TP_PROMPT_TOKENS] = outcome->prompt_tokens;
    probe->has_end = 1;
    probe->state = TP_SENDING;
    if (!probe->streamed && !probe->stopped) tp_say_tokens(probe, 0, (uint32_t)probe->end[TP_MADE]);
    tp_say_end(probe);
    probe->state = TP_IDLE;
}

static void carry_out_run(tp_probe *probe) {
    const tp_config *config = probe->config;
    tp_outcome *outcome = &probe->outcome;
    tp_run run;
    run.prompt = config->prompt;
    run.prompt_bytes = probe->prompt_got;
    run.max_tokens = probe->max_tokens;
    memset(outcome, 0xFF, sizeof *outcome); /* every mark is TP_UNKNOWN */
    outcome->prompt_tokens = 0;
    outcome->ended_eos = 0;
    outcome->fault_code = outcome->fault_text = NULL;
    probe->state = TP_RUNNING;
    probe->stopped = 0;
    probe->generating = 1;
    probe->end[TP_T0] = probe->stamped = tp_now(probe);
    config->generate(config->user, probe, &run, outcome);
    probe->end[TP_T_END] = tp_now(probe);
    probe->generating = 0;
    /* Whoever asked who we are in the middle of it wants to hear no more of this run. */
    if (probe->state == TP_RUNNING) finish_run(probe);
    if (probe->waiting[0]) resend(probe, probe->waiting);
    probe->waiting[0] = 0;
}

/* Messages */

static void begin_prompt(tp_probe *probe, const uint32_t *said) {
    forget_run(probe);
    probe->end[TP_RUN_ID] = said[1];
    probe->pieces = (uint16_t)said[3];
    probe->pieces_got = 0;
    probe->max_tokens = said[4];
    probe->streamed = (uint8_t)said[5];
    probe->prompt_got = 0;
    probe->state = TP_RECEIVING;
}

/* Each of these returns 0 where the message is to be dropped. `said` are its values, its number first. */
static int on_piece(tp_probe *probe, const tp_asked *asked) {
    const tp_config *config = probe->config;
    const uint32_t *said = asked->values;
    uint32_t run = said[1], piece = said[2];
    if (probe->end[TP_RUN_ID] != run) {
        if (probe->generating) {
            complain(probe, run, busy);
            return 1;
        }
        if (piece != 0) return 0;
        if (said[4] > config->token_count) {
            refuse(probe, run, "bad_request\0too many tokens");
            return 1;
        }
        begin_prompt(probe, said);
    }
    if (piece > probe->pieces_got || piece >= probe->pieces) return 0;
    if (piece == probe->pieces_got) {
        if (asked->count > config->prompt_bytes - probe->prompt_got) {
            refuse(probe, run, "too_long\0no memory for it");
            return 1;
        }
        memcpy(config->prompt + probe->prompt_got, asked->bytes, asked->count);
        probe->prompt_got += asked->count;
        probe->pieces_got++;
    }
    /* A piece that came before is acknowledged again: the first word of that was lost. */
    tp_say_start(probe);
    if (probe->state == TP_RECEIVING && probe->pieces_got == probe->pieces) carry_out_run(probe);
    return 1;
}

static void on_hello(tp_probe *probe, const uint32_t *said) {
    forget_run(probe);
    probe->waiting[0] = 0;
    probe->stopped = 1;
    if (said[2] > TP_PROTOCOL || said[3] < TP_PROTOCOL)
        complain(probe, 0, "version\0this board speaks 1");
    else
        tp_say_hello(probe, said[1]);
}

static void on_abort(tp_probe *probe, uint32_t run) {
    if (run != probe->end[TP_RUN_ID])
        complain(probe, run, no_run);
    else if (probe->state == TP_RUNNING)
        probe->stopped = 1;
    else if (probe->has_end)
        tp_say_end(probe);
    else
        refuse(probe, run, no_run);
}

static void on_resend(tp_probe *probe, const uint32_t *said) {
    if (!probe->generating) {
        resend(probe, said);
        return;
    }
    if (probe->waiting[0]) probe->dropped++;
    memcpy(probe->waiting, said, sizeof probe->waiting);
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
        complain(probe, 0, "bad_request\0no such loop");
    else
        tp_say(probe, TP_SHAPE(5, TP_LOOP), values, 4);
}

static void on_body(tp_probe *probe, uint32_t count) {
    tp_asked asked;
    const uint32_t *said = asked.values;
    int is_ours = tp_read_message(&asked, probe->config->body, count);
    if (is_ours) switch (said[0]) {
        case TP_ASK_HELLO: on_hello(probe, said); break;
        case TP_RUN: is_ours = on_piece(probe, &asked); break;
        case TP_ABORT: on_abort(probe, said[1]); break;
        case TP_ASK_STATS: tp_say_stats(probe, said[1]); break;
        case TP_RESEND: on_resend(probe, said); break;
        default: on_loop(probe, said); break;
        }
    if (!is_ours) probe->dropped++;
}

/* Bytes */

static uint32_t after(const tp_probe *probe, uint32_t index) {
    return index + 1 == probe->config->ring_bytes ? 0 : index + 1;
}

/* The producer writes the byte and then ring_in, the consumer reads ring_in and then the byte; all are volatile, so that
 * the compiler keeps this order, and one core sees its own writes in it. One place is left empty. */
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
    if (!probe->generating || probe->stopped || made >= probe->max_tokens) return 1;
    token->id = id;
    token->tick = now;
    probe->end[TP_MADE] = made + 1;
    if (probe->streamed) tp_say_tokens(probe, made, made + 1);
    if (((now - probe->stamped) & probe->tick_mask) >= probe->tick_mask / 4) {
        probe->stamped = now;
        tp_say_stats(probe, 0);
    }
    take_received(probe);
    return probe->stopped || made + 1 >= probe->max_tokens;
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
    probe->tick_mask = (tp_tick)~(tp_tick)0 >> (8 * sizeof(tp_tick) - facts->tick_bits);
    tp_frame_forget(probe);
    tp_say_hello(probe, 0);
    return 0;
}
