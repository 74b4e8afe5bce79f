#include "tokenizer.h"

#include <string.h>

#include "model_file.h"
#include "tables.h"

#define NO_TOKEN 0xffffu
#define NO_RANK 0xffffu

static const uint8_t *piece_of(uint32_t token, size_t *count) {
    const uint8_t *piece = model.file + piece_offset[token];
    *count = (size_t)(piece[-8] | piece[-7] << 8); /* piece lengths were checked when the model was opened */
    return piece;
}

static uint32_t token_of(const uint8_t *text, size_t bytes) {
    uint32_t low = 0, high = MODEL_PIECES;
    while (low < high) {
        uint32_t middle = (low + high) / 2, token = piece_order[middle];
        size_t count;
        const uint8_t *piece = piece_of(token, &count);
        int order = memcmp(text, piece, bytes < count ? bytes : count);
        if (order == 0 && bytes == count) return token;
        if (order < 0 || (order == 0 && bytes < count)) high = middle;
        else low = middle + 1;
    }
    return NO_TOKEN;
}

/* How many bytes of the text are its next character; *valid is 0 where they are only the beginning of one, or none. */
static size_t character(const uint8_t *text, size_t bytes, int *valid) {
    uint8_t lead = text[0], lowest = 0x80, highest = 0xbf;
    size_t length = lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0, taken = 1;
    if (lead == 0xe0) lowest = 0xa0;
    if (lead == 0xf0) lowest = 0x90;
    if (lead == 0xed) highest = 0x9f;
    if (lead == 0xf4) highest = 0x8f;
    for (; taken < length && taken < bytes && text[taken] >= lowest && text[taken] <= highest; taken++)
        lowest = 0x80, highest = 0xbf;
    *valid = taken == length;
    return taken;
}

/* Appends a character as the vocabulary writes it; returns the parts, or -1 where there is no room. */
static int32_t append(tokenizer_scratch *s, int32_t parts, const uint8_t *bytes, size_t count) {
    size_t at = s->start[parts];
    if (count > TEXT_ROOM - at) return -1;
    memcpy(s->text + at, bytes, count);
    s->start[parts + 1] = (text_index)(at + count);
    return parts + 1;
}

static int32_t split(tokenizer_scratch *s, const uint8_t *text, size_t bytes) {
    static const uint8_t space[] = {0xe2, 0x96, 0x81}, replacement[] = {0xef, 0xbf, 0xbd};
    s->start[0] = 0;
    int32_t parts = append(s, 0, space, sizeof space);
    while (bytes && parts >= 0) {
        int valid;
        size_t taken = character(text, bytes, &valid);
        if (!valid) parts = append(s, parts, replacement, sizeof replacement);
        else if (*text == ' ') parts = append(s, parts, space, sizeof space);
        else parts = append(s, parts, text, taken);
        text += taken;
        bytes -= taken;
    }
    return parts;
}

static uint16_t rank_of(const tokenizer_scratch *s, int32_t part, int32_t parts) {
    if (part + 1 >= parts) return NO_RANK;
    uint32_t token = token_of(s->text + s->start[part], (size_t)(s->start[part + 2] - s->start[part]));
    return token == NO_TOKEN ? NO_RANK : piece_rank[token];
}

/* Joins the best pair, of equal ones the leftmost, until there is none; returns how many parts are left. */
static int32_t join(tokenizer_scratch *s, int32_t parts) {
    for (int32_t i = 0; i < parts; i++) s->rank[i] = rank_of(s, i, parts);
    for (;;) {
        int32_t best = 0;
        for (int32_t i = 1; i < parts; i++)
            if (s->rank[i] < s->rank[best]) best = i;
        if (s->rank[best] == NO_RANK) return parts;
        memmove(s->start + best + 1, s->start + best + 2, (size_t)(parts - best - 1) * sizeof *s->start);
        memmove(s->rank + best + 1, s->rank + best + 2, (size_t)(parts - best - 2) * sizeof *s->rank);
        parts--;
        s->rank[best] = rank_of(s, best, parts);
        if (best > 0) s->rank[best - 1] = rank_of(s, best - 1, parts);
    }
}

int32_t tokenizer_encode(tokenizer_scratch *s, const uint8_t *text, size_t bytes, uint16_t *tokens, size_t room) {
    int32_t parts = split(s, text, bytes);
    size_t made = 1;
    if (parts < 0 || room < 1) return -1;
    parts = join(s, parts);
    tokens[0] = MODEL_BOS;
    for (int32_t i = 0; i < parts; i++) {
        const uint8_t *part = s->text + s->start[i];
        size_t count = (size_t)(s->start[i + 1] - s->start[i]);
        uint32_t token = token_of(part, count);
        if (made + (token == NO_TOKEN ? count : 1) > room) return -1;
        if (token != NO_TOKEN) tokens[made++] = (uint16_t)token;
        else
            while (count--) tokens[made++] = byte_token[*part++];
    }
    return (int32_t)made;
}

const uint8_t *tokenizer_text(uint32_t token, size_t *count) {
    static uint8_t text[MODEL_LONGEST_PIECE];
    *count = 0;
    if (model.file == NULL || token >= MODEL_VOCAB || token_byte[token] > 256) return text;
    if (token_byte[token] < 256) {
        text[(*count)++] = (uint8_t)token_byte[token];
        return text;
    }
    size_t left;
    const uint8_t *piece = piece_of(token, &left);
    while (left) {
        int space = left >= 3 && piece[0] == 0xe2 && piece[1] == 0x96 && piece[2] == 0x81;
        size_t taken = space ? 3 : 1;
        text[(*count)++] = space ? ' ' : *piece;
        piece += taken;
        left -= taken;
    }
    return text;
}
