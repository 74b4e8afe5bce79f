/* What the board says: each message of the link as one frame. */
#include "tp_internal.h"

enum { NAME = 64, CODE = 16, SHORT = 200, BUILD_ID = 32 };

/* A group's body around its tokens at most: two bytes of array and number, 5 run, 3 first, and three headers of 3. */
enum { AROUND_TOKENS = 2 + 5 + 3 + 3 * 3 };

tp_tick tp_tick_mask(const tp_probe *probe) {
    return (tp_tick)~(tp_tick)0 >> (8 * sizeof(tp_tick) - probe->config->facts->tick_bits);
}

tp_tick tp_now(tp_probe *probe) { return probe->config->ticks(probe->config->user) & tp_tick_mask(probe); }

void tp_say_hello(tp_probe *probe, uint32_t nonce) {
    const tp_config *config = probe->config;
    const tp_facts *facts = config->facts;
    tp_message(probe, 8, TP_HELLO);
    tp_put_uint(probe, nonce);
    tp_put_uint(probe, TP_PROTOCOL);
    tp_put_uint(probe, config->boot);
    tp_put_array(probe, 5);
    tp_put_str(probe, facts->firmware_name, NAME);
    tp_put_str(probe, facts->firmware_version, NAME);
    tp_put_bin(probe, facts->build_id, facts->build_id_bytes > BUILD_ID ? BUILD_ID : facts->build_id_bytes);
    tp_put_str(probe, facts->engine, NAME);
    tp_put_str(probe, facts->engine_build, SHORT);
    tp_put_array(probe, 7);
    tp_put_str(probe, facts->platform, NAME);
    if (facts->identity == NULL)
        tp_put(probe, 0xC0);
    else
        tp_put_str(probe, facts->identity, NAME);
    tp_put_uint(probe, facts->cpu_hz);
    tp_put_uint(probe, facts->ram_bytes);
    tp_put_uint(probe, facts->flash_bytes);
    tp_put_uint(probe, facts->flash_used_bytes);
    tp_put_uint(probe, facts->flags);
    tp_put_array(probe, 4);
    tp_put_uint(probe, facts->tick_hz);
    tp_put_uint(probe, facts->tick_bits);
    tp_put_uint(probe, config->body_bytes);
    tp_put_uint(probe, config->token_count);
    tp_put_array(probe, 6);
    tp_put_str(probe, facts->model_name, NAME);
    tp_put_bin(probe, facts->model_sha256, sizeof facts->model_sha256);
    tp_put_str(probe, facts->quantisation, NAME);
    tp_put_str(probe, facts->kv_cache, NAME);
    tp_put_uint(probe, facts->ctx);
    tp_put_str(probe, facts->activations, NAME);
    tp_frame_end(probe);
}

void tp_say_start(tp_probe *probe) {
    tp_message(probe, 4, TP_START);
    tp_put_uint(probe, probe->run);
    tp_put_uint(probe, probe->pieces_got);
    tp_put_uint(probe, tp_now(probe));
    tp_frame_end(probe);
}

/* A token's text; none where the user gives none. */
static const uint8_t *text_of(tp_probe *probe, uint32_t index, size_t *count) {
    const tp_config *config = probe->config;
    *count = 0;
    return config->text == NULL ? NULL : config->text(config->user, config->tokens[index].id, count);
}

/* A token's tick as its group says it: the group's first as it is, the others as the difference to the one before. */
static tp_tick tick_in_group(const tp_probe *probe, uint32_t index, uint32_t first) {
    const tp_token *token = &probe->config->tokens[index];
    return index == first ? token->tick : (token->tick - token[-1].tick) & tp_tick_mask(probe);
}

/* How far a group goes that begins at `first`: to the token before which it would be too long. *text_bytes: its text. */
static uint32_t end_of_group(tp_probe *probe, uint32_t first, uint32_t stop, size_t *text_bytes) {
    size_t room = TP_MAX_BODY - AROUND_TOKENS, count;
    uint32_t index;
    *text_bytes = 0;
    for (index = first; index < stop && index - first < TP_MAX_GROUP; index++) {
        size_t numbers = tp_uint_size(probe->config->tokens[index].id) + tp_uint_size(tick_in_group(probe, index, first));
        text_of(probe, index, &count);
        /* One token's text may be longer than any body: then it is cut. */
        if (index == first && count > room - numbers) count = room - numbers;
        if (numbers + count > room) break;
        room -= numbers + count;
        *text_bytes += count;
    }
    return index;
}

static void say_group(tp_probe *probe, uint32_t first, uint32_t stop, size_t text_bytes) {
    size_t count;
    uint32_t index;
    tp_message(probe, 6, TP_TOKENS);
    tp_put_uint(probe, probe->run);
    tp_put_uint(probe, first);
    tp_put_array(probe, stop - first);
    for (index = first; index < stop; index++) tp_put_uint(probe, probe->config->tokens[index].id);
    tp_put_array(probe, stop - first);
    for (index = first; index < stop; index++) tp_put_uint(probe, tick_in_group(probe, index, first));
    tp_put_bin_header(probe, text_bytes);
    for (index = first; index < stop; index++) {
        const uint8_t *text = text_of(probe, index, &count);
        if (count > text_bytes) count = text_bytes;
        text_bytes -= count;
        while (count-- > 0) tp_put(probe, *text++);
    }
    tp_frame_end(probe);
}

void tp_say_tokens(tp_probe *probe, uint32_t first, uint32_t stop) {
    while (first < stop) {
        size_t text_bytes;
        uint32_t group = end_of_group(probe, first, stop, &text_bytes);
        say_group(probe, first, group, text_bytes);
        first = group;
    }
}

void tp_say_end(tp_probe *probe) {
    uint32_t index, crc = ~UINT32_C(0);
    for (index = 0; index < probe->made; index++) crc = tp_crc32(crc, probe->config->tokens[index].id);
    tp_message(probe, 11, TP_END);
    tp_put_uint(probe, probe->run);
    tp_put_uint(probe, probe->end_reason);
    tp_put_uint(probe, probe->outcome.prompt_tokens);
    tp_put_uint(probe, probe->made);
    tp_put_uint(probe, probe->t0);
    tp_put_uint(probe, probe->t_end);
    tp_put_size(probe, probe->outcome.ram_peak);
    tp_put_size(probe, probe->outcome.heap_peak);
    tp_put_size(probe, probe->outcome.stack_peak);
    tp_put_uint(probe, ~crc);
    tp_frame_end(probe);
}

void tp_say_fault(tp_probe *probe, uint32_t run, const char *code, const char *text) {
    tp_message(probe, 4, TP_FAULT);
    tp_put_uint(probe, run);
    tp_put_str(probe, code, CODE);
    tp_put_str(probe, text, SHORT);
    tp_frame_end(probe);
}

void tp_say_stats(tp_probe *probe, uint32_t nonce) {
    tp_tick now = tp_now(probe);
    tp_message(probe, 7, TP_STATS);
    tp_put_uint(probe, nonce);
    tp_put_uint(probe, now);
    tp_put_uint(probe, probe->state);
    tp_put_uint(probe, probe->run);
    tp_put_uint(probe, probe->made);
    tp_put_uint(probe, (uint32_t)(probe->dropped + probe->ring_lost));
    tp_frame_end(probe);
}

void tp_say_loop(tp_probe *probe, uint32_t nonce, uint32_t instructions, tp_tick before, tp_tick after) {
    tp_message(probe, 5, TP_LOOP);
    tp_put_uint(probe, nonce);
    tp_put_uint(probe, instructions);
    tp_put_uint(probe, before);
    tp_put_uint(probe, after);
    tp_frame_end(probe);
}

void tp_log(tp_probe *probe, uint8_t level, const char *text) {
    size_t count = 0;
    while (text[count] != 0 && count < SHORT) count++;
    tp_message(probe, 3, TP_LOG);
    tp_put_uint(probe, level);
    tp_put_bin(probe, (const uint8_t *)text, count);
    tp_frame_end(probe);
}
