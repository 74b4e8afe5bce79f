/* Attention in floats, in one pass: a head's sums are kept relative to its largest score so far, so no scores are kept and
 * each row of the cache is read and converted once for all heads. */
#include "attention.h"

#include "dot.h"
#include "exponential.h"

#if !ATTENTION_FIXED

#define HEADS_A_KEY (MODEL_HEADS / MODEL_KV_HEADS)
#define KEY_OF(head) ((head) / HEADS_A_KEY * MODEL_HEAD_WIDTH)

typedef struct {
    float largest, sum;
} softmax;

/* The weight of a score, after what was mixed before has been brought to the new largest score. */
static inline float weight_of(softmax *state, float score, float *mixed) {
    if (score <= state->largest) {
        float weight = exponential(score - state->largest);
        state->sum += weight;
        return weight;
    }
    float shrinks = exponential(state->largest - score);
    for (int i = 0; i < MODEL_HEAD_WIDTH; i++) mixed[i] *= shrinks;
    state->sum = state->sum * shrinks + 1;
    state->largest = score;
    return 1;
}

void attend(float mixed[MODEL_WIDTH], float queries[MODEL_WIDTH], const cache_position *positions, int last) {
    softmax state[MODEL_HEADS];
    float weights[MODEL_HEADS], room[MODEL_KV_WIDTH];
    for (int h = 0; h < MODEL_HEADS; h++) state[h] = (softmax){-3e38f, 0};
    memset(mixed, 0, MODEL_WIDTH * sizeof *mixed);
    for (int t = 0; t <= last; t++) {
        const float *keys = cache_load(positions[t].rows[CACHE_K], room);
        for (int h = 0; h < MODEL_HEADS; h++) {
            float score = float_dot(queries + h * MODEL_HEAD_WIDTH, keys + KEY_OF(h), MODEL_HEAD_WIDTH);
            weights[h] = weight_of(&state[h], score, mixed + h * MODEL_HEAD_WIDTH);
        }
        const float *values = cache_load(positions[t].rows[CACHE_V], room);
        for (int h = 0; h < MODEL_HEADS; h++)
            for (int i = 0; i < MODEL_HEAD_WIDTH; i++)
                mixed[h * MODEL_HEAD_WIDTH + i] += weights[h] * values[KEY_OF(h) + i];
    }
    for (int h = 0; h < MODEL_HEADS; h++) {
        float share = 1 / state[h].sum;
        for (int i = 0; i < MODEL_HEAD_WIDTH; i++) mixed[h * MODEL_HEAD_WIDTH + i] *= share;
    }
}

#endif
