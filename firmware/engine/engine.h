/* The reference engine: a Llama model straight from a GGUF file in flash, greedy, in memory sized when it is built.
 *
 * The model's shape comes from model.h, which firmware/tools/model_header.py makes from the GGUF file; what engine_open
 * finds in the file must agree with it. One model, one sequence, one thread; nothing is allocated. Prompt tokens go through
 * one by one. The arithmetic is that of the numpy reference (models/tinyprof_models/engine.py): with int8 activations the
 * vector that meets a quantized matrix is rounded to Q8_0 first.
 */
#ifndef ENGINE_H
#define ENGINE_H

#include <stddef.h>
#include <stdint.h>

typedef enum {
    ENGINE_OK = 0,
    ENGINE_BAD_MODEL, /* not the file that this was built for; engine_why() has the line */
    ENGINE_TOO_LONG,  /* the prompt leaves no room in the context */
} engine_status;

/* Told each token's id the moment that it is chosen; nonzero stops. */
typedef int (*engine_on_token)(void *user, uint32_t id);

/* Checks the file (its header against model.h, its CRC-32 against the build's) and finds its tensors. */
engine_status engine_open(const uint8_t *gguf, size_t bytes);

/* One line that says what was wrong in the last call that failed. */
const char *engine_why(void);

/* Tokenises, empties the KV cache, and generates greedily until end-of-sequence, max_tokens, a full context, or on_token
 * says stop. *prompt_tokens counts begin-of-sequence; *ended_eos is 1 if the last token is end-of-sequence. */
engine_status engine_generate(const uint8_t *prompt, size_t prompt_bytes, uint32_t max_tokens, engine_on_token on_token,
                              void *user, uint32_t *prompt_tokens, int *ended_eos);

/* A token's text, byte for byte; none for control tokens. Valid until the next call. */
const uint8_t *engine_text(uint32_t id, size_t *count);

/* As it was built: for `hello`. */
extern const char engine_name[];        /* "tinyprof-c" */
extern const char engine_build[];       /* version, compiler, flags that matter, kernels: at most 200 bytes */
extern const char engine_quantisation[]; /* Q4_0, Q8_0, F32 */
extern const char engine_kv_cache[];    /* f32, f16, q8_0 */
extern const char engine_activations[]; /* float32, int8 */
extern const uint32_t engine_ctx;

/* Lower-level steps, for tests and benchmarks: the prompt's tokens (-1: too many), one forward pass, its logits. */
int32_t engine_encode(const uint8_t *text, size_t bytes, uint16_t *tokens, size_t room);
const float *engine_forward(uint32_t token, uint32_t position);

#endif
