/* The firmware: the engine behind the probe, on whatever board this was built for. */
#include <stdio.h>
#include <string.h>

#include "board.h"
#include "engine.h"
#include "model.h"
#include "tinyprobe.h"

#ifndef TOKEN_MAX
#define TOKEN_MAX MODEL_CTX
#endif
#ifndef PROMPT_MAX
#define PROMPT_MAX 1024
#endif
#ifndef BODY_MAX
#define BODY_MAX 256
#endif

extern const uint8_t model_file[], model_file_end[];

static uint8_t ring[BODY_MAX + 64], body[BODY_MAX], prompt[PROMPT_MAX];
static tp_token tokens[TOKEN_MAX];
static tp_probe probe;
static tp_facts facts;
static engine_status model_status;

static void write_bytes(void *user, const uint8_t *bytes, size_t count) { board_write(bytes, count); }

static tp_tick read_ticks(void *user) { return board_ticks(); }

static const uint8_t *token_text(void *user, uint32_t id, size_t *count) { return engine_text(id, count); }

static uint32_t known_loop(void *user, uint32_t instructions) { return board_loop(instructions); }

__attribute__((weak)) uint32_t board_flags(void) { return 0; }

/* Hands over no more than the ring has room for after a tp_poll; what is left stays with the board until then. */
static void take_arrived(void) {
    uint8_t arrived[sizeof ring / 2];
    size_t count = board_read(arrived, sizeof arrived);
    for (size_t i = 0; i < count; i++) tp_receive(&probe, arrived[i]);
}

#ifdef PROBE_APART
/* For benchmarks/probe_cost.py: tokens are only noted while they are made, and handed to the probe behind the last. */
static uint32_t noted[TOKEN_MAX], noted_count;

static int on_token(void *user, uint32_t id) {
    noted[noted_count++] = id;
    return 0;
}

static void after_tokens(void) {
    for (uint32_t i = 0; i < noted_count; i++) (void)tp_token_made(&probe, noted[i]);
    noted_count = 0;
}
#else
static int on_token(void *user, uint32_t id) {
    take_arrived();
    return tp_token_made((tp_probe *)user, id);
}

static void after_tokens(void) {}
#endif

#ifdef FAULT_TEST
static int is_prompt(const tp_run *run, const char *text) {
    return run->prompt_bytes == strlen(text) && memcmp(run->prompt, text, run->prompt_bytes) == 0;
}

static uint32_t use_up_stack(uint32_t depth) {
    volatile uint32_t room[64];
    room[depth % 64] = depth;
    return depth == UINT32_MAX ? room[0] : use_up_stack(depth + 1) + room[depth % 64];
}

/* For tests of what follows a fault: prompts that execute an instruction that no processor has, call without end, or hang. */
static void fault_if_told(const tp_run *run) {
    if (is_prompt(run, "!fault")) __builtin_trap();
    if (is_prompt(run, "!overflow")) (void)use_up_stack(0);
    while (is_prompt(run, "!hang")) continue;
}
#else
static void fault_if_told(const tp_run *run) {}
#endif

static uint64_t if_known(uint64_t mark) { return mark == TP_UNKNOWN ? 0 : mark; }

static void generate(void *user, tp_probe *link, const tp_run *run, tp_outcome *outcome) {
    engine_status status = model_status;
    fault_if_told(run);
    if (status == ENGINE_OK)
        status = engine_generate(run->prompt, run->prompt_bytes, run->max_tokens, on_token, link,
                                 &outcome->prompt_tokens, &outcome->ended_eos);
    after_tokens();
    if (status != ENGINE_OK) {
        outcome->fault_code = status == ENGINE_TOO_LONG ? "too_long" : "model";
        outcome->fault_text = engine_why();
    }
    outcome->stack_peak = board_stack_peak();
    outcome->heap_peak = board_heap_peak();
    outcome->ram_peak = board_static_bytes();
    if (outcome->ram_peak != TP_UNKNOWN) outcome->ram_peak += if_known(outcome->heap_peak) + if_known(outcome->stack_peak);
}

static void describe(void) {
    static const uint8_t sha256[32] = MODEL_SHA256;
    facts.firmware_name = "tinyprof";
    facts.firmware_version = FIRMWARE_VERSION;
    facts.build_id = board_build_id(&facts.build_id_bytes);
    facts.engine = engine_name;
    facts.engine_build = engine_build;
    facts.platform = board_platform;
    facts.identity = board_identity();
    facts.cpu_hz = board_cpu_hz();
    facts.ram_bytes = board_ram_bytes;
    facts.flash_bytes = board_flash_bytes;
    facts.flash_used_bytes = board_flash_used();
    facts.flags = board_flags();
    facts.tick_hz = board_tick_hz();
    facts.tick_bits = board_tick_bits();
    facts.model_name = MODEL_NAME;
    memcpy(facts.model_sha256, sha256, sizeof sha256);
    facts.quantisation = engine_quantisation;
    facts.kv_cache = engine_kv_cache;
    facts.activations = engine_activations;
    facts.ctx = engine_ctx;
}

/* Says what ended the life before this one, where a fault did. */
static void tell_fault(void) {
    const board_fault_report *fault = board_fault();
    char line[160];
    if (fault == NULL) return;
    snprintf(line, sizeof line, "reset by a fault: %s, pc 0x%08lx, lr 0x%08lx, cause 0x%08lx, address 0x%08lx",
             board_fault_cause(fault->cause), (unsigned long)fault->pc, (unsigned long)fault->lr,
             (unsigned long)fault->cause, (unsigned long)fault->address);
    tp_log(&probe, 3, line);
}

int main(void) {
    static tp_config config = {
        .facts = &facts, .write = write_bytes, .ticks = read_ticks, .generate = generate, .text = token_text,
        .loop = known_loop, .ring = ring, .ring_bytes = sizeof ring, .body = body, .body_bytes = sizeof body,
        .prompt = prompt, .prompt_bytes = sizeof prompt, .tokens = tokens, .token_count = TOKEN_MAX,
    };
    board_start();
    model_status = engine_open(model_file, (size_t)(model_file_end - model_file));
    describe();
    config.boot = board_boot_id();
    tp_init(&probe, &config);
    tell_fault();
    if (model_status != ENGINE_OK) tp_log(&probe, 3, engine_why());
    for (;;) {
        take_arrived();
        tp_poll(&probe);
        board_idle();
    }
}
