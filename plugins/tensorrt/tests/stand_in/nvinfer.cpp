// A stand-in for TensorRT's runtime, for tests: engines of a text form of our own, that compute `decoder.h`; `oracle.rs`
// computes the same from tokens alone. What TensorRT leaves undefined ends the program with a line that says what; what the
// plugin is known never to call does, too (`refused.h`, made of TensorRT's headers).
#include <NvInfer.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <sstream>

#include "cuda.h"
#include "decoder.h"

[[noreturn]] void refuse(const std::string &what) {
    fprintf(stderr, "stand-in for TensorRT: %s\n", what.c_str());
    abort();
}

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
