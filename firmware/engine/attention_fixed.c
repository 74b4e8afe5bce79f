/* Attention in whole numbers, for cores without a floating-point unit: a soft multiplication and addition there cost as much
 * as thirty of whole numbers. Scores are in millionths of a power of two, and so are weights, of the largest; all else
 * has as many bits, since whatever is lost here may turn the rounding of the activations that follow. */
#include "attention.h"

#include "dot.h"
#include "tables.h"

#if ATTENTION_FIXED

#define HEADS_A_KEY (MODEL_HEADS / MODEL_KV_HEADS)
#define SCORE_BITS 20
#define WEIGHT_BITS 20
#define QUERY_BITS (31 - 7 - PIECE_LOG2) /* a piece's sum of products with int8 fits 32 bits */
#define TOGETHER 8                       /* so many products of weights and int8 surely fit 32 bits when added */

/* A head's part of a row is cut so that each piece lies in one block. */
#define PIECE (MODEL_HEAD_WIDTH % 32 == 0 ? 32 : MODEL_HEAD_WIDTH % 16 == 0 ? 16 : MODEL_HEAD_WIDTH % 8 == 0 ? 8 : 2)
#define PIECE_LOG2 (PIECE > 16 ? 5 : PIECE > 8 ? 4 : 3)

/* Whole values times mantissa times 2^exponent. */
typedef struct {
    const int8_t *values;
    int32_t mantissa;
    int exponent;
} piece;

static inline piece load_piece(const uint8_t *row, int at) {
    const uint8_t *block = row + at / BLOCK * Q8_0_BYTES;
    uint16_t half = block_half(block);
    int exponent = half >> 10;
    return (piece){(const int8_t *)block + 2 + at % BLOCK, exponent ? (half & 1023) | 1024 : half, (exponent ? exponent : 1) - 25};
}

static inline int32_t product_of(const int32_t *query, const piece *keys) {
    int32_t sum = 0;
    for (int i = 0; i < PIECE; i++) sum += query[i] * keys->values[i];
    return sum;
}

typedef struct {
    int32_t values[MODEL_HEAD_WIDTH];
    int32_t mantissa; /* of what one step is worth in powers of two */
    int exponent;
} whole_query;

static void round_query(whole_query *query, const float *x) {
    const float steps = (1 << QUERY_BITS) - 1, log2_of_e = 1.44269504f;
    const uint32_t least = 0x1e3ce508, infinite = 0x7f800000; /* 1e-20: below it, all scores are as good as equal */
    uint32_t largest = least;
    for (int i = 0; i < MODEL_HEAD_WIDTH; i++) {
        uint32_t size = float_bits(x[i]) & 0x7fffffff;
        largest = size > largest ? size : largest;
    }
    float scale = steps / float_of(largest < infinite ? largest : least);
    for (int i = 0; i < MODEL_HEAD_WIDTH; i++)
        query->values[i] = largest < infinite ? (int32_t)(float_bits(x[i] * scale + ROUNDS) - ROUNDS_BITS) : 0;
    uint32_t step = float_bits(float_of(largest < infinite ? largest : least) * (log2_of_e / steps));
    query->mantissa = (int32_t)(((step & 0x7fffff) | 0x800000) >> 5);
    query->exponent = (int)(step >> 23) - 127 - 18;
}

static int64_t part_of_score(const whole_query *query, int at, const piece *keys) {
    int64_t product = (int64_t)product_of(query->values + at, keys) * (query->mantissa * keys->mantissa);
    int shift = -SCORE_BITS - query->exponent - keys->exponent;
    return shift >= 0 ? product >> (shift < 63 ? shift : 63) : product * (1 << (-shift < 6 ? -shift : 6));
}

static inline int32_t bounded(int64_t score) {
    const int64_t most = 1 << 30;
    return (int32_t)(score > most ? most : score < -most ? -most : score);
}

/* 2^WEIGHT_BITS for the largest score; less by powers of two below. */
static inline uint32_t weight_of(int32_t below) {
    int32_t whole = below >> SCORE_BITS;
    if (whole < -WEIGHT_BITS) return 0;
    uint32_t step = (uint32_t)below >> (SCORE_BITS - 8) & 255, low = power_of_two[step], rise = power_of_two[step + 1] - low;
    uint32_t fraction = 0x800000 + low + (rise * ((uint32_t)below & ((1u << (SCORE_BITS - 8)) - 1)) >> (SCORE_BITS - 8));
    return ((fraction >> (22 - WEIGHT_BITS - whole)) + 1) >> 1;
}

/* Turns scores into weights and returns their sum. */
static uint64_t weigh(int32_t *scores, int last) {
    int32_t largest = INT32_MIN;
    uint64_t sum = 0;
    for (int t = 0; t <= last; t++) largest = scores[t] > largest ? scores[t] : largest;
    for (int t = 0; t <= last; t++) {
        scores[t] = (int32_t)weight_of(scores[t] - largest);
        sum += (uint32_t)scores[t];
    }
    return sum;
}

/* Sums of one piece, as multiples of 2^exponent; `near` is what has not been carried to `far` yet. */
typedef struct {
    int64_t far[PIECE];
    int32_t near[PIECE];
    int exponent, waiting;
} mixture;

static void carry(mixture *into) {
    for (int i = 0; i < PIECE; i++) {
        into->far[i] += into->near[i];
        into->near[i] = 0;
    }
    into->waiting = 0;
}

static void mix(mixture *into, uint32_t weight, const piece *values) {
    int less = into->exponent - values->exponent;
    if (less < 0) {
        carry(into);
        for (int i = 0; i < PIECE; i++) into->far[i] >>= less < -63 ? 63 : -less;
        into->exponent = values->exponent;
        less = 0;
    }
    if (less > 30) return;
    uint64_t product = (uint64_t)weight * (uint32_t)values->mantissa >> 9;
    int32_t factor = (int32_t)(((uint32_t)product >> less) + 1) >> 1;
    for (int i = 0; i < PIECE; i++) into->near[i] += factor * values->values[i];
    if (++into->waiting == TOGETHER) carry(into);
}

static void finish(float *out, mixture *mixed, uint64_t sum) {
    carry(mixed);
    float share = float_of((uint32_t)(127 + 10 + mixed->exponent) << 23) / (float)sum;
    for (int i = 0; i < PIECE; i++) out[i] = (float)mixed->far[i] * share;
}

/* The heads that share a key go together, so that its rows are read once for them. */
typedef struct {
    whole_query queries[HEADS_A_KEY];
    mixture mixed[HEADS_A_KEY];
    int32_t scores[HEADS_A_KEY][MODEL_CTX];
} key_group;

static void score_keys(key_group *group, const cache_position *positions, int last, int at) {
    for (int t = 0; t <= last; t++) {
        int64_t scores[HEADS_A_KEY] = {0};
        for (int p = 0; p < MODEL_HEAD_WIDTH; p += PIECE) {
            piece keys = load_piece(positions[t].rows[CACHE_K], at + p);
            for (int h = 0; h < HEADS_A_KEY; h++) scores[h] += part_of_score(&group->queries[h], p, &keys);
        }
        for (int h = 0; h < HEADS_A_KEY; h++) group->scores[h][t] = bounded(scores[h]);
    }
}

static void mix_values(key_group *group, const cache_position *positions, int last, int at) {
    memset(group->mixed, 0, sizeof group->mixed);
    for (int h = 0; h < HEADS_A_KEY; h++) group->mixed[h].exponent = -64;
    for (int t = 0; t <= last; t++) {
        piece values = load_piece(positions[t].rows[CACHE_V], at);
        for (int h = 0; h < HEADS_A_KEY; h++)
            if (group->scores[h][t]) mix(&group->mixed[h], (uint32_t)group->scores[h][t], &values);
    }
}

void attend(float mixed[MODEL_WIDTH], float queries[MODEL_WIDTH], const cache_position *positions, int last) {
    static key_group group;
    uint64_t sums[HEADS_A_KEY];
    for (int key = 0; key < MODEL_KV_HEADS; key++) {
        int at = key * MODEL_HEAD_WIDTH, first = at * HEADS_A_KEY;
        for (int h = 0; h < HEADS_A_KEY; h++) round_query(&group.queries[h], queries + first + h * MODEL_HEAD_WIDTH);
        score_keys(&group, positions, last, at);
        for (int h = 0; h < HEADS_A_KEY; h++) sums[h] = weigh(group.scores[h], last);
        for (int p = 0; p < MODEL_HEAD_WIDTH; p += PIECE) {
            mix_values(&group, positions, last, at + p);
            for (int h = 0; h < HEADS_A_KEY; h++)
                finish(mixed + first + h * MODEL_HEAD_WIDTH + p, &group.mixed[h], sums[h]);
        }
    }
}

#endif
