/* The state machine: what the board does with each message, and how it carries out a run. */
#include <string.h>

#include "tp_internal.h"

static void forget_run(tp_probe *probe) {
    probe->run = probe->made = 0;
    probe->state = TP_IDLE;
    probe->has_end = probe->resend_waits = 0;
}

static void refuse(tp_probe *probe, uint32_t run, const char *code, const char *text) {
    forget_run(probe);
    tp_say_fault(probe, run, code, text);
}

static void say_no_run(tp_probe *probe, uint32_t run) { tp_say_fault(probe, run, "no_run", "there is no such run here"); }

/* The run */

static void resend(tp_probe *probe, uint32_t run, uint32_t first, uint32_t count) {
    if (run != probe->run || !probe->has_end) {
        say_no_run(probe, run);
        return;
    }
    if (first < probe->made)
        tp_say_tokens(probe, first, count < probe->made - first ? first + count : probe->made);
    tp_say_end(probe);
}

static void finish_run(tp_probe *probe) {
    const tp_outcome *outcome = &probe->outcome;
    if (outcome->fault_code != NULL) {
        refuse(probe, probe->run, outcome->fault_code, outcome->fault_text);
        return;
    }
    probe->end_reason = outcome->ended_eos && probe->made > 0 ? TP_ENDED_EOS
                        : probe->stopped                      ? TP_ENDED_ABORTED
                                                              : TP_ENDED_LIMIT;
    probe->has_end = 1;
    probe->state = TP_SENDING;
    if (!probe->streamed && !probe->stopped) tp_say_tokens(probe, 0, probe->made);
    tp_say_end(probe);
    probe->state = TP_IDLE;
}

static void carry_out_run(tp_probe *probe) {
    const tp_config *config = probe->config;
    tp_run run;
    run.prompt = config->prompt;
    run.prompt_bytes = probe->prompt_got;
    run.max_tokens = probe->max_tokens;
    memset(&probe->outcome, 0, sizeof probe->outcome);
    probe->outcome.ram_peak = probe->outcome.heap_peak = probe->outcome.stack_peak = TP_UNKNOWN;
    probe->state = TP_RUNNING;
    probe->stopped = 0;
    probe->generating = 1;
    probe->t0 = probe->stamped = tp_now(probe);
    config->generate(config->user, probe, &run, &probe->outcome);
    probe->t_end = tp_now(probe);
    probe->generating = 0;
    /* Whoever asked who we are in the middle of it wants to hear no more of this run. */
    if (probe->state == TP_RUNNING) finish_run(probe);
    if (probe->resend_waits) {
        probe->resend_waits = 0;
        resend(probe, probe->resend_run, probe->resend_first, probe->resend_count);
    }
}

/* Messages */

static int begin_prompt(tp_probe *probe, uint32_t run, uint32_t pieces, uint32_t max_tokens, uint32_t streamed) {
    if (max_tokens > probe->config->token_count) {
        refuse(probe, run, "bad_request", "more tokens than this board keeps");
        return 0;
    }
    forget_run(probe);
    probe->run = run;
    probe->pieces = (uint16_t)pieces;
    probe->pieces_got = 0;
    probe->max_tokens = max_tokens;
    probe->streamed = (uint8_t)streamed;
    probe->prompt_got = 0;
    probe->state = TP_RECEIVING;
    return 1;
}

static void on_piece(tp_probe *probe, tp_reader *reader) {
    const tp_config *config = probe->config;
    size_t count;
    uint32_t run = tp_read_uint(reader, 1, UINT32_MAX);
    uint32_t piece = tp_read_uint(reader, 0, 0xFFFF);
    uint32_t pieces = tp_read_uint(reader, 1, 0xFFFF);
    uint32_t max_tokens = tp_read_uint(reader, 1, 0xFFFF);
    uint32_t streamed = tp_read_uint(reader, 0, 1);
    const uint8_t *prompt = tp_read_bin(reader, &count);
    if (reader->bad) return;
    if (probe->run != run) {
        if (probe->state == TP_RUNNING) {
            tp_say_fault(probe, run, "busy", "a run is under way");
            return;
        }
        if (piece != 0) {
            reader->bad = 1;
            return;
        }
        if (!begin_prompt(probe, run, pieces, max_tokens, streamed)) return;
    }
    if (piece > probe->pieces_got || piece >= probe->pieces) {
        reader->bad = 1;
        return;
    }
    if (piece == probe->pieces_got) {
        if (count > config->prompt_bytes - probe->prompt_got) {
            refuse(probe, run, "too_long", "the prompt is longer than this board's memory for it");
            return;
        }
        memcpy(config->prompt + probe->prompt_got, prompt, count);
        probe->prompt_got += (uint32_t)count;
        probe->pieces_got++;
    }
    /* A piece that came before is acknowledged again: the first word of that was lost. */
    tp_say_start(probe);
    if (probe->state == TP_RECEIVING && probe->pieces_got == probe->pieces) carry_out_run(probe);
}

static void on_hello(tp_probe *probe, tp_reader *reader) {
    uint32_t nonce = tp_read_uint(reader, 1, UINT32_MAX);
    uint32_t low = tp_read_uint(reader, 0, 0xFF);
    uint32_t high = tp_read_uint(reader, 0, 0xFF);
    if (reader->bad) return;
    forget_run(probe);
    probe->stopped = 1;
    if (low > TP_PROTOCOL || high < TP_PROTOCOL)
        tp_say_fault(probe, 0, "version", "this board speaks version 1 of the link");
    else
        tp_say_hello(probe, nonce);
}

static void on_abort(tp_probe *probe, tp_reader *reader) {
    uint32_t run = tp_read_uint(reader, 1, UINT32_MAX);
    if (reader->bad) return;
    if (run != probe->run)
        say_no_run(probe, run);
    else if (probe->state == TP_RUNNING)
        probe->stopped = 1;
    else if (probe->has_end)
        tp_say_end(probe);
    else
        refuse(probe, run, "no_run", "the run had not started");
}

static void on_stats(tp_probe *probe, tp_reader *reader) {
    uint32_t nonce = tp_read_uint(reader, 1, UINT32_MAX);
    if (!reader->bad) tp_say_stats(probe, nonce);
}

static void on_resend(tp_probe *probe, tp_reader *reader) {
    uint32_t run = tp_read_uint(reader, 1, UINT32_MAX);
    uint32_t first = tp_read_uint(reader, 0, 0xFFFF);
    uint32_t count = tp_read_uint(reader, 0, 0xFFFF);
    if (reader->bad) return;
    if (probe->state != TP_RUNNING) {
        resend(probe, run, first, count);
        return;
    }
    if (probe->resend_waits) probe->dropped++;
    probe->resend_waits = 1;
    probe->resend_run = run;
    probe->resend_first = (uint16_t)first;
    probe->resend_count = (uint16_t)count;
}

static void on_loop(tp_probe *probe, tp_reader *reader) {
    const tp_config *config = probe->config;
    uint32_t nonce = tp_read_uint(reader, 1, UINT32_MAX);
    uint32_t asked = tp_read_uint(reader, 1, UINT32_MAX), made = 0;
    tp_tick before;
    if (reader->bad) return;
    if (probe->state != TP_IDLE) {
        tp_say_fault(probe, 0, "busy", "a run is under way");
        return;
    }
    before = tp_now(probe);
    if (config->loop != NULL) made = config->loop(config->user, asked);
    if (made == 0)
        tp_say_fault(probe, 0, "bad_request", "this board has no loop of known instructions");
    else
        tp_say_loop(probe, nonce, made, before, tp_now(probe));
}

static void on_body(tp_probe *probe, size_t count) {
    tp_reader reader;
    if (!tp_read_body(&reader, probe->config->body, count)) {
        probe->dropped++;
        return;
    }
    switch (tp_read_uint(&reader, 0, 0xFF)) {
    case TP_ASK_HELLO: on_hello(probe, &reader); break;
    case TP_RUN: on_piece(probe, &reader); break;
    case TP_ABORT: on_abort(probe, &reader); break;
    case TP_ASK_STATS: on_stats(probe, &reader); break;
    case TP_RESEND: on_resend(probe, &reader); break;
    case TP_ASK_LOOP: on_loop(probe, &reader); break;
    default: reader.bad = 1; break;
    }
    if (reader.bad) probe->dropped++;
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
        size_t count;
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
    tp_token *token;
    if (!probe->generating || probe->stopped || probe->made >= probe->max_tokens) return 1;
    token = &probe->config->tokens[probe->made++];
    token->id = id;
    token->tick = now;
    if (probe->streamed) tp_say_tokens(probe, probe->made - 1, probe->made);
    if (((now - probe->stamped) & tp_tick_mask(probe)) >= tp_tick_mask(probe) / 4) {
        probe->stamped = now;
        tp_say_stats(probe, 0);
    }
    take_received(probe);
    return probe->stopped || probe->made >= probe->max_tokens;
}

static int is_within_bounds(const tp_config *config) {
    const tp_facts *facts = config->facts;
    return facts != NULL && config->write != NULL && config->ticks != NULL && config->generate != NULL &&
           config->ring != NULL && config->ring_bytes >= 128 && config->body != NULL && config->body_bytes >= 64 &&
           config->body_bytes <= TP_MAX_BODY && config->prompt != NULL && config->tokens != NULL &&
           config->token_count >= 1 && config->token_count <= 0xFFFF && facts->tick_bits >= 8 &&
           facts->tick_bits <= 8 * sizeof(tp_tick) && facts->tick_hz >= 1 && facts->tick_hz <= UINT64_C(1000000000000);
}

int tp_init(tp_probe *probe, const tp_config *config) {
    if (!is_within_bounds(config)) return -1;
    memset(probe, 0, sizeof *probe);
    probe->config = config;
    tp_frame_forget(probe);
    tp_say_hello(probe, 0);
    return 0;
}
