/* Reads the GGUF file where it lies, and compares what it says with what this was built for. */
#include "model_file.h"

#include "gguf_reader.h"
#include "tables.h"
#include "rounding.h"
#include "why.h"

model_weights model;

static const struct {
    const char *key;
    uint32_t value;
} wanted[] = {
    {"llama.embedding_length", MODEL_WIDTH},          {"llama.block_count", MODEL_LAYERS},
    {"llama.attention.head_count", MODEL_HEADS},      {"llama.attention.head_count_kv", MODEL_KV_HEADS},
    {"llama.feed_forward_length", MODEL_HIDDEN},      {"tokenizer.ggml.bos_token_id", MODEL_BOS},
    {"tokenizer.ggml.eos_token_id", MODEL_EOS},
};

static const struct {
    const char *name;
    uint32_t rows, columns;
} layer_matrix[LAYER_MATRICES] = {
    [ATTN_Q] = {"attn_q.weight", MODEL_WIDTH, MODEL_WIDTH},
    [ATTN_K] = {"attn_k.weight", MODEL_KV_WIDTH, MODEL_WIDTH},
    [ATTN_V] = {"attn_v.weight", MODEL_KV_WIDTH, MODEL_WIDTH},
    [ATTN_OUTPUT] = {"attn_output.weight", MODEL_WIDTH, MODEL_WIDTH},
    [FFN_GATE] = {"ffn_gate.weight", MODEL_HIDDEN, MODEL_WIDTH},
    [FFN_UP] = {"ffn_up.weight", MODEL_HIDDEN, MODEL_WIDTH},
    [FFN_DOWN] = {"ffn_down.weight", MODEL_WIDTH, MODEL_HIDDEN},
};

static const char *read_pieces(gguf_reader *in, uint32_t type) {
    if (type != GGUF_ARRAY || gguf_u32(in) != GGUF_STRING || gguf_u64(in) != MODEL_VOCAB)
        return why("the model's vocabulary is not that of the build");
    for (uint32_t token = 0; token < MODEL_VOCAB && !in->broken; token++) {
        gguf_string piece = gguf_text(in);
        if (in->at - piece.count != piece_offset[token] || piece.count > MODEL_LONGEST_PIECE)
            return why("the model's vocabulary is not that of the build");
    }
    return NULL;
}

static const char *read_value(gguf_reader *in, uint32_t *alignment) {
    gguf_string key = gguf_text(in);
    uint32_t type = gguf_u32(in);
    if (gguf_is(key, "tokenizer.ggml.tokens")) return read_pieces(in, type);
    if (gguf_is(key, "general.alignment") && type == GGUF_UINT32) {
        *alignment = gguf_u32(in);
        return NULL;
    }
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        if (!gguf_is(key, wanted[i].key) || type != GGUF_UINT32) continue;
        uint32_t found = gguf_u32(in);
        if (found == wanted[i].value || in->broken) return NULL;
        why(wanted[i].key), why_and(" is "), why_number(found), why_and("; this was built for ");
        return why_number(wanted[i].value);
    }
    gguf_skip_value(in, type);
    return NULL;
}

typedef struct {
    gguf_string name;
    uint32_t type;
    uint64_t rows, columns, offset;
} announced;

static announced read_announced(gguf_reader *in) {
    announced tensor = {.rows = 1};
    tensor.name = gguf_text(in);
    uint32_t dimensions = gguf_u32(in);
    if (dimensions < 1 || dimensions > 2) in->broken = 1;
    tensor.columns = gguf_u64(in);
    if (dimensions == 2) tensor.rows = gguf_u64(in);
    tensor.type = gguf_u32(in);
    tensor.offset = gguf_u64(in);
    return tensor;
}

static int has_shape(const announced *tensor, uint32_t rows, uint32_t columns) {
    return tensor->rows == rows && tensor->columns == columns;
}

/* 0 for a type that this was not built for. */
static uint64_t size_of(const announced *tensor) {
    uint64_t values = tensor->rows * tensor->columns;
    if (tensor->type == TENSOR_F32) return values * sizeof(float);
    if (tensor->type == TENSOR_Q8_0) return values / BLOCK * Q8_0_BYTES;
    return tensor->type == TENSOR_Q4_0 ? values / BLOCK * Q4_0_BYTES : 0;
}

/* Where a matrix of this name and shape belongs; NULL for any other. */
static matrix *place_of(const announced *tensor, gguf_string rest, layer_weights *layer) {
    if (layer == NULL) {
        if (!has_shape(tensor, MODEL_VOCAB, MODEL_WIDTH)) return NULL;
        if (gguf_is(rest, "token_embd.weight")) return &model.embedding;
        return gguf_is(rest, "output.weight") && !MODEL_TIED ? &model.output : NULL;
    }
    for (int i = 0; i < LAYER_MATRICES; i++)
        if (gguf_is(rest, layer_matrix[i].name))
            return has_shape(tensor, layer_matrix[i].rows, layer_matrix[i].columns) ? &layer->matrices[i] : NULL;
    return NULL;
}

static const float **norm_of(const announced *tensor, gguf_string rest, layer_weights *layer) {
    if (!has_shape(tensor, 1, MODEL_WIDTH) || tensor->type != TENSOR_F32) return NULL;
    if (layer == NULL) return gguf_is(rest, "output_norm.weight") ? &model.output_norm : NULL;
    if (gguf_is(rest, "attn_norm.weight")) return &layer->attention_norm;
    return gguf_is(rest, "ffn_norm.weight") ? &layer->feed_forward_norm : NULL;
}

/* Cuts `blk.3.` off a name and returns that layer; NULL with the name whole for what is in no layer. */
static layer_weights *layer_of(gguf_string *name) {
    uint32_t index = 0;
    size_t at = 4;
    if (name->count < 7 || memcmp(name->text, "blk.", 4) != 0) return NULL;
    while (at < name->count && name->text[at] >= '0' && name->text[at] <= '9' && index < MODEL_LAYERS)
        index = index * 10 + (uint32_t)(name->text[at++] - '0');
    if (at == name->count || name->text[at] != '.' || index >= MODEL_LAYERS) return NULL;
    name->text += at + 1;
    name->count -= at + 1;
    return &model.layers[index];
}

static const char *keep(const announced *tensor, const uint8_t *data, uint64_t room) {
    gguf_string rest = tensor->name;
    layer_weights *layer = layer_of(&rest);
    uint64_t size = tensor->rows > MODEL_BYTES || tensor->columns > MODEL_BYTES ? 0 : size_of(tensor);
    matrix *place = place_of(tensor, rest, layer);
    const float **norm = norm_of(tensor, rest, layer);
    const char *wrong = place == NULL && norm == NULL ? " is not one of the build's" : NULL;
    if (size == 0) wrong = " is of a type or shape that the engine does not read";
    else if (tensor->offset > room || size > room - tensor->offset) wrong = " lies beyond the end of the file";
    else if (tensor->offset % 32) wrong = " is not aligned";
    if (wrong) {
        why("tensor "), why_bytes(tensor->name.text, tensor->name.count > 40 ? 40 : tensor->name.count);
        return why_and(wrong);
    }
    if (norm) *norm = (const float *)(const void *)(data + tensor->offset);
    else *place = (matrix){data + tensor->offset, tensor->type};
    return NULL;
}

static const char *read_tensors(gguf_reader *in, uint64_t count, uint32_t alignment) {
    gguf_reader ahead = *in;
    for (uint64_t i = 0; i < count && !ahead.broken; i++) read_announced(&ahead);
    uint64_t begin = ((uint64_t)ahead.at + alignment - 1) / alignment * alignment;
    if (ahead.broken || begin > in->bytes) return why("the model's header is cut short or corrupt");
    for (uint64_t i = 0; i < count; i++) {
        announced tensor = read_announced(in);
        const char *wrong = keep(&tensor, in->file + begin, in->bytes - begin);
        if (wrong) return wrong;
    }
    return NULL;
}

/* Every type of matrix that is here must be one that the kernels were compiled for. */
static int usable(const matrix *found) {
    return found->rows && ((found->type == TENSOR_F32 && MODEL_HAS_F32) || (found->type == TENSOR_Q8_0 && MODEL_HAS_Q8_0) ||
                           (found->type == TENSOR_Q4_0 && MODEL_HAS_Q4_0));
}

static const char *check_all_there(void) {
    int whole = model.output_norm && model.embedding.rows;
    if (MODEL_TIED) model.output = model.embedding;
    whole = whole && usable(&model.output);
    for (int l = 0; l < MODEL_LAYERS; l++) {
        whole = whole && model.layers[l].attention_norm && model.layers[l].feed_forward_norm;
        for (int i = 0; i < LAYER_MATRICES; i++) whole = whole && usable(&model.layers[l].matrices[i]);
    }
    return whole ? NULL : why("the model lacks a tensor, or has one of another type than the build's");
}

static uint32_t crc32(const uint8_t *bytes, size_t count) {
    static const uint32_t table[16] = {0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
                                       0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
                                       0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};
    uint32_t crc = 0xffffffff;
    for (size_t i = 0; i < count; i++) {
        crc ^= bytes[i];
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc;
}

static const char *read_header(gguf_reader *in) {
    uint32_t alignment = 32;
    if (gguf_u32(in) != 0x46554747u) return why("the model is no GGUF file");
    uint32_t version = gguf_u32(in);
    if (version != 3) {
        why("the model is GGUF version ");
        why_number(version);
        return why_and("; only 3 is supported");
    }
    uint64_t tensors = gguf_u64(in), values = gguf_u64(in);
    for (uint64_t i = 0; i < values && !in->broken; i++) {
        const char *wrong = read_value(in, &alignment);
        if (wrong) return wrong;
    }
    if (in->broken || alignment == 0 || alignment > 4096 || alignment % 32)
        return why("the model's header is cut short or corrupt");
    return read_tensors(in, tensors, alignment);
}

const char *model_find(const uint8_t *file, size_t bytes) {
    gguf_reader in = {file, bytes, 0, 0};
    memset(&model, 0, sizeof model);
    if ((uintptr_t)file % sizeof(float)) return why("the model does not lie on a multiple of four bytes");
    model.file = file;
    const char *wrong = read_header(&in);
    if (!wrong) wrong = check_all_there();
    if (!wrong && bytes != MODEL_BYTES) {
        why("the model has "), why_number(bytes), why_and(" bytes; this was built for ");
        wrong = why_number(MODEL_BYTES);
    }
    if (!wrong && crc32(file, bytes) != MODEL_CRC32) wrong = why("the model's bytes are not those of the build: its CRC-32 differs");
    return wrong;
}
