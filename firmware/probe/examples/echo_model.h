/* The model of these examples: it says the prompt again, a byte a token, and ends. Put your own in its place: what it
 * takes from the probe and gives to it is what any model does. */
#ifndef ECHO_MODEL_H
#define ECHO_MODEL_H

#include "tinyprobe.h"

enum { ECHO_EOS = 256 };

/* For boards whose bytes do not come by an interrupt: looks for them between tokens, so that an abort is seen. */
static void (*echo_look)(void);

static void echo_generate(void *user, tp_probe *probe, const tp_run *run, tp_outcome *outcome) {
    size_t at = 0;
    (void)user;
    outcome->prompt_tokens = (uint32_t)run->prompt_bytes;
    while (!outcome->ended_eos) {
        uint32_t id = at < run->prompt_bytes ? run->prompt[at++] : (uint32_t)ECHO_EOS;
        outcome->ended_eos = id == ECHO_EOS;
        if (echo_look != NULL) echo_look();
        if (tp_token_made(probe, id)) return;
    }
}

static const uint8_t *echo_text(void *user, uint32_t id, size_t *count) {
    static uint8_t byte;
    (void)user;
    byte = (uint8_t)id;
    *count = id != ECHO_EOS;
    return &byte;
}

static uint8_t echo_ring[320], echo_body[256], echo_prompt[512];
static tp_token echo_tokens[256];
static tp_facts echo_facts;
static tp_config echo_config;

/* All that does not depend on the board. The caller adds `write` and `ticks`. */
static tp_config *echo_configure(const char *platform, uint32_t boot, uint64_t tick_hz, uint8_t tick_bits) {
    echo_facts.firmware_name = "echo";
    echo_facts.firmware_version = "1.0";
    echo_facts.engine = "echo";
    echo_facts.engine_build = "example";
    echo_facts.platform = platform;
    echo_facts.tick_hz = tick_hz;
    echo_facts.tick_bits = tick_bits;
    echo_facts.model_name = "echo"; /* model_sha256 stays zero: there is no file */
    echo_facts.quantisation = "none";
    echo_facts.kv_cache = "f32";
    echo_facts.activations = "float32";
    echo_facts.ctx = sizeof echo_prompt;
    echo_config.facts = &echo_facts;
    echo_config.generate = echo_generate;
    echo_config.text = echo_text;
    echo_config.boot = boot;
    echo_config.ring = echo_ring;
    echo_config.ring_bytes = sizeof echo_ring;
    echo_config.body = echo_body;
    echo_config.body_bytes = sizeof echo_body;
    echo_config.prompt = echo_prompt;
    echo_config.prompt_bytes = sizeof echo_prompt;
    echo_config.tokens = echo_tokens;
    echo_config.token_count = sizeof echo_tokens / sizeof echo_tokens[0];
    return &echo_config;
}

#endif
