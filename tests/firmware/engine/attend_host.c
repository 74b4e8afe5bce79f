/* One call of the attention on values from standard input, in the hexadecimal notation of C: queries, then for each
 * position a K row and a V row; prints what it mixed. */
#include <stdio.h>
#include <stdlib.h>

#include "attention.h"

static cache_position positions[MODEL_CTX];

static void take(float *to, int count) {
    for (int i = 0; i < count; i++)
        if (scanf("%f", to + i) != 1) exit(1);
}

int main(void) {
    static float queries[MODEL_WIDTH], mixed[MODEL_WIDTH], row[MODEL_KV_WIDTH];
    int count;
    if (scanf("%d", &count) != 1 || count < 1 || count > MODEL_CTX) return 1;
    take(queries, MODEL_WIDTH);
    for (int t = 0; t < count; t++)
        for (int which = CACHE_K; which <= CACHE_V; which++) {
            take(row, MODEL_KV_WIDTH);
            cache_store(positions[t].rows[which], row);
        }
    attend(mixed, queries, positions, count - 1);
    for (int i = 0; i < MODEL_WIDTH; i++) printf("%.9g\n", (double)mixed[i]);
    return 0;
}
