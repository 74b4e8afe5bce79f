/* SentencePiece BPE, as models/tinyprof_models/tokenizer.py does it. */
#ifndef TOKENIZER_H
#define TOKENIZER_H

#include <stddef.h>
#include <stdint.h>

#include "model.h"

/* Longer texts cannot fit the context, since each token covers at most the longest piece. */
#define TEXT_ROOM (MODEL_CTX * MODEL_LONGEST_PIECE)

#if TEXT_ROOM > 65534
typedef uint32_t text_index;
#else
typedef uint16_t text_index;
#endif

/* Memory for one text; free again when the tokens are made. */
typedef struct {
    uint8_t text[TEXT_ROOM];
    text_index start[TEXT_ROOM + 1]; /* where each part begins, and behind the last its end */
    uint16_t rank[TEXT_ROOM];        /* of the union of a part with the next */
} tokenizer_scratch;

/* The tokens of a text, begin-of-sequence first, and how many; -1: more than `room`. Bytes that are no UTF-8 are read as
 * U+FFFD, one for each longest beginning of a character that does not go on, as Python decodes with errors="replace". */
int32_t tokenizer_encode(tokenizer_scratch *scratch, const uint8_t *text, size_t bytes, uint16_t *tokens, size_t room);

const uint8_t *tokenizer_text(uint32_t token, size_t *count);

#endif
