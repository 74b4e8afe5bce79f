/* The engine as a program on this machine, for tests and benchmarks: commands on standard input, one a line.
 *
 *   encode HEX            the prompt's tokens, or -1
 *   text ID               a token's text as hexadecimal digits
 *   generate N HEX        prompt tokens, then each token's id, then `eos` or `end`; `too_long` with its line
 *   logits ID POSITION    the logits of one forward pass, as the bits of floats
 *   time N HEX            nanoseconds to the first token and from it to the last, then their ids
 *   read BYTES ROUNDS     nanoseconds that reading so many bytes takes, at the quickest: the bound that memory sets
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine.h"
#include "model.h"

static uint8_t bytes[1 << 16];
static uint32_t made[MODEL_CTX], made_count;
static uint64_t first_ns, last_ns;

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int keep(void *user, uint32_t id) {
    last_ns = now_ns();
    if (made_count == 0) first_ns = last_ns;
    made[made_count++] = id;
    return 0;
}

static size_t unhex(const char *text) {
    size_t count = 0;
    unsigned value;
    while (count < sizeof bytes && sscanf(text, "%2x", &value) == 1) bytes[count++] = (uint8_t)value, text += 2;
    return count;
}

static void generate(char *rest, int timed) {
    char *hex;
    uint32_t prompt_tokens, most = (uint32_t)strtoul(rest, &hex, 10);
    int eos;
    size_t count = unhex(hex + (*hex == ' '));
    made_count = 0;
    uint64_t begin = now_ns();
    if (engine_generate(bytes, count, most, keep, NULL, &prompt_tokens, &eos) != ENGINE_OK) {
        printf("too_long %s\n", engine_why());
        return;
    }
    if (timed) printf("%llu %llu", (unsigned long long)(first_ns - begin), (unsigned long long)(last_ns - first_ns));
    else printf("%u", (unsigned)prompt_tokens);
    for (uint32_t i = 0; i < made_count; i++) printf(" %u", (unsigned)made[i]);
    printf(timed ? "\n" : eos ? " eos\n" : " end\n");
}

static void encode(const char *hex) {
    static uint16_t tokens[MODEL_CTX];
    int32_t count = engine_encode(bytes, unhex(hex), tokens, MODEL_CTX);
    if (count < 0) printf("-1");
    for (int32_t i = 0; i < count; i++) printf("%u ", (unsigned)tokens[i]);
    printf("\n");
}

static void text_of(uint32_t id) {
    size_t count;
    const uint8_t *text = engine_text(id, &count);
    for (size_t i = 0; i < count; i++) printf("%02x", text[i]);
    printf("\n");
}

static void logits(char *rest) {
    uint32_t token = (uint32_t)strtoul(rest, &rest, 10), position = (uint32_t)strtoul(rest, NULL, 10), bits;
    const float *found = engine_forward(token, position);
    for (uint32_t i = 0; i < MODEL_VOCAB; i++) {
        memcpy(&bits, found + i, sizeof bits);
        printf("%08x ", (unsigned)bits);
    }
    printf("\n");
}

static void read_memory(char *rest) {
    size_t words = strtoul(rest, &rest, 10) / sizeof(uint64_t);
    unsigned long rounds = strtoul(rest, NULL, 10);
    uint64_t *memory = malloc(words * sizeof *memory), quickest = UINT64_MAX;
    static volatile uint64_t sink;
    if (memory == NULL) rounds = 0;
    else memset(memory, 1, words * sizeof *memory);
    while (rounds--) {
        uint64_t sums[16] = {0}, begin = now_ns(), taken;
        for (size_t i = 0; i + 16 <= words; i += 16)
            for (int lane = 0; lane < 16; lane++) sums[lane] += memory[i + (size_t)lane];
        taken = now_ns() - begin;
        for (int lane = 0; lane < 16; lane++) sink += sums[lane];
        if (taken < quickest) quickest = taken;
    }
    printf("%llu\n", (unsigned long long)quickest);
    free(memory);
}

static uint8_t *read_file(const char *path, size_t *count) {
    FILE *file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0) return NULL;
    *count = (size_t)ftell(file);
    rewind(file);
    uint8_t *data = aligned_alloc(64, (*count + 63) / 64 * 64 + 64);
    if (data == NULL || fread(data, 1, *count, file) != *count) return NULL;
    fclose(file);
    return data;
}

int main(int count, char **arguments) {
    static char line[2 * sizeof bytes + 64];
    size_t size = 0;
    uint8_t *data = count > 1 ? read_file(arguments[1], &size) : NULL;
    if (data == NULL) {
        fprintf(stderr, "engine_host: cannot read %s\n", count > 1 ? arguments[1] : "a model: name one");
        return 2;
    }
    if (engine_open(data, size) != ENGINE_OK) {
        printf("bad_model %s\n", engine_why());
        free(data);
        return 1;
    }
    printf("%s\n", engine_build);
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = 0;
        if (strncmp(line, "encode ", 7) == 0) encode(line + 7);
        else if (strncmp(line, "text ", 5) == 0) text_of((uint32_t)strtoul(line + 5, NULL, 10));
        else if (strncmp(line, "generate ", 9) == 0) generate(line + 9, 0);
        else if (strncmp(line, "time ", 5) == 0) generate(line + 5, 1);
        else if (strncmp(line, "logits ", 7) == 0) logits(line + 7);
        else if (strncmp(line, "read ", 5) == 0) read_memory(line + 5);
        else printf("unknown\n");
        fflush(stdout);
    }
    free(data);
    return 0;
}
