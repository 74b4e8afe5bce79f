/* One board around the probe, for tests that load it as a shared library: plain functions instead of structures. */
#include <string.h>

#include "tinyprobe.h"

typedef void (*write_function)(const uint8_t *bytes, size_t count);
typedef uint64_t (*ticks_function)(void);
typedef void (*generate_function)(const uint8_t *prompt, size_t count, uint32_t max_tokens);
typedef size_t (*text_function)(uint32_t id, uint8_t *room);
typedef uint32_t (*loop_function)(uint32_t instructions);

static struct {
    write_function write;
    ticks_function ticks;
    generate_function generate;
    text_function text;
    loop_function loop;
} given;

static tp_probe probe;
static tp_facts facts;
static tp_config config;
static tp_outcome *outcome_now;
static uint8_t ring[4096], body[TP_MAX_BODY], prompt[4096], text[2048];
static tp_token tokens[0xFFFF];

static void write_bytes(void *user, const uint8_t *bytes, size_t count) { given.write(bytes, count); }
static tp_tick read_ticks(void *user) { return (tp_tick)given.ticks(); }
static uint32_t known_loop(void *user, uint32_t instructions) { return given.loop(instructions); }

static const uint8_t *token_text(void *user, uint32_t id, size_t *count) {
    *count = given.text(id, text);
    return text;
}

static void generate(void *user, tp_probe *link, const tp_run *run, tp_outcome *outcome) {
    outcome_now = outcome;
    given.generate(run->prompt, run->prompt_bytes, run->max_tokens);
    outcome_now = NULL;
}

void shim_functions(write_function write, ticks_function ticks, generate_function generate_, text_function text_,
                    loop_function loop) {
    given.write = write;
    given.ticks = ticks;
    given.generate = generate_;
    given.text = text_;
    given.loop = loop;
}

tp_facts *shim_facts(void) { return &facts; }

/* The facts of the vectors' microcontroller. */
void shim_describe(const char *identity, const char *platform, const uint8_t *build_id, size_t build_id_bytes) {
    memset(&facts, 0, sizeof facts);
    facts.firmware_name = "demo";
    facts.firmware_version = "1.2.0";
    facts.build_id = build_id;
    facts.build_id_bytes = build_id_bytes;
    facts.engine = "tinyprof-c";
    facts.engine_build = "gcc 13.2 -O2";
    facts.platform = platform;
    facts.identity = identity;
    facts.model_name = "stories260k-q4_0";
    for (int at = 0; at < 32; at++) facts.model_sha256[at] = (uint8_t)at;
    facts.quantisation = "Q4_0";
    facts.kv_cache = "f32";
    facts.activations = "int8";
    facts.ctx = 256;
}

void shim_sizes(uint64_t cpu_hz, uint64_t ram, uint64_t flash, uint64_t used, uint32_t flags) {
    facts.cpu_hz = cpu_hz;
    facts.ram_bytes = ram;
    facts.flash_bytes = flash;
    facts.flash_used_bytes = used;
    facts.flags = flags;
}

int shim_start(uint32_t boot, uint64_t tick_hz, uint8_t tick_bits, size_t rx_max, size_t token_max, size_t ring_bytes) {
    memset(&config, 0, sizeof config);
    facts.tick_hz = tick_hz;
    facts.tick_bits = tick_bits;
    config.facts = &facts;
    config.write = write_bytes;
    config.ticks = read_ticks;
    config.generate = generate;
    config.text = given.text == NULL ? NULL : token_text;
    config.loop = given.loop == NULL ? NULL : known_loop;
    config.boot = boot;
    config.ring = ring;
    config.ring_bytes = ring_bytes;
    config.body = body;
    config.body_bytes = rx_max;
    config.prompt = prompt;
    config.prompt_bytes = sizeof prompt;
    config.tokens = tokens;
    config.token_count = token_max;
    return tp_init(&probe, &config);
}

void shim_receive(const uint8_t *bytes, size_t count) {
    for (size_t at = 0; at < count; at++) tp_receive(&probe, bytes[at]);
}

void shim_poll(void) { tp_poll(&probe); }
int shim_token(uint32_t id) { return tp_token_made(&probe, id); }
void shim_log(uint8_t level, const char *line) { tp_log(&probe, level, line); }

void shim_outcome(uint32_t prompt_tokens, int ended_eos, uint64_t ram, uint64_t heap, uint64_t stack, const char *code,
                  const char *line) {
    outcome_now->prompt_tokens = prompt_tokens;
    outcome_now->ended_eos = ended_eos;
    outcome_now->ram_peak = ram;
    outcome_now->heap_peak = heap;
    outcome_now->stack_peak = stack;
    outcome_now->fault_code = code;
    outcome_now->fault_text = line;
}
