// A stand-in for TensorRT's runtime, for tests: engines of a text form of our own, that compute a decoder whose every logit
// depends on every token before it, on its place and on the mask. All of it is arithmetic of whole numbers, so that the same
// comes out whatever the types; `oracle.rs` computes it from tokens alone. What TensorRT leaves undefined ends the program
// with a line that says what; what the plugin is known never to call does, too (`refused.h`, made of TensorRT's headers).
#include <NvInfer.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "cuda.h"

namespace {
[[noreturn]] void refuse(const std::string &what) {
    fprintf(stderr, "stand-in for TensorRT: %s\n", what.c_str());
    abort();
}
}  // namespace

#include "refused.h"

using namespace nvinfer1;

namespace {

ILogger *logger = nullptr;
int failing_enqueues = 0;
uint64_t contexts = 0;

bool fail(const std::string &why) {
    logger->log(ILogger::Severity::kERROR, why.c_str());
    return false;
}

struct Profile {
    int64_t batch[2], tokens[2], past[2];
};

struct Plan {
    int64_t layers = 1, kv_heads = 1, head_size = 1, vocab = 1, activations = 0, not_a_number = -1, infinite = -1;
    DataType cache = DataType::kFLOAT, logits = DataType::kFLOAT;
    std::string keep = "host";
    std::vector<Profile> profiles;

    int64_t width() const { return kv_heads * head_size; }
};

size_t size_of(DataType type) { return type == DataType::kFLOAT ? 4 : type == DataType::kINT64 ? 8 : 2; }

DataType type_named(const std::string &name) {
    return name == "f16" ? DataType::kHALF : name == "bf16" ? DataType::kBF16 : DataType::kFLOAT;
}

// Numbers that all three types hold exactly, and what is none.
void write(DataType type, void *to, size_t at, float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    if (type == DataType::kFLOAT) ((float *)to)[at] = value;
    if (type == DataType::kBF16) ((uint16_t *)to)[at] = bits >> 16;
    if (type != DataType::kHALF) return;
    uint16_t half = 0;
    if (!std::isfinite(value)) {
        half = std::isnan(value) ? 0x7e00 : 0x7c00;
    } else if (value != 0) {
        half = ((bits >> 23) - 112) << 10 | (bits >> 13 & 1023);
    }
    ((uint16_t *)to)[at] = half;
}

float read(DataType type, const void *from, size_t at) {
    if (type == DataType::kFLOAT) return ((const float *)from)[at];
    uint16_t narrow = ((const uint16_t *)from)[at];
    uint32_t bits = (uint32_t)narrow << 16;
    float value;
    memcpy(&value, &bits, 4);
    if (type == DataType::kBF16) return value;
    int exponent = narrow >> 10 & 31;
    return exponent == 0 ? std::ldexp((float)(narrow & 1023), -24)
                         : std::ldexp((float)((narrow & 1023) | 1024), exponent - 25);
}

uint32_t mix(uint32_t a, uint32_t b) {
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

// What a context has been set to; runs that were captured from it hold on to it.
struct State {
    Plan plan;
    int profile = 0;
    std::map<std::string, Dims> shapes;
    std::map<std::string, void *> places;
    void *activations = nullptr;
    int64_t activation_bytes = 0;
    // Goes up with every change of shapes or profile.
    uint64_t version = 0;
    // That of the last run.
    uint64_t ran = UINT64_MAX;
    bool is_alive = true;
};

class Context : public IExecutionContext, public Refused_VExecutionContext {
    std::shared_ptr<State> state = std::make_shared<State>();

   public:
    explicit Context(const Plan &plan) {
        mImpl = this;
        state->plan = plan;
        contexts++;
    }

    ~Context() noexcept override {
        state->is_alive = false;
        contexts--;
    }

    void setDeviceMemoryV2(void *memory, int64_t size) noexcept override {
        state->activations = memory;
        state->activation_bytes = size;
    }

    bool setOptimizationProfileAsync(int32_t index, cudaStream_t) noexcept override {
        if (index < 0 || index >= (int)state->plan.profiles.size()) return fail("no such profile");
        if (index != state->profile) {
            state->profile = index;
            state->shapes.clear();
            state->version++;
        }
        return true;
    }

    bool setInputShape(char const *name, Dims const &dims) noexcept override {
        auto found = state->shapes.find(name);
        bool is_same = found != state->shapes.end() && found->second.nbDims == dims.nbDims &&
                       std::equal(dims.d, dims.d + dims.nbDims, found->second.d);
        if (!is_same) state->version++;
        state->shapes[name] = dims;
        return true;
    }

    bool setTensorAddress(char const *name, void *data) noexcept override {
        if ((uintptr_t)data % 256 && strcmp(name, "num_logits_to_keep")) refuse(std::string(name) + " is not aligned");
        state->places[name] = data;
        return true;
    }

    bool enqueueV3(cudaStream_t stream) noexcept override {
        if (failing_enqueues > 0) {
            failing_enqueues--;
            return fail("a kernel could not be launched");
        }
        bool captures = stand_in_is_capturing(stream);
        if (captures && state->ran != state->version) return fail("a capture without a run of that shape before it");
        Checked run = asked();
        state->ran = state->version;
        auto state = this->state;
        uint64_t version = state->version;
        bool reads_keep = state->plan.keep == "device";
        stand_in_ask(stream, [=]() mutable {
            if (!state->is_alive) refuse("a run of a context that is gone");
            if (state->activation_bytes) memset(state->activations, 0x5a, state->plan.activations);
            if (reads_keep) run.kept = kept_by(*(int64_t *)run.place("num_logits_to_keep"), run.tokens);
            run.check();
            // What was captured is void once the context has had another shape.
            if (captures && version != state->version) refuse("a captured run whose context has another shape now");
            run();
        });
        return true;
    }

   private:
    struct Checked : Run {
        void check() const {
            const size_t word = 8;
            stand_in_check_device(place("input_ids"), batch * tokens * word, "input_ids");
            stand_in_check_device(place("position_ids"), batch * tokens * word, "position_ids");
            stand_in_check_device(place("attention_mask"), batch * (past + tokens) * word, "attention_mask");
            stand_in_check_device(place("logits"), batch * kept * plan.vocab * size_of(plan.logits), "logits");
            for (int64_t layer = 0; layer < plan.layers; layer++)
                for (auto part : {".key", ".value"}) {
                    auto name = std::to_string(layer) + part;
                    auto from = (char *)place("past_key_values." + name), to = (char *)place("present." + name);
                    size_t read = cache_bytes(past), written = cache_bytes(past + tokens);
                    stand_in_check_device(from, read, name.c_str());
                    stand_in_check_device(to, written, name.c_str());
                    if (read && from < to + written && to < from + read) refuse("a present over its past");
                }
        }
    };

    static int64_t kept_by(int64_t number, int64_t tokens) { return number == 0 ? tokens : std::min(number, tokens); }

    int64_t dimension(const std::string &name, int index) const {
        auto found = state->shapes.find(name);
        if (found == state->shapes.end()) refuse(name + " has no shape");
        return found->second.d[index];
    }

    // The run that was asked for, all of whose shapes agree and lie in the profile.
    Checked asked() const {
        const Plan &plan = state->plan;
        Checked run;
        run.plan = plan;
        run.places = state->places;
        run.batch = dimension("input_ids", 0);
        run.tokens = dimension("input_ids", 1);
        run.past = dimension("past_key_values.0.key", 2);
        auto same = [](bool is_same) { is_same ? void() : refuse("shapes that do not agree"); };
        same(dimension("position_ids", 0) == run.batch && dimension("position_ids", 1) == run.tokens);
        same(dimension("attention_mask", 0) == run.batch && dimension("attention_mask", 1) == run.past + run.tokens);
        std::vector<std::string> names{"input_ids", "position_ids", "attention_mask", "logits"};
        if (plan.keep != "none") names.push_back("num_logits_to_keep");
        for (int64_t layer = 0; layer < plan.layers; layer++)
            for (auto part : {".key", ".value"}) {
                auto past = "past_key_values." + std::to_string(layer) + part;
                int64_t dims[] = {run.batch, plan.kv_heads, run.past, plan.head_size};
                for (int index = 0; index < 4; index++) same(dimension(past, index) == dims[index]);
                names.push_back(past);
                names.push_back("present." + std::to_string(layer) + part);
            }
        for (auto &name : names)
            if (!run.places[name]) refuse(name + " is bound to nothing");
        auto within = [](int64_t size, const int64_t *span) { return size >= span[0] && size <= span[1]; };
        const Profile &profile = plan.profiles[state->profile];
        if (!within(run.batch, profile.batch) || !within(run.tokens, profile.tokens) || !within(run.past, profile.past))
            refuse("a shape outside of its profile");
        if (plan.activations > state->activation_bytes) refuse("too little memory for activations");
        if (plan.activations) stand_in_check_device(state->activations, plan.activations, "activations");
        run.kept = run.tokens;
        if (plan.keep == "host") {
            auto number = (int64_t *)run.place("num_logits_to_keep");
            stand_in_check_pinned(number, 8, "num_logits_to_keep");
            run.kept = kept_by(*number, run.tokens);
        }
        return run;
    }
};

class Engine : public ICudaEngine, public Refused_VCudaEngine {
    Plan plan;
    std::vector<std::string> names{"input_ids", "attention_mask", "position_ids"};

   public:
    explicit Engine(const Plan &plan) : plan(plan) {
        mImpl = this;
        if (plan.keep != "none") names.push_back("num_logits_to_keep");
        for (auto side : {"past_key_values.", "present."})
            for (int64_t layer = 0; layer < plan.layers; layer++)
                for (auto part : {".key", ".value"}) names.push_back(side + std::to_string(layer) + part);
        names.push_back("logits");
    }

    int32_t getNbIOTensors() const noexcept override { return (int32_t)names.size(); }
    char const *getIOTensorName(int32_t index) const noexcept override { return names[index].c_str(); }
    int32_t getNbOptimizationProfiles() const noexcept override { return (int32_t)plan.profiles.size(); }
    int64_t getDeviceMemorySizeV2() const noexcept override { return plan.activations; }
    int64_t getEngineStat(EngineStat) const noexcept override { return 4242; }

    TensorIOMode getTensorIOMode(char const *name) const noexcept override {
        bool is_output = !strcmp(name, "logits") || !strncmp(name, "present.", 8);
        return is_output ? TensorIOMode::kOUTPUT : TensorIOMode::kINPUT;
    }

    DataType getTensorDataType(char const *name) const noexcept override {
        if (!strcmp(name, "logits")) return plan.logits;
        return strstr(name, ".key") || strstr(name, ".value") ? plan.cache : DataType::kINT64;
    }

    TensorLocation getTensorLocation(char const *name) const noexcept override {
        bool on_host = !strcmp(name, "num_logits_to_keep") && plan.keep == "host";
        return on_host ? TensorLocation::kHOST : TensorLocation::kDEVICE;
    }

    Dims getTensorShape(char const *name) const noexcept override {
        if (!strcmp(name, "num_logits_to_keep")) return Dims{0, {}};
        if (!strcmp(name, "logits")) return Dims{3, {-1, -1, plan.vocab}};
        if (strstr(name, ".key") || strstr(name, ".value")) return Dims{4, {-1, plan.kv_heads, -1, plan.head_size}};
        return Dims{2, {-1, -1}};
    }

    Dims getProfileShape(char const *name, int32_t index, OptProfileSelector select) const noexcept override {
        int end = select == OptProfileSelector::kMIN ? 0 : 1;
        const Profile &profile = plan.profiles[index];
        if (!strcmp(name, "input_ids")) return Dims{2, {profile.batch[end], profile.tokens[end]}};
        return Dims{4, {profile.batch[end], plan.kv_heads, profile.past[end], plan.head_size}};
    }

    IExecutionContext *createExecutionContext(ExecutionContextAllocationStrategy strategy) noexcept override {
        if (strategy != ExecutionContextAllocationStrategy::kUSER_MANAGED) refuse("a context with memory of its own");
        return new Context(plan);
    }
};

class Runtime : public IRuntime, public Refused_VRuntime {
   public:
    Runtime() { mImpl = this; }

    void setEngineHostCodeAllowed(bool) noexcept override {}

    ICudaEngine *deserializeCudaEngine(void const *blob, size_t size) noexcept override {
        std::istringstream text(std::string((const char *)blob, size));
        std::string key;
        Plan plan;
        std::getline(text, key);
        if (key != "stand-in plan") {
            fail("the engine plan file is not compatible with this version of TensorRT");
            return nullptr;
        }
        std::map<std::string, int64_t *> numbers{
            {"layers", &plan.layers},       {"kv_heads", &plan.kv_heads},   {"head_size", &plan.head_size},
            {"vocab", &plan.vocab},         {"nan", &plan.not_a_number},    {"infinite", &plan.infinite},
            {"activations", &plan.activations},
        };
        while (text >> key) {
            std::string word;
            if (numbers.contains(key)) {
                text >> *numbers[key];
            } else if (key == "profile") {
                Profile &to = plan.profiles.emplace_back();
                for (auto span : {to.batch, to.tokens, to.past}) text >> span[0] >> span[1];
            } else {
                text >> word;
                if (key == "keep") plan.keep = word;
                if (key == "cache") plan.cache = type_named(word);
                if (key == "logits") plan.logits = type_named(word);
            }
        }
        return new Engine(plan);
    }
};

}  // namespace

extern "C" {

int32_t getInferLibVersion() noexcept { return NV_TENSORRT_VERSION; }
int32_t getInferLibMajorVersion() noexcept { return NV_TENSORRT_MAJOR; }
int32_t getInferLibMinorVersion() noexcept { return NV_TENSORRT_MINOR; }
int32_t getInferLibPatchVersion() noexcept { return NV_TENSORRT_PATCH; }
int32_t getInferLibBuildVersion() noexcept { return NV_TENSORRT_BUILD; }

void *createInferRuntime_INTERNAL(void *given, int32_t) noexcept {
    logger = (ILogger *)given;
    return static_cast<IRuntime *>(new Runtime);
}

void stand_in_fail_enqueues(int count) { failing_enqueues = count; }
uint64_t stand_in_contexts() { return contexts; }

}  // extern "C"
