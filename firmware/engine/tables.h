/* What tools/model_header.py computes at build time. */
#ifndef TABLES_H
#define TABLES_H

#include <stdint.h>

#include "model.h"

extern const uint32_t piece_offset[MODEL_VOCAB];  /* where a token's text begins in the file; its length is before it */
extern const uint16_t piece_order[MODEL_PIECES];  /* tokens in the order of their pieces' bytes, the last of equal ones */
extern const uint16_t piece_rank[MODEL_VOCAB];    /* of the score: 0 is the best, equal scores have equal ranks */
extern const uint16_t byte_token[256];            /* the token of a byte that is in no piece */
extern const uint16_t token_byte[MODEL_VOCAB];    /* a byte token's byte; 256: the text is the piece; 257: there is none */
extern const float rotation[MODEL_CTX * MODEL_HEAD_WIDTH]; /* cosine and sine for each pair of neighbours */
extern const uint32_t power_of_two[257];          /* the fraction of 2^(n/256), in parts of 2^23 */

#endif
