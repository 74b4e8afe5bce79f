/* What engine.h promises, put together from its parts. */
#include "engine.h"

#include "dot.h"
#include "forward.h"
#include "model_file.h"
#include "tokenizer.h"
#include "why.h"

#define TEXT_OF(value) #value
#define TEXT(value) TEXT_OF(value)

#ifdef BUILD_OPTIMISE
#define OPTIMISED BUILD_OPTIMISE
#elif defined(__OPTIMIZE_SIZE__)
#define OPTIMISED "-Os"
#elif defined(__OPTIMIZE__)
#define OPTIMISED "-O"
#else
#define OPTIMISED "-O0"
#endif

#if MODEL_INT8
#define KERNELS DOT_NAME
#else
#define KERNELS "float"
#endif

#ifdef __clang__
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif

const char engine_name[] = "tinyprof-c";
const char engine_build[] = FIRMWARE_VERSION ", " COMPILER " " OPTIMISED ", " KERNELS " kernels";
const char engine_quantisation[] = MODEL_QUANTISATION;
const char engine_kv_cache[] = MODEL_KV_NAME;
const char engine_activations[] = MODEL_ACTIVATIONS;
const uint32_t engine_ctx = MODEL_CTX;

static uint16_t tokens[MODEL_CTX];
static const char *said = "";
static int is_open;

engine_status engine_open(const uint8_t *gguf, size_t bytes) {
    const char *wrong = model_find(gguf, bytes);
    is_open = wrong == NULL;
    said = wrong ? wrong : "";
    return wrong ? ENGINE_BAD_MODEL : ENGINE_OK;
}

const char *engine_why(void) { return said; }

static uint32_t likeliest(const float *logits) {
    uint32_t best = 0;
    for (uint32_t i = 1; i < MODEL_VOCAB; i++)
        if (logits[i] > logits[best]) best = i;
    return best;
}

static engine_status too_long(void) {
    said = why("the prompt leaves no room in the context of " TEXT(MODEL_CTX) " tokens");
    return ENGINE_TOO_LONG;
}

engine_status engine_generate(const uint8_t *prompt, size_t prompt_bytes, uint32_t max_tokens, engine_on_token on_token,
                              void *user, uint32_t *prompt_tokens, int *ended_eos) {
    *prompt_tokens = 0;
    *ended_eos = 0;
    if (!is_open) return ENGINE_BAD_MODEL;
    int32_t count = engine_encode(prompt, prompt_bytes, tokens, MODEL_CTX);
    if (count < 0 || count >= MODEL_CTX) return too_long();
    *prompt_tokens = (uint32_t)count;
    uint32_t position = 0, left = MODEL_CTX - (uint32_t)count;
    if (left > max_tokens) left = max_tokens;
    while (position < (uint32_t)count) {
        forward_layers(tokens[position], position);
        position++;
    }
    while (left--) {
        uint32_t token = likeliest(forward_logits());
        *ended_eos = token == MODEL_EOS;
        if (on_token(user, token) || *ended_eos) break;
        if (left) forward_layers(token, position++);
    }
    return ENGINE_OK;
}

const uint8_t *engine_text(uint32_t id, size_t *count) { return tokenizer_text(id, count); }

int32_t engine_encode(const uint8_t *text, size_t bytes, uint16_t *out, size_t room) {
    return is_open ? tokenizer_encode(forward_scratch(), text, bytes, out, room) : -1;
}

const float *engine_forward(uint32_t token, uint32_t position) {
    forward_layers(token, position);
    return forward_logits();
}
