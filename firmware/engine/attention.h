/* Attention of one token over the positions of a layer so far. */
#ifndef ATTENTION_H
#define ATTENTION_H

#include "cache.h"

/* `mixed` becomes the heads' mixtures of V rows 0 ... last. The queries hold the scale of the scores already; they are
 * spoilt. */
void attend(float mixed[MODEL_WIDTH], float queries[MODEL_WIDTH], const cache_position *positions, int last);

#endif
