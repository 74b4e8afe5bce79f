/* MessagePack from a body that anyone may have sent: nothing is read beyond its end, and nothing recurses. */
#include "tp_internal.h"

/* Reads a number of `count` bytes, the more significant first; only the lower 32 bits are kept, `*high` says of others. */
static uint32_t take_number(tp_reader *reader, unsigned count, uint32_t *high) {
    uint32_t value = 0;
    *high = 0;
    if ((size_t)(reader->end - reader->at) < count) {
        reader->bad = 1;
        return 0;
    }
    while (count-- > 0) {
        *high |= value >> 24;
        value = (value << 8) | *reader->at++;
    }
    return value;
}

/* Goes behind `count` bytes of content. */
static void skip_bytes(tp_reader *reader, uint32_t count) {
    if ((size_t)(reader->end - reader->at) < count)
        reader->bad = 1;
    else
        reader->at += count;
}

/* How many bytes a value of one of the types 0xC4 to 0xDF has for its length, and how its content follows. */
static uint32_t skip_long(tp_reader *reader, uint8_t type) {
    static const uint8_t fixed[] = {4, 8, 1, 2, 4, 8, 1, 2, 4, 8, 2, 3, 5, 9, 17}; /* 0xCA to 0xD8 */
    uint32_t high, length;
    if (type >= 0xCA && type <= 0xD8) {
        skip_bytes(reader, fixed[type - 0xCA]);
        return 0;
    }
    if (type >= 0xDC) {
        length = take_number(reader, type & 1 ? 4 : 2, &high);
        return type >= 0xDE ? 2 * (length & 0xFFFFFF) + (length >> 24) : length;
    }
    /* bin and ext from 0xC4 and 0xC7, str from 0xD9: lengths of 1, 2 and 4 bytes; an ext has a type besides. */
    length = take_number(reader, 1U << ((type < 0xC7 ? type - 0xC4 : type < 0xCA ? type - 0xC7 : type - 0xD9)), &high);
    if (type >= 0xC7 && type < 0xCA) skip_bytes(reader, 1);
    skip_bytes(reader, length);
    return 0;
}

/* Goes behind one value, less what it contains; returns how many values it contains. */
static uint32_t skip_one(tp_reader *reader) {
    uint8_t type;
    if (reader->at == reader->end) {
        reader->bad = 1;
        return 0;
    }
    type = *reader->at++;
    if (type < 0x80 || type >= 0xE0) return 0;
    if (type < 0x90) return 2U * (type & 15U);
    if (type < 0xA0) return type & 15U;
    if (type < 0xC0) {
        skip_bytes(reader, type & 31U);
        return 0;
    }
    if (type >= 0xC4) return skip_long(reader, type);
    if (type == 0xC1) reader->bad = 1; /* never used */
    return 0;
}

int tp_read_body(tp_reader *reader, const uint8_t *body, size_t count) {
    uint32_t waiting = 1;
    reader->at = body;
    reader->end = body + count;
    reader->bad = 0;
    while (waiting > 0 && !reader->bad) {
        uint32_t inside = skip_one(reader);
        /* Each value that is still to come takes a byte at least. */
        if (inside > count) reader->bad = 1;
        waiting += inside - 1;
    }
    if (reader->bad || reader->at != reader->end) return 0;
    reader->at = body + 1;
    reader->left = body[0] & 15U;
    return 1;
}

/* Whether there is another element; then it is whole, as the body is. */
static int next(tp_reader *reader) {
    if (reader->left == 0) {
        reader->bad = 1;
        return 0;
    }
    reader->left--;
    return 1;
}

uint32_t tp_read_uint(tp_reader *reader, uint32_t least, uint32_t most) {
    uint32_t value, high = 0;
    if (reader->bad || !next(reader)) return 0;
    value = *reader->at++;
    if (value >= 0xCC && value <= 0xCF)
        value = take_number(reader, 1U << (value - 0xCC), &high);
    else if (value > 0x7F)
        reader->bad = 1;
    if (high != 0 || value < least || value > most) reader->bad = 1;
    return value;
}

const uint8_t *tp_read_bin(tp_reader *reader, size_t *count) {
    const uint8_t *bytes;
    uint32_t high;
    *count = 0;
    if (reader->bad || !next(reader)) return NULL;
    if (*reader->at < 0xC4 || *reader->at > 0xC6) {
        reader->bad = 1;
        return NULL;
    }
    bytes = reader->at++;
    *count = take_number(reader, 1U << (*bytes - 0xC4), &high);
    bytes = reader->at;
    reader->at += *count;
    return bytes;
}
