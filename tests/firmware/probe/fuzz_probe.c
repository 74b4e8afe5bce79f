/* Any bytes into the probe, runs with a toy model included. The input's first bytes are the board's configuration; the
 * rest is a script: a byte says how many of the next bytes arrive before the next poll, or the next token. What it
 * writes must be frames that our own decoder takes, whole to the last byte. Built with FUZZ_REPLAY, it reads the packed
 * corpus that its argument names: for each input its length as two bytes, the less significant first, and its bytes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tp_internal.h"

enum { CHUNK = 64 };

static const uint8_t *script;
static size_t script_left;
static uint32_t now, step, text_bytes, vocabulary, eos_after;
static uint8_t frame[2 * TP_MAX_BODY];
static size_t frame_bytes, nothing;

static void must(int holds, const char *what) {
    if (holds) return;
    fprintf(stderr, "does not hold: %s\n", what);
    abort();
}

/* A frame that was written, delimiters and all: undone by the other half of the library, byte for byte. */
static void check_frame(void) {
    static uint8_t body[TP_MAX_BODY];
    static tp_probe reader;
    static tp_config config;
    size_t length = 0;
    config.body = body;
    config.body_bytes = sizeof body;
    reader.config = &config;
    reader.dropped = 0;
    tp_frame_forget(&reader);
    for (size_t at = 0; at < frame_bytes; at++) {
        size_t got = tp_frame_take(&reader, frame[at]);
        if (got > 0) length = got;
    }
    must(length > 0 && reader.dropped == 0, "what is written is one frame");
    must(body[1] >= TP_HELLO && body[1] <= TP_LOOP, "it is a message of the board");
}

static void write_bytes(void *user, const uint8_t *bytes, size_t count) {
    (void)user;
    must(frame_bytes + count <= sizeof frame, "a frame is no longer than a body and what COBS adds");
    memcpy(frame + frame_bytes, bytes, count);
    frame_bytes += count;
    if (frame_bytes > 1 && frame[frame_bytes - 1] == 0) {
        check_frame();
        frame_bytes = 0;
    }
}

static tp_tick ticks(void *user) {
    (void)user;
    return (tp_tick)(now += step);
}

static const uint8_t *text_of(void *user, uint32_t id, size_t *count) {
    static const uint8_t text[4096] = {0};
    (void)user;
    *count = (size_t)id * text_bytes % sizeof text;
    return text;
}

static uint32_t loop(void *user, uint32_t instructions) {
    (void)user;
    return instructions / 3;
}

static void arrive(tp_probe *probe) {
    size_t count;
    if (script_left == 0) return;
    count = *script++ % CHUNK;
    script_left--;
    if (count > script_left) count = script_left;
    script_left -= count;
    while (count-- > 0) tp_receive(probe, *script++);
}

static void generate(void *user, tp_probe *probe, const tp_run *run, tp_outcome *outcome) {
    uint32_t made = 0;
    (void)user;
    for (size_t at = 0; at < run->prompt_bytes; at++) nothing += run->prompt[at];
    must(run->max_tokens >= 1, "a run makes a token");
    while (made < run->max_tokens) {
        arrive(probe);
        if (tp_token_made(probe, made++ * vocabulary)) break;
        if (made == eos_after) break;
    }
    outcome->prompt_tokens = (uint32_t)run->prompt_bytes;
    outcome->ended_eos = made == eos_after;
    outcome->stack_peak = made;
    if (vocabulary == 13) outcome->fault_code = "model";
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const uint8_t build_id[32] = {1, 0, 2};
    static tp_probe probe;
    tp_facts facts;
    tp_config config;
    uint8_t *memory[4];
    if (size < 8) return 0;
    memset(&facts, 0, sizeof facts);
    memset(&config, 0, sizeof config);
    facts.build_id = build_id;
    facts.build_id_bytes = sizeof build_id;
    facts.firmware_name = "fuzz";
    facts.tick_hz = 1000000;
    facts.tick_bits = (uint8_t)(8 + data[0] % 25);
    step = data[1];
    text_bytes = data[2];
    vocabulary = (uint32_t)data[3] * data[3] * data[3] * 259 + data[3];
    eos_after = data[4];
    config.facts = &facts;
    config.write = write_bytes;
    config.ticks = ticks;
    config.generate = generate;
    config.text = data[5] & 1 ? text_of : NULL;
    config.loop = data[5] & 2 ? loop : NULL;
    config.ring_bytes = 128;
    config.body_bytes = 64 + data[6];
    config.prompt_bytes = 1 + data[7];
    config.token_count = 1 + data[5];
    now = frame_bytes = 0;
    script = data + 8;
    script_left = size - 8;
    /* Each on the heap, so that a sanitizer sees a step beyond any of them. */
    memory[0] = config.ring = malloc(config.ring_bytes);
    memory[1] = config.body = malloc(config.body_bytes);
    memory[2] = config.prompt = malloc(config.prompt_bytes);
    config.tokens = malloc(config.token_count * sizeof(tp_token));
    memory[3] = (uint8_t *)config.tokens;
    must(tp_init(&probe, &config) == 0, "the configuration is within its bounds");
    while (script_left > 0) {
        arrive(&probe);
        tp_poll(&probe);
        must(!probe.generating && probe.state <= TP_RECEIVING, "no run is under way behind a poll");
    }
    tp_poll(&probe);
    must(frame_bytes == 0, "no frame is left open");
    for (int at = 0; at < 4; at++) free(memory[at]);
    return 0;
}

#ifdef FUZZ_REPLAY
int main(int count, char **names) {
    static uint8_t input[0x10000];
    uint8_t length[2];
    unsigned inputs = 0;
    FILE *corpus = count == 2 ? fopen(names[1], "rb") : NULL;
    if (corpus == NULL) return 2;
    while (fread(length, 1, sizeof length, corpus) == sizeof length) {
        size_t bytes = (size_t)length[0] | (size_t)length[1] << 8;
        if (fread(input, 1, bytes, corpus) != bytes) return 2;
        LLVMFuzzerTestOneInput(input, bytes);
        inputs++;
    }
    fclose(corpus);
    printf("%u inputs\n", inputs);
    return 0;
}
#endif
