// The stand-in's engines and the decoder that they compute, every logit of which depends on every token before it, on its
// place and on the mask. All of it is arithmetic of whole numbers, so that the same comes out whatever the types.
#pragma once

#include <NvInfer.h>

#include <cmath>
#include <cstring>
#include <map>
#include <string>
#include <vector>

[[noreturn]] void refuse(const std::string &what);

struct Profile {
    int64_t batch[2], tokens[2], past[2];
};

struct Plan {
    int64_t layers = 1, kv_heads = 1, head_size = 1, vocab = 1, activations = 0, not_a_number = -1, infinite = -1;
    nvinfer1::DataType cache = nvinfer1::DataType::kFLOAT, logits = nvinfer1::DataType::kFLOAT;
    std::string keep = "host";
    std::vector<Profile> profiles;

    int64_t width() const { return kv_heads * head_size; }
};

inline size_t size_of(nvinfer1::DataType type) { return type == nvinfer1::DataType::kFLOAT ? 4 : type == nvinfer1::DataType::kINT64 ? 8 : 2; }

inline nvinfer1::DataType type_named(const std::string &name) {
    return name == "f16" ? nvinfer1::DataType::kHALF : name == "bf16" ? nvinfer1::DataType::kBF16 : nvinfer1::DataType::kFLOAT;
}

// Numbers that all three types hold exactly, and what is none.
inline void write(nvinfer1::DataType type, void *to, size_t at, float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    if (type == nvinfer1::DataType::kFLOAT) ((float *)to)[at] = value;
    if (type == nvinfer1::DataType::kBF16) ((uint16_t *)to)[at] = bits >> 16;
    if (type != nvinfer1::DataType::kHALF) return;
    uint16_t half = 0;
    if (!std::isfinite(value)) {
        half = std::isnan(value) ? 0x7e00 : 0x7c00;
    } else if (value != 0) {
        half = ((bits >> 23) - 112) << 10 | (bits >> 13 & 1023);
    }
    ((uint16_t *)to)[at] = half;
}

inline float read(nvinfer1::DataType type, const void *from, size_t at) {
    if (type == nvinfer1::DataType::kFLOAT) return ((const float *)from)[at];
    uint16_t narrow = ((const uint16_t *)from)[at];
    uint32_t bits = (uint32_t)narrow << 16;
    float value;
    memcpy(&value, &bits, 4);
    if (type == nvinfer1::DataType::kBF16) return value;
    int exponent = narrow >> 10 & 31;
    return exponent == 0 ? std::ldexp((float)(narrow & 1023), -24)
                         : std::ldexp((float)((narrow & 1023) | 1024), exponent - 25);
}

inline uint32_t mix(uint32_t a, uint32_t b) {
    uint32_t hash = a ^ b * 0x9e3779b1u;
    hash = (hash ^ hash >> 15) * 0x85ebca77u;
    hash = (hash ^ hash >> 13) * 0xc2b2ae3du;
    return hash ^ hash >> 16;
}

// What a run was asked for with.
struct Run {
    Plan plan;
    int64_t batch, tokens, past;
    std::map<std::string, void *> places;
    int64_t kept;

    size_t cache_bytes(int64_t positions) const { return batch * plan.width() * positions * size_of(plan.cache); }

    void *place(const std::string &name) const { return places.at(name); }

    // Of [batch, heads, positions, size].
    size_t index(int64_t row, int64_t unit, int64_t position, int64_t positions) const {
        int64_t head = unit / plan.head_size, at = unit % plan.head_size;
        return ((row * plan.kv_heads + head) * positions + position) * plan.head_size + at;
    }

    void copy_past(const std::string &name) const {
        int64_t total = past + tokens;
        const void *from = place("past_key_values." + name);
        void *to = place("present." + name);
        for (int64_t row = 0; row < batch; row++)
            for (int64_t unit = 0; unit < plan.width(); unit++)
                for (int64_t at = 0; at < past; at++)
                    write(plan.cache, to, index(row, unit, at, total),
                          read(plan.cache, from, index(row, unit, at, past)));
    }

    uint32_t attended(int64_t row, int64_t position, int64_t layer, uint32_t state) const {
        int64_t total = past + tokens;
        auto mask = (const int64_t *)place("attention_mask") + row * total;
        uint32_t sum = 0;
        for (int part = 0; part < 2; part++) {
            void *cache = place("present." + std::to_string(layer) + (part ? ".value" : ".key"));
            for (int64_t at = 0; at <= position; at++) {
                if (mask[at] != 0 && mask[at] != 1) refuse("a mask of neither 0 nor 1");
                for (int64_t unit = 0; mask[at] && unit < plan.width(); unit++) {
                    float value = read(plan.cache, cache, index(row, unit, at, total));
                    if (!(value >= 0 && value < 64 && value == std::floor(value))) refuse("rubbish in the cache");
                    sum += (uint32_t)value * (mix(state, 2 * unit + part) % 97);
                }
            }
        }
        return sum;
    }

    void operator()() const {
        int64_t total = past + tokens;
        auto ids = (const int64_t *)place("input_ids"), positions = (const int64_t *)place("position_ids");
        std::vector<uint32_t> states(batch * tokens);
        for (int64_t at = 0; at < batch * tokens; at++) {
            if (ids[at] < 0 || ids[at] >= plan.vocab) refuse("a token outside of the vocabulary");
            states[at] = mix(ids[at], positions[at]);
        }
        for (int64_t layer = 0; layer < plan.layers; layer++) {
            for (int part = 0; part < 2; part++) {
                auto name = std::to_string(layer) + (part ? ".value" : ".key");
                copy_past(name);
                for (int64_t at = 0; at < batch * tokens; at++)
                    for (int64_t unit = 0; unit < plan.width(); unit++)
                        write(plan.cache, place("present." + name),
                              index(at / tokens, unit, past + at % tokens, total),
                              mix(mix(states[at], 2 * layer + part), unit) % 64);
            }
            auto before = states;
            for (int64_t at = 0; at < batch * tokens; at++)
                states[at] = mix(before[at], attended(at / tokens, past + at % tokens, layer, before[at]));
        }
        void *logits = place("logits");
        for (int64_t row = 0; row < batch; row++)
            for (int64_t at = 0; at < kept; at++)
                for (int64_t token = 0; token < plan.vocab; token++) {
                    int64_t from = row * tokens + tokens - kept + at;
                    float value = mix(states[from], token) % 256 / 8.0f;
                    if (ids[from] == plan.not_a_number && token == 1) value = NAN;
                    if (ids[from] == plan.infinite && token == 1) value = INFINITY;
                    write(plan.logits, logits, (row * kept + at) * plan.vocab + token, value);
                }
    }
};
