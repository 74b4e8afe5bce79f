/* MessagePack from a body that anyone may have sent: nothing is read beyond its end, and nothing recurses. */
#include "tp_internal.h"

/* What the number behind a type is, for types 0xC0 to 0xDF; beside it, of how many bytes it is. */
enum { VALUE = 0x00, CONTENT = 0x10, EXTENSION = 0x20, ITEMS = 0x30, PAIRS = 0x40, NEVER = 0x50 };
static const uint8_t long_types[32] = {
    VALUE,         NEVER,         VALUE,       VALUE,       CONTENT + 1, CONTENT + 2, CONTENT + 4, EXTENSION + 1,
    EXTENSION + 2, EXTENSION + 4, VALUE + 4,   VALUE + 8,   VALUE + 1,   VALUE + 2,   VALUE + 4,   VALUE + 8,
    VALUE + 1,     VALUE + 2,     VALUE + 4,   VALUE + 8,   EXTENSION,   EXTENSION,   EXTENSION,   EXTENSION,
    EXTENSION,     CONTENT + 1,   CONTENT + 2, CONTENT + 4, ITEMS + 2,   ITEMS + 4,   PAIRS + 2,   PAIRS + 4,
};

/* The values of each message behind its number: how many bits each has, and whether it may be 0. */
enum { MOST_FIELDS = TP_MOST_VALUES, BITS = 0x3F, NOT_ZERO = 0x40, BYTES = 0x80 };
enum { ID = 32 | NOT_ZERO, U32 = 32, U8 = 8, U16 = 16, COUNT16 = 16 | NOT_ZERO };
static const uint8_t messages[][MOST_FIELDS] = {
    {ID, U8, U8}, {ID, U16, COUNT16, COUNT16, 1, BYTES}, {ID}, {ID}, {ID, U16, U16}, {ID, U32},
};

typedef struct {
    const uint8_t *at;
    uint32_t left;         /* bytes from there on */
    uint32_t type, number; /* of the value that was read last; its content follows its number */
    const uint8_t *content;
} reading;

/* Reads a value, less the values in it, whose number comes back; -1 where it is none or goes beyond the end. */
static int32_t read_one(reading *from) {
    uint32_t type, number, what = VALUE;
    if (from->left == 0) return -1;
    number = type = *from->at++;
    from->left--;
    if (type >= 0xC0 && type < 0xE0) {
        uint32_t bytes = long_types[type - 0xC0] & 15U;
        what = long_types[type - 0xC0] & 0xF0U;
        if (bytes > from->left) return -1;
        from->left -= bytes;
        for (number = 0; bytes > 0; bytes--) {
            if (number >> 24) type = 0xC1; /* more than 32 bits: no field takes that, and no body has such a length */
            number = number << 8 | *from->at++;
        }
        if (type >= 0xD4 && what == EXTENSION) number = 1U << (type - 0xD4);
    } else if (type >= 0x80 && type < 0xC0) {
        what = type < 0x90 ? PAIRS : type < 0xA0 ? ITEMS : CONTENT;
        number &= what == CONTENT ? 31 : 15;
    }
    from->type = type;
    from->number = number;
    from->content = from->at;
    if (what == VALUE) return 0;
    if (number > from->left) return -1;
    if (what == EXTENSION && number++ == from->left) return -1;
    if (what == ITEMS) return (int32_t)number;
    if (what == PAIRS) return (int32_t)(2 * number);
    from->at += number;
    from->left -= number;
    return what == NEVER ? -1 : 0;
}

/* Goes behind one value with all that is in it. What is still to come takes a byte each, which bounds the sum. */
static int skip_inside(reading *from, int32_t waiting) {
    while (waiting > 0) {
        int32_t inside = read_one(from);
        if (inside < 0) return 0;
        waiting += inside - 1;
    }
    return 1;
}

/* Takes the value that was read last as a message's field; 0 where it is not as it should be. */
static int take_field(tp_asked *asked, const reading *from, uint32_t index, uint32_t field) {
    if (field & BYTES) {
        asked->bytes = from->content;
        asked->count = from->number;
        return from->type >= 0xC4 && from->type <= 0xC6;
    }
    asked->values[index] = from->number;
    if (from->type > 0x7F && from->type - 0xCC > 3) return 0;
    return from->number <= UINT32_MAX >> (32 - (field & BITS)) && (from->number != 0 || !(field & NOT_ZERO));
}

int tp_read_message(tp_asked *asked, const uint8_t *body, uint32_t count) {
    const uint8_t *fields = messages[0];
    reading from;
    uint32_t index, elements = body[0] & 15U, wanted = 1;
    from.at = body + 1;
    from.left = count - 1;
    for (index = 0; index < elements; index++) {
        int32_t inside = read_one(&from);
        if (inside < 0) return 0;
        if (index < wanted && !take_field(asked, &from, index, index == 0 ? U8 : fields[index - 1])) return 0;
        if (!skip_inside(&from, inside)) return 0;
        if (index > 0) continue;
        if (asked->values[0] - 1 >= sizeof messages / sizeof messages[0]) return 0;
        fields = messages[asked->values[0] - 1];
        while (wanted <= MOST_FIELDS && fields[wanted - 1] != 0) wanted++;
    }
    return elements >= wanted && from.left == 0;
}
