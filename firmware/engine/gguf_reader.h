/* Reads the header of a GGUF file, never beyond its end. */
#ifndef GGUF_READER_H
#define GGUF_READER_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { GGUF_UINT32 = 4, GGUF_FLOAT32 = 6, GGUF_STRING = 8, GGUF_ARRAY = 9, GGUF_TYPES = 13 };

typedef struct {
    const uint8_t *file;
    size_t bytes, at;
    int broken; /* something reached beyond the end, or was of no known type */
} gguf_reader;

typedef struct {
    const uint8_t *text;
    size_t count;
} gguf_string;

static inline int gguf_is(gguf_string string, const char *text) {
    return string.count == strlen(text) && memcmp(string.text, text, string.count) == 0;
}

static inline int gguf_has(gguf_reader *in, uint64_t count) {
    if (in->broken || count > in->bytes - in->at) in->broken = 1;
    return !in->broken;
}

static inline uint32_t gguf_u32(gguf_reader *in) {
    if (!gguf_has(in, 4)) return 0;
    const uint8_t *b = in->file + in->at;
    in->at += 4;
    return b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

static inline uint64_t gguf_u64(gguf_reader *in) {
    uint64_t low = gguf_u32(in);
    return low | (uint64_t)gguf_u32(in) << 32;
}

static inline void gguf_skip(gguf_reader *in, uint64_t count) {
    if (gguf_has(in, count)) in->at += (size_t)count;
}

static inline gguf_string gguf_text(gguf_reader *in) {
    gguf_string string = {(const uint8_t *)"", 0};
    uint64_t count = gguf_u64(in);
    if (gguf_has(in, count)) {
        string.text = in->file + in->at;
        string.count = (size_t)count;
        in->at += (size_t)count;
    }
    return string;
}

/* Passes over `count` values of a type; arrays within arrays are unknown to it. */
static inline void gguf_skip_values(gguf_reader *in, uint32_t type, uint64_t count) {
    static const uint8_t sizes[GGUF_TYPES] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    if (type == GGUF_STRING)
        while (count-- && !in->broken) gguf_text(in);
    else if (type >= GGUF_TYPES || !sizes[type] || count > in->bytes)
        in->broken = 1;
    else
        gguf_skip(in, count * sizes[type]);
}

static inline void gguf_skip_value(gguf_reader *in, uint32_t type) {
    uint64_t count = 1;
    if (type == GGUF_ARRAY) {
        type = gguf_u32(in);
        count = gguf_u64(in);
    }
    gguf_skip_values(in, type, count);
}

#endif
