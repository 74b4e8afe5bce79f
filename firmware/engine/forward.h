/* The model, a token at a time. */
#ifndef FORWARD_H
#define FORWARD_H

#include <stdint.h>

#include "tokenizer.h"

/* Memory for the prompt's text; using it spoils the cache. */
tokenizer_scratch *forward_scratch(void);

/* Takes a token through the layers at its position, which follows those in the cache. */
void forward_layers(uint32_t token, uint32_t position);

/* The logits after it; valid until the next call. */
const float *forward_logits(void);

#endif
