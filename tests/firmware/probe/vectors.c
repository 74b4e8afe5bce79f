/* Checks the probe's own parts against the recorded bytes. Lines of its input:
 *   crc16 OF IS              as hex
 *   line LINE DROPPED BODY…  what the decoder makes of a line
 *   host LINE MESSAGE VALUE… a message of the host: its number and its values in order, bytes as hex after a colon
 *   bad BODY                 no message that we know
 *   board LINE VALUE…        values to make into this very line: [n array, u uint, s str, b bin, - nil
 * Says what does not agree and ends with 1. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tp_internal.h"

static uint8_t body[TP_MAX_BODY], line[4096], made[4096];
static size_t line_bytes, made_bytes;
static tp_probe probe;
static tp_config config;

static size_t from_hex(const char *hex, uint8_t *bytes) {
    size_t count = strlen(hex) / 2;
    unsigned byte;
    for (size_t at = 0; at < count; at++) {
        if (sscanf(hex + 2 * at, "%2x", &byte) != 1) exit(2);
        bytes[at] = (uint8_t)byte;
    }
    return count;
}

static void gather(void *user, const uint8_t *bytes, size_t count) {
    (void)user;
    memcpy(made + made_bytes, bytes, count);
    made_bytes += count;
}

static int differs(const char *what, const char *words) {
    fprintf(stderr, "%s: %s\n", what, words);
    return 1;
}

static int check_crc(char **word, int count) {
    size_t bytes = from_hex(word[1], line);
    uint16_t crc = 0xFFFF;
    (void)count;
    for (size_t at = 0; at < bytes; at++) crc = tp_crc16(crc, line[at]);
    return crc != (uint16_t)strtoul(word[2], NULL, 16);
}

static int check_line(char **word, int count) {
    uint8_t wanted[TP_MAX_BODY];
    int next = 3;
    probe.dropped = 0;
    tp_frame_forget(&probe);
    line_bytes = from_hex(word[1], line);
    for (size_t at = 0; at < line_bytes; at++) {
        size_t got = tp_frame_take(&probe, line[at]);
        if (got == 0) continue;
        if (next == count || from_hex(word[next++], wanted) != got || memcmp(wanted, body, got) != 0) return 1;
    }
    return next != count || probe.dropped != strtoul(word[2], NULL, 10);
}

static int check_host(char **word, int count) {
    uint8_t wanted[TP_MAX_BODY];
    tp_asked asked;
    size_t got = 0;
    line_bytes = from_hex(word[1], line);
    for (size_t at = 0; at < line_bytes; at++) {
        size_t length = tp_frame_take(&probe, line[at]);
        if (length > 0) got = length;
    }
    if (got == 0 || !tp_read_message(&asked, body, (uint32_t)got)) return 1;
    for (int at = 2; at < count; at++) {
        if (word[at][0] == ':') {
            size_t length = from_hex(word[at] + 1, wanted);
            if (length != asked.values[at - 2] || memcmp(wanted, asked.bytes, length) != 0) return 1;
        } else if (asked.values[at - 2] != strtoul(word[at], NULL, 10)) {
            return 1;
        }
    }
    return 0;
}

static int check_bad(char **word, int count) {
    tp_asked asked;
    (void)count;
    return tp_read_message(&asked, body, (uint32_t)from_hex(word[1], body));
}

static int check_board(char **word, int count) {
    uint8_t bytes[TP_MAX_BODY + 1];
    size_t length;
    made_bytes = 0;
    tp_frame_begin(&probe);
    for (int at = 2; at < count; at++) {
        const char *value = word[at] + 1;
        switch (word[at][0]) {
        case '[': tp_put_array((uint32_t)strtoul(value, NULL, 10)); break;
        case 'u': tp_put_uint(strtoull(value, NULL, 10)); break;
        case '-': tp_put(TP_NIL); break;
        case 'b':
            length = from_hex(value, bytes);
            tp_put_bin(bytes, (uint32_t)length);
            break;
        default:
            bytes[from_hex(value, bytes)] = 0;
            tp_put_str((const char *)bytes, 200);
        }
    }
    tp_frame_end();
    return from_hex(word[1], line) != made_bytes || memcmp(line, made, made_bytes) != 0;
}

int main(void) {
    static char text[16384], words[16384];
    char *word[64];
    int failed = 0;
    config.body = body;
    config.body_bytes = sizeof body;
    config.write = gather;
    probe.config = &config;
    tp_frame_forget(&probe);
    while (fgets(text, sizeof text, stdin) != NULL) {
        int count = 0, bad = 1;
        memcpy(words, text, sizeof words);
        for (char *at = strtok(words, " \n"); at != NULL && count < 64; at = strtok(NULL, " \n")) word[count++] = at;
        if (count > 2 && strcmp(word[0], "crc16") == 0) bad = check_crc(word, count);
        if (count > 2 && strcmp(word[0], "line") == 0) bad = check_line(word, count);
        if (count > 2 && strcmp(word[0], "host") == 0) bad = check_host(word, count);
        if (count > 1 && strcmp(word[0], "bad") == 0) bad = check_bad(word, count);
        if (count > 2 && strcmp(word[0], "board") == 0) bad = check_board(word, count);
        if (bad) failed = differs("does not agree", text);
    }
    return failed;
}
