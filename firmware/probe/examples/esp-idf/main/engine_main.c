/* The reference engine behind the probe, on any ESP32 whose flash holds the model and whose RAM its cache. */
#include <string.h>

#include "engine.h"
#include "esp_random.h"
#include "model.h"
#include "sdkconfig.h"
#include "serial_line.h"

extern const uint8_t model_file[], model_file_end[];

static uint8_t ring[384], body[256], prompt[1024];
static tp_token tokens[MODEL_CTX];
static tp_probe probe;
static engine_status opened;

static void take_arrived(unsigned wait_ms) {
    uint8_t arrived[64];
    size_t count = serial_read(arrived, sizeof arrived, wait_ms);
    for (size_t at = 0; at < count; at++) tp_receive(&probe, arrived[at]);
}

static int on_token(void *user, uint32_t id) {
    int stop = tp_token_made((tp_probe *)user, id);
    take_arrived(0);
    return stop;
}

static void generate(void *user, tp_probe *link, const tp_run *run, tp_outcome *outcome) {
    engine_status status = opened;
    (void)user;
    if (status == ENGINE_OK)
        status = engine_generate(run->prompt, run->prompt_bytes, run->max_tokens, on_token, link,
                                 &outcome->prompt_tokens, &outcome->ended_eos);
    if (status == ENGINE_OK) return;
    outcome->fault_code = status == ENGINE_TOO_LONG ? "too_long" : "model";
    outcome->fault_text = engine_why();
}

static const uint8_t *text(void *user, uint32_t id, size_t *count) {
    (void)user;
    return engine_text(id, count);
}

void app_main(void) {
    static const uint8_t sha256[32] = MODEL_SHA256;
    static tp_facts facts = {.firmware_name = "tinyprof-idf", .firmware_version = FIRMWARE_VERSION,
                             .platform = CONFIG_IDF_TARGET, .tick_hz = 1000000, .tick_bits = 32,
                             .model_name = MODEL_NAME};
    static tp_config config = {
        .facts = &facts, .write = serial_write, .ticks = serial_ticks, .generate = generate, .text = text,
        .ring = ring, .ring_bytes = sizeof ring, .body = body, .body_bytes = sizeof body,
        .prompt = prompt, .prompt_bytes = sizeof prompt, .tokens = tokens, .token_count = MODEL_CTX};
    serial_start();
    opened = engine_open(model_file, (size_t)(model_file_end - model_file));
    memcpy(facts.model_sha256, sha256, sizeof sha256);
    facts.engine = engine_name;
    facts.engine_build = engine_build;
    facts.quantisation = engine_quantisation;
    facts.kv_cache = engine_kv_cache;
    facts.activations = engine_activations;
    facts.ctx = engine_ctx;
    config.boot = esp_random();
    tp_init(&probe, &config);
    if (opened != ENGINE_OK) tp_log(&probe, 3, engine_why());
    for (;;) {
        take_arrived(10);
        tp_poll(&probe);
    }
}
