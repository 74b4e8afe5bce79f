#include "why.h"

static char line[120];
static size_t used;

static void add(char character) {
    if (used + 1 < sizeof line) line[used++] = character;
    line[used] = 0;
}

const char *why_and(const char *text) {
    while (*text) add(*text++);
    return line;
}

const char *why(const char *text) {
    used = 0;
    return why_and(text);
}

const char *why_bytes(const uint8_t *text, size_t count) {
    for (size_t i = 0; i < count; i++) add(text[i] >= ' ' && text[i] < 127 ? (char)text[i] : '?');
    return line;
}

const char *why_number(uint64_t number) {
    char digits[20];
    int count = 0;
    do digits[count++] = (char)('0' + number % 10);
    while (number /= 10);
    while (count) add(digits[--count]);
    return line;
}
