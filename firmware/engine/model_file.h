/* The tensors of the model, found in its GGUF file. */
#ifndef MODEL_FILE_H
#define MODEL_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "model.h"

enum { TENSOR_F32 = 0, TENSOR_Q4_0 = 2, TENSOR_Q8_0 = 8 };

/* The matrices of a layer, in the order of their names in model_file.c. */
enum { ATTN_Q, ATTN_K, ATTN_V, ATTN_OUTPUT, FFN_GATE, FFN_UP, FFN_DOWN, LAYER_MATRICES };

typedef struct {
    const uint8_t *rows;
    uint32_t type;
} matrix;

typedef struct {
    const float *attention_norm, *feed_forward_norm;
    matrix matrices[LAYER_MATRICES];
} layer_weights;

typedef struct {
    const uint8_t *file;
    const float *output_norm;
    matrix embedding, output;
    layer_weights layers[MODEL_LAYERS];
} model_weights;

extern model_weights model;

/* Finds everything in the file. Returns NULL, or one line that says why this is not the file of the build. */
const char *model_find(const uint8_t *file, size_t bytes);

#endif
