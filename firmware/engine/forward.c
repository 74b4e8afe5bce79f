/* One token through the layers, and its logits. */
#include "forward.h"

#include <math.h>

#include "attention.h"
#include "dot.h"
#include "exponential.h"
#include "float_rows.h"
#include "model_file.h"
#include "tables.h"

/* The cache's memory holds the prompt's text while it is cut into tokens: the cache is empty then. */
static union {
    cache_position cache[MODEL_LAYERS][MODEL_CTX];
    tokenizer_scratch text;
    float aligned;
} memory;

_Static_assert(sizeof memory.cache == MODEL_KV_BYTES, "the cache is as large as model.h says");

static struct {
    float x[MODEL_WIDTH], normed[MODEL_WIDTH];
    union {
        struct {
            float queries[MODEL_WIDTH], row[MODEL_KV_WIDTH];
        } attention;
        struct {
            float gate[MODEL_HIDDEN], up[MODEL_HIDDEN];
        } feed_forward;
        float logits[MODEL_VOCAB];
    } of;
#if MODEL_INT8
    rounded_vector rounded;
#endif
} work;

tokenizer_scratch *forward_scratch(void) { return &memory.text; }

/* The vector that the next products are with, in the form that they need. */
static const float *meets(const float *x, int columns) {
#if MODEL_INT8
    dot_round(&work.rounded, x, columns / BLOCK);
#endif
    return x;
}

static void multiply(float *out, const matrix *weights, int rows, int columns, const float *x) {
#if MODEL_HAS_F32
    if (weights->type == TENSOR_F32) float_f32(out, weights->rows, rows, columns, x);
#endif
#if MODEL_HAS_Q8_0 && MODEL_INT8
    if (weights->type == TENSOR_Q8_0) dot_q8_0(out, weights->rows, rows, columns / BLOCK, &work.rounded);
#elif MODEL_HAS_Q8_0
    if (weights->type == TENSOR_Q8_0) float_q8_0(out, weights->rows, rows, columns, x);
#endif
#if MODEL_HAS_Q4_0 && MODEL_INT8
    if (weights->type == TENSOR_Q4_0) dot_q4_0(out, weights->rows, rows, columns / BLOCK, &work.rounded);
#elif MODEL_HAS_Q4_0
    if (weights->type == TENSOR_Q4_0) float_q4_0(out, weights->rows, rows, columns, x);
#endif
}

static void norm(float *out, const float *x, const float *weights) {
    float scale = 1 / sqrtf(float_dot(x, x, MODEL_WIDTH) / MODEL_WIDTH + MODEL_EPSILON);
    for (int i = 0; i < MODEL_WIDTH; i++) out[i] = x[i] * scale * weights[i];
}

static void add(float *x, const float *more) {
    for (int i = 0; i < MODEL_WIDTH; i++) x[i] += more[i];
}

/* Turns neighbouring pairs by the position's angles. */
static void rotate(float *x, int count, uint32_t position) {
    const float *turns = rotation + position * MODEL_HEAD_WIDTH;
    for (const float *end = x + count; x < end; x += MODEL_HEAD_WIDTH)
        for (int i = 0; i < MODEL_HEAD_WIDTH; i += 2) {
            float real = x[i], imaginary = x[i + 1];
            x[i] = real * turns[i] - imaginary * turns[i + 1];
            x[i + 1] = real * turns[i + 1] + imaginary * turns[i];
        }
}

static void attention(const layer_weights *layer, cache_position *positions, uint32_t position) {
    float *queries = work.of.attention.queries, *row = work.of.attention.row;
    norm(work.normed, work.x, layer->attention_norm);
    const float *x = meets(work.normed, MODEL_WIDTH);
    multiply(row, &layer->matrices[ATTN_K], MODEL_KV_WIDTH, MODEL_WIDTH, x);
    rotate(row, MODEL_KV_WIDTH, position);
    cache_store(positions[position].rows[CACHE_K], row);
    multiply(row, &layer->matrices[ATTN_V], MODEL_KV_WIDTH, MODEL_WIDTH, x);
    cache_store(positions[position].rows[CACHE_V], row);
    multiply(queries, &layer->matrices[ATTN_Q], MODEL_WIDTH, MODEL_WIDTH, x);
    rotate(queries, MODEL_WIDTH, position);
    for (int i = 0; i < MODEL_WIDTH; i++) queries[i] *= MODEL_SCORE_SCALE;
    attend(work.normed, queries, positions, (int)position);
    multiply(queries, &layer->matrices[ATTN_OUTPUT], MODEL_WIDTH, MODEL_WIDTH, meets(work.normed, MODEL_WIDTH));
    add(work.x, queries);
}

static void feed_forward(const layer_weights *layer) {
    float *gate = work.of.feed_forward.gate, *up = work.of.feed_forward.up;
    norm(work.normed, work.x, layer->feed_forward_norm);
    const float *x = meets(work.normed, MODEL_WIDTH);
    multiply(gate, &layer->matrices[FFN_GATE], MODEL_HIDDEN, MODEL_WIDTH, x);
    multiply(up, &layer->matrices[FFN_UP], MODEL_HIDDEN, MODEL_WIDTH, x);
    for (int i = 0; i < MODEL_HIDDEN; i++) gate[i] = gate[i] / (1 + exponential(-gate[i])) * up[i];
    multiply(work.normed, &layer->matrices[FFN_DOWN], MODEL_WIDTH, MODEL_HIDDEN, meets(gate, MODEL_HIDDEN));
    add(work.x, work.normed);
}

void forward_layers(uint32_t token, uint32_t position) {
    const uint8_t *row = model.embedding.rows;
    size_t bytes = MODEL_WIDTH * sizeof(float);
    if (model.embedding.type == TENSOR_Q8_0) bytes = MODEL_WIDTH / BLOCK * Q8_0_BYTES;
    if (model.embedding.type == TENSOR_Q4_0) bytes = MODEL_WIDTH / BLOCK * Q4_0_BYTES;
    row_to_floats(work.x, row + token * bytes, model.embedding.type, MODEL_WIDTH);
    for (int l = 0; l < MODEL_LAYERS; l++) {
        attention(&model.layers[l], memory.cache[l], position);
        feed_forward(&model.layers[l]);
    }
}

const float *forward_logits(void) {
    norm(work.normed, work.x, model.output_norm);
    multiply(work.of.logits, &model.output, MODEL_VOCAB, MODEL_WIDTH, meets(work.normed, MODEL_WIDTH));
    return work.of.logits;
}
