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
    uint32_t elements = shape & 15, left = count;
    tp_frame_begin(probe);
    tp_put(0x90 | elements);
    tp_put(16 + (shape >> 4));
    for (; left > 0; left--) tp_put_uint(*values++);
    if (count + 1 == elements) tp_frame_end();
}

/* What `Hello` says after its first three fields: what kind each is, and where it stands in tp_facts, in words of four
 * bytes. A text's kind is how long it may be. */
typedef char facts_stand_in_words[offsetof(tp_facts, ctx) % 4 == 0 && offsetof(tp_facts, ctx) < 1024 ? 1 : -1];
enum { ARRAY, WIDE, WORD, SHA256, BUILD, LIMITS };
#define FACT(kind, field) (kind), (uint8_t)(offsetof(tp_facts, field) / 4)
static const uint8_t facts_in_hello[] = {
    ARRAY, 5, FACT(NAME, firmware_name), FACT(NAME, firmware_version), BUILD, 0, FACT(NAME, engine),
    FACT(SHORT, engine_build),
    ARRAY, 7, FACT(NAME, platform), FACT(NAME, identity), FACT(WIDE, cpu_hz), FACT(WIDE, ram_bytes),
    FACT(WIDE, flash_bytes), FACT(WIDE, flash_used_bytes), FACT(WORD, flags),
    LIMITS, 4,
    ARRAY, 6, FACT(NAME, model_name), FACT(SHA256, model_sha256), FACT(NAME, quantisation), FACT(NAME, kv_cache),
    FACT(WORD, ctx), FACT(NAME, activations),
};

static void put_fact(const tp_probe *probe, uint32_t kind, uint32_t place) {
    const tp_config *config = probe->config;
    const tp_facts *facts = config->facts;
    const void *field = (const uint8_t *)facts + 4 * place;
    switch (kind) {
    case WIDE: tp_put_uint(*(const uint64_t *)field); break;
    case WORD: tp_put_uint(*(const uint32_t *)field); break;
    case SHA256: tp_put_bin(field, sizeof facts->model_sha256); break;
    case BUILD: tp_put_bin(facts->build_id, (uint32_t)facts->build_id_bytes); break;
    case ARRAY: tp_put_array(place); break;
    case LIMITS:
        tp_put_array(place);
        tp_put_uint(facts->tick_hz);
        tp_put_uint(facts->tick_bits);
        tp_put_uint((uint32_t)config->body_bytes);
        tp_put_uint((uint32_t)config->token_count);
        break;
    default: tp_put_str(*(const char *const *)field, kind); break;
    }
}

void tp_say_hello(tp_probe *probe, uint32_t nonce) {
    tp_tick values[3];
    values[0] = nonce;
    values[1] = TP_PROTOCOL;
    values[2] = probe->config->boot;
    tp_say(probe, TP_SHAPE(8, TP_HELLO), values, 3);
    for (const uint8_t *at = facts_in_hello; at < facts_in_hello + sizeof facts_in_hello; at += 2)
        put_fact(probe, at[0], at[1]);
    tp_frame_end();
}

/* A token's text; none where the user gives none. */
static const uint8_t *text_of(tp_probe *probe, uint32_t index, uint32_t *count) {
    const tp_config *config = probe->config;
    const uint8_t *text = NULL;
    size_t bytes = 0;
    if (config->text != NULL) text = config->text(config->user, config->tokens[index].id, &bytes);
    *count = bytes > TP_MAX_TEXT ? TP_MAX_TEXT : (uint32_t)bytes;
    return text;
}

/* How far a group goes that begins at `first`: to before what might make it too long. *text_bytes: its text. */
static uint32_t end_of_group(tp_probe *probe, uint32_t first, uint32_t stop, uint32_t *text_bytes) {
    uint32_t room = TP_MAX_BODY - AROUND_TOKENS, index, count;
    *text_bytes = 0;
    if (stop - first > TP_MAX_GROUP) stop = first + TP_MAX_GROUP;
    for (index = first; index < stop; index++) {
        text_of(probe, index, &count);
        if (NUMBERS + count > room) break;
        room -= NUMBERS + count;
        *text_bytes += count;
    }
    return index;
}

static void say_group(tp_probe *probe, uint32_t first, uint32_t stop, uint32_t text_bytes) {
    const tp_token *tokens = probe->config->tokens;
    tp_tick values[2], before = 0;
    uint32_t index;
    int says_ticks;
    values[0] = probe->end[TP_RUN_ID];
    values[1] = first;
    tp_say(probe, TP_SHAPE(6, TP_TOKENS), values, 2);
    for (says_ticks = 0; says_ticks < 2; says_ticks++) {
        tp_put_array(stop - first);
        for (index = first; index < stop; index++) {
            /* The first tick as it is, the others as the difference to the one before. */
            tp_tick tick = (tokens[index].tick - before) & probe->tick_mask;
            if (says_ticks) before = tokens[index].tick;
            tp_put_uint(says_ticks ? tick : tokens[index].id);
        }
    }
    tp_put_bin_header(text_bytes);
    for (index = first; index < stop; index++) {
        uint32_t count;
        const uint8_t *text = text_of(probe, index, &count);
        tp_put_content(text, count);
    }
    tp_frame_end();
}

void tp_say_tokens(tp_probe *probe, uint32_t first, uint32_t stop) {
    while (first < stop) {
        uint32_t text_bytes;
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
            tp_put(TP_NIL);
        else
            tp_put_uint(*peak);
    }
    for (left = (uint32_t)probe->end[TP_MADE]; left > 0; left--) crc = tp_crc32(crc, (token++)->id);
    tp_put_uint(~crc);
    tp_frame_end();
}

void tp_say_fault(tp_probe *probe, uint32_t run, const char *code, const char *text) {
    tp_tick value = run;
    tp_say(probe, TP_SHAPE(4, TP_FAULT), &value, 1);
    tp_put_str(code, CODE);
    tp_put_str(text == NULL ? "" : text, SHORT);
    tp_frame_end();
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
    tp_put_bin(text, count > SHORT ? SHORT : (uint32_t)count);
    tp_frame_end();
}
