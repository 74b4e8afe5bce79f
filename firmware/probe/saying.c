/* What the board says: each message of the link as one frame. */
#include <string.h>

#include "tp_internal.h"

enum { NAME = 64, CODE = 16, SHORT = 200 };

/* A group's body around its tokens at most: two bytes of array and number, 5 run, 3 first, and three headers of 3. */
enum { AROUND_TOKENS = 2 + 5 + 3 + 3 * 3 };
/* A token's id and tick take so many bytes at most. */
enum { NUMBERS = 5 + 1 + sizeof(tp_tick) };

tp_tick tp_now(tp_probe *probe) { return probe->config->ticks(probe->config->user) & probe->tick_mask; }

void tp_say(tp_probe *probe, uint32_t shape, const tp_tick *values, uint32_t count) {
    tp_frame_begin(probe);
    tp_put(probe, 0x90 | shape >> 8);
    tp_put(probe, shape);
    for (uint32_t index = 0; index < count; index++) tp_put_uint(probe, values[index]);
    if (count + 1 == shape >> 8) tp_frame_end(probe);
}

/* What `Hello` says after its first three fields: what kind each is, and where it stands in tp_facts. */
enum { TEXT, SHORT_TEXT, TEXT_OR_NIL, NUMBER64, NUMBER32, NUMBER8, SHA256, BUILD, RX_AND_TOKENS, ARRAY };
#define FACT(kind, field) (kind), (uint8_t)(offsetof(tp_facts, field) / 4)
static const uint8_t facts_in_hello[] = {
    ARRAY, 5, FACT(TEXT, firmware_name), FACT(TEXT, firmware_version), FACT(BUILD, build_id), FACT(TEXT, engine),
    FACT(SHORT_TEXT, engine_build),
    ARRAY, 7, FACT(TEXT, platform), FACT(TEXT_OR_NIL, identity), FACT(NUMBER64, cpu_hz), FACT(NUMBER64, ram_bytes),
    FACT(NUMBER64, flash_bytes), FACT(NUMBER64, flash_used_bytes), FACT(NUMBER32, flags),
    ARRAY, 4, FACT(NUMBER64, tick_hz), FACT(NUMBER8, tick_bits), RX_AND_TOKENS, 0,
    ARRAY, 6, FACT(TEXT, model_name), FACT(SHA256, model_sha256), FACT(TEXT, quantisation), FACT(TEXT, kv_cache),
    FACT(NUMBER32, ctx), FACT(TEXT, activations),
};

static void put_fact(tp_probe *probe, uint32_t kind, uint32_t place) {
    const tp_config *config = probe->config;
    const tp_facts *facts = config->facts;
    const void *field = (const uint8_t *)facts + 4 * place;
    const char *text = *(const char *const *)field;
    switch (kind) {
    case ARRAY: tp_put_array(probe, place); break;
    case NUMBER64: tp_put_uint(probe, *(const uint64_t *)field); break;
    case NUMBER32: tp_put_uint(probe, *(const uint32_t *)field); break;
    case NUMBER8: tp_put_uint(probe, *(const uint8_t *)field); break;
    case SHA256: tp_put_bin(probe, field, sizeof facts->model_sha256); break;
    case BUILD: tp_put_bin(probe, facts->build_id, (uint32_t)facts->build_id_bytes); break;
    case RX_AND_TOKENS:
        tp_put_uint(probe, config->body_bytes);
        tp_put_uint(probe, config->token_count);
        break;
    default:
        if (kind == TEXT_OR_NIL && text == NULL)
            tp_put(probe, TP_NIL);
        else
            tp_put_str(probe, text, kind == SHORT_TEXT ? SHORT : NAME);
    }
}

void tp_say_hello(tp_probe *probe, uint32_t nonce) {
    tp_tick values[3];
    values[0] = nonce;
    values[1] = TP_PROTOCOL;
    values[2] = probe->config->boot;
    tp_say(probe, TP_SHAPE(8, TP_HELLO), values, 3);
    for (uint32_t at = 0; at < sizeof facts_in_hello; at += 2)
        put_fact(probe, facts_in_hello[at], facts_in_hello[at + 1]);
    tp_frame_end(probe);
}

void tp_say_start(tp_probe *probe) {
    tp_tick values[3];
    values[0] = probe->end[TP_RUN_ID];
    values[1] = probe->pieces_got;
    values[2] = tp_now(probe);
    tp_say(probe, TP_SHAPE(4, TP_START), values, 3);
}

/* A token's text, no more of it than there is room for; none where the user gives none. */
static const uint8_t *text_of(tp_probe *probe, uint32_t index, size_t room, size_t *count) {
    const tp_config *config = probe->config;
    const uint8_t *text = NULL;
    *count = 0;
    if (config->text != NULL) text = config->text(config->user, config->tokens[index].id, count);
    if (*count > room) *count = room;
    return text;
}

/* How far a group goes that begins at `first`: to the token before which it might be too long. *text_bytes: its text.
 * The text of a group's first token is cut where it alone is longer than any body. */
static uint32_t end_of_group(tp_probe *probe, uint32_t first, uint32_t stop, size_t *text_bytes) {
    size_t room = TP_MAX_BODY - AROUND_TOKENS, count;
    uint32_t index;
    *text_bytes = 0;
    if (stop - first > TP_MAX_GROUP) stop = first + TP_MAX_GROUP;
    for (index = first; index < stop; index++) {
        text_of(probe, index, index == first ? room - NUMBERS : room, &count);
        count += NUMBERS;
        if (count > room) break;
        room -= count;
        *text_bytes += count - NUMBERS;
    }
    return index;
}

static void say_group(tp_probe *probe, uint32_t first, uint32_t stop, size_t text_bytes) {
    const tp_token *tokens = probe->config->tokens;
    tp_tick values[2], before = 0;
    uint32_t index;
    values[0] = probe->end[TP_RUN_ID];
    values[1] = first;
    tp_say(probe, TP_SHAPE(6, TP_TOKENS), values, 2);
    tp_put_array(probe, stop - first);
    for (index = first; index < stop; index++) tp_put_uint(probe, tokens[index].id);
    tp_put_array(probe, stop - first);
    /* The first tick as it is, the others as the difference to the one before. */
    for (index = first; index < stop; index++) {
        tp_put_uint(probe, (tokens[index].tick - before) & probe->tick_mask);
        before = tokens[index].tick;
    }
    tp_put_bin_header(probe, (uint32_t)text_bytes);
    for (index = first; index < stop; index++) {
        size_t count;
        const uint8_t *text = text_of(probe, index, text_bytes, &count);
        text_bytes -= count;
        tp_put_content(probe, text, (uint32_t)count);
    }
    tp_frame_end(probe);
}

void tp_say_tokens(tp_probe *probe, uint32_t first, uint32_t stop) {
    while (first < stop) {
        size_t text_bytes;
        uint32_t end = end_of_group(probe, first, stop, &text_bytes);
        say_group(probe, first, end, text_bytes);
        first = end;
    }
}

void tp_say_end(tp_probe *probe) {
    uint32_t left = 3, crc = ~UINT32_C(0);
    const tp_token *token = probe->config->tokens;
    const uint64_t *peak = &probe->outcome.ram_peak; /* and those of the heap and the stack behind it */
    tp_say(probe, TP_SHAPE(11, TP_END), probe->end, 6);
    for (; left > 0; left--, peak++) {
        if (*peak == TP_UNKNOWN)
            tp_put(probe, TP_NIL);
        else
            tp_put_uint(probe, *peak);
    }
    for (left = (uint32_t)probe->end[TP_MADE]; left > 0; left--) crc = tp_crc32(crc, (token++)->id);
    tp_put_uint(probe, ~crc);
    tp_frame_end(probe);
}

void tp_say_fault(tp_probe *probe, uint32_t run, const char *code, const char *text) {
    tp_tick value = run;
    tp_say(probe, TP_SHAPE(4, TP_FAULT), &value, 1);
    tp_put_str(probe, code, CODE);
    tp_put_str(probe, text, SHORT);
    tp_frame_end(probe);
}

void tp_say_stats(tp_probe *probe, uint32_t nonce) {
    tp_tick values[6];
    values[0] = nonce;
    values[1] = tp_now(probe);
    values[2] = probe->state;
    values[3] = probe->end[TP_RUN_ID];
    values[4] = probe->end[TP_MADE];
    values[5] = (uint32_t)(probe->dropped + probe->ring_lost);
    tp_say(probe, TP_SHAPE(7, TP_STATS), values, 6);
}

void tp_log(tp_probe *probe, uint8_t level, const char *text) {
    size_t count = strlen(text);
    tp_tick value = level;
    tp_say(probe, TP_SHAPE(3, TP_LOG), &value, 1);
    tp_put_bin(probe, text, count > SHORT ? SHORT : (uint32_t)count);
    tp_frame_end(probe);
}
