/* MessagePack from a body that anyone may have sent: nothing is read beyond its end, and nothing recurses. */
#include "tp_internal.h"

/* What a value is. A type of 0xC0 to 0xDF says so by a table, and of how many bytes the number behind it is. Maps and
 * extensions are no part of the link. */
enum { NUMBER = 0x00, STRING = 0x10, ITEMS = 0x20, OTHER = 0x40, NEVER = 0x60, BINARY = 0x80 };
enum { HAS_CONTENT = STRING | BINARY, LENGTH = 15 };
static const uint8_t long_types[32] = {
    OTHER,     NEVER,      OTHER,      OTHER,      BINARY + 1, BINARY + 2, BINARY + 4, NEVER,
    NEVER,     NEVER,      OTHER + 4,  OTHER + 8,  NUMBER + 1, NUMBER + 2, NUMBER + 4, NUMBER + 8,
    OTHER + 1, OTHER + 2,  OTHER + 4,  OTHER + 8,  NEVER,      NEVER,      NEVER,      NEVER,
    NEVER,     STRING + 1, STRING + 2, STRING + 4, ITEMS + 2,  ITEMS + 4,  NEVER,      NEVER,
};

/* The values of each message behind its number: what it is, NUMBER or BINARY; how many bits it has; whether it may be
 * 0. A 0 ends them. */
enum { BITS = 0x3F, NOT_ZERO = 0x40 };
enum { ID = 32 | NOT_ZERO, U32 = 32, U8 = 8, U16 = 16, COUNT16 = 16 | NOT_ZERO, BYTES = BINARY | 32 };
static const uint8_t messages[][TP_MOST_VALUES + 1] = {
    {ID, U8, U8}, {ID, U16, COUNT16, COUNT16, 1, BYTES}, {ID}, {ID}, {ID, U16, U16}, {ID, U32},
};

int tp_read_message(tp_asked *asked, const uint8_t *body, uint32_t count) {
    const uint8_t *at = body + 1, *end = body + count, *fields = NULL;
    uint32_t waiting = body[0] & 15U, field = U8, *value = asked->values;
    /* No field has values inside, so that those of a message come first, one after the other; behind them everything is
     * only gone through. What is still to come takes a byte each, which bounds `waiting`. */
    for (; waiting > 0; waiting--) {
        uint32_t type, number, what = NUMBER, bytes = 0;
        if (at == end) return 0;
        number = type = *at++;
        if (type >= 0xE0) {
            what = OTHER;
        } else if (type >= 0xC0) {
            what = long_types[type - 0xC0];
            bytes = what & LENGTH;
            what -= bytes;
            for (number = 0; bytes > 0; bytes--) {
                if (at == end) return 0;
                if (number >> 24) what |= OTHER; /* more than 32 bits: no field takes that */
                number = number << 8 | *at++;
            }
        } else if (type >= 0x80) {
            what = type < 0x90 ? NEVER : type < 0xA0 ? ITEMS : STRING;
            number &= what == ITEMS ? 15 : 31;
        }
        if (what == NEVER) return 0;
        if ((what & (HAS_CONTENT | ITEMS)) && number > (uint32_t)(end - at)) return 0;
        if (field != 0) {
            if (what != (field & BINARY) || number > UINT32_MAX >> (32 - (field & BITS)) ||
                (number == 0 && (field & NOT_ZERO)))
                return 0;
            *value++ = number;
            asked->bytes = at; /* what is of bytes is its message's last */
            if (fields == NULL) {
                if (number - 1 >= sizeof messages / sizeof messages[0]) return 0;
                fields = messages[number - 1];
            }
            field = *fields++;
        }
        if (what == ITEMS) waiting += number;
        if (what & HAS_CONTENT) at += number;
    }
    return field == 0 && at == end;
}
