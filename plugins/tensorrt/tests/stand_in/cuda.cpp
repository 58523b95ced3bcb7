// A stand-in for the CUDA driver, for tests on machines without one. One device, whose memory is the host's and holds rubbish
// when it is allocated. Work that is given to a stream waits there until somebody synchronises, as late as CUDA may do it, so that
// a result that is read too early, or memory that is written again too early, shows. The plugin's kernels are compiled for the
// host from their own source. What a program may not do ends it, with a line that says what.
#include "cuda.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <vector>

namespace {

using Work = std::function<void()>;

struct Stream {
    std::vector<Work> waiting, captured;
    bool captures = false;
};

struct Graph {
    std::vector<Work> works;
};

enum Kind { DEVICE, PINNED };

std::map<char *, std::pair<size_t, Kind>> allocations;
std::vector<Stream *> streams;
size_t held = 0, limit = SIZE_MAX;
bool has_context = false, captures_fail = false;
Counters counted;

[[noreturn]] void refuse(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "stand-in for CUDA: ");
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    va_end(arguments);
    abort();
}

void need_context(const char *what) {
    if (!has_context) refuse("%s without a current context", what);
}

// That `bytes` from `start` on lie in one allocation.
void check(const void *start, size_t bytes, Kind kind, const char *what) {
    auto after = allocations.upper_bound((char *)start);
    if (after != allocations.begin()) {
        auto &[begin, block] = *std::prev(after);
        if (block.second == kind && (char *)start + bytes <= begin + block.first) return;
    }
    refuse("%s: %zu bytes at %p lie in no allocation of that kind", what, bytes, start);
}

void run(Stream *stream) {
    auto works = std::move(stream->waiting);
    stream->waiting.clear();
    for (auto &work : works) work();
}

void run_all() {
    for (auto stream : streams) {
        if (stream->captures) refuse("something that waits for the device while a stream captures");
        run(stream);
    }
}

int allocate(void **to, size_t bytes, Kind kind) {
    need_context("an allocation");
    if (kind == DEVICE && held + bytes > limit) return 2;  // CUDA_ERROR_OUT_OF_MEMORY
    char *start = (char *)aligned_alloc(256, (bytes + 255) / 256 * 256);
    memset(start, 0xa5, bytes);
    allocations[start] = {bytes, kind};
    if (kind == DEVICE) held += bytes;
    (kind == DEVICE ? counted.device_allocations : counted.pinned_allocations) += 1;
    counted.device_bytes = held;
    *to = start;
    return 0;
}

int release(void *start, Kind kind) {
    need_context("freeing");
    run_all();
    auto found = allocations.find((char *)start);
    if (found == allocations.end() || found->second.second != kind) refuse("freeing what was not allocated");
    if (kind == DEVICE) held -= found->second.first;
    counted.device_bytes = held;
    allocations.erase(found);
    free(start);
    return 0;
}

}  // namespace

extern "C" {

Counters *stand_in_counters() { return &counted; }
void stand_in_limit_memory(size_t bytes) { limit = bytes; }
void stand_in_fail_captures(int fail) { captures_fail = fail; }

void stand_in_ask(void *stream, Work work) {
    auto own = (Stream *)stream;
    (own->captures ? own->captured : own->waiting).push_back(std::move(work));
}

int stand_in_is_capturing(void *stream) { return ((Stream *)stream)->captures; }
void stand_in_check_device(const void *start, size_t bytes, const char *what) { check(start, bytes, DEVICE, what); }
void stand_in_check_pinned(const void *start, size_t bytes, const char *what) { check(start, bytes, PINNED, what); }

int cuInit(unsigned) { return 0; }
int cuDriverGetVersion(int *version) { return *version = 13000, 0; }
int cuDeviceGetCount(int *count) { return *count = 1, 0; }
int cuDeviceGet(int *device, int ordinal) { return *device = ordinal, ordinal == 0 ? 0 : 101; }
int cuDeviceGetName(char *name, int length, int) { return snprintf(name, length, "Stand-in"), 0; }
int cuDeviceTotalMem_v2(size_t *bytes, int) { return *bytes = size_t(1) << 34, 0; }

int cuDeviceGetAttribute(int *value, int attribute, int) {
    // Compute capability 9.0; everything else it does not have.
    *value = attribute == 75 ? 9 : 0;
    return 0;
}

int cuDevicePrimaryCtxRetain(void **context, int) { return *context = &held, 0; }
int cuDevicePrimaryCtxRelease_v2(int) { return 0; }
int cuCtxSetCurrent(void *context) { return has_context = context != nullptr, 0; }
int cuCtxGetCurrent(void **context) { return *context = has_context ? &held : nullptr, 0; }
int cuGetErrorName(int, const char **text) { return *text = "AN_ERROR", 0; }
int cuGetErrorString(int error, const char **text) { return *text = error == 2 ? "out of memory" : "an error", 0; }

int cuStreamCreate(void **stream, unsigned) {
    need_context("a stream");
    streams.push_back(new Stream);
    *stream = streams.back();
    return 0;
}

int cuStreamDestroy_v2(void *stream) {
    run((Stream *)stream);
    std::erase(streams, (Stream *)stream);
    delete (Stream *)stream;
    return 0;
}

int cuStreamSynchronize(void *stream) {
    need_context("synchronising");
    auto own = (Stream *)stream;
    if (own->captures) refuse("synchronising a stream that captures");
    counted.synchronisations += 1;
    run(own);
    return 0;
}

int cuStreamBeginCapture_v2(void *stream, int) {
    if (captures_fail) return 900;  // CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED
    ((Stream *)stream)->captures = true;
    counted.captures += 1;
    return 0;
}

int cuStreamEndCapture(void *stream, void **graph) {
    auto own = (Stream *)stream;
    *graph = new Graph{std::move(own->captured)};
    own->captured.clear();
    own->captures = false;
    return 0;
}

int cuGraphInstantiateWithFlags(void **ready, void *graph, unsigned long long) {
    *ready = new Graph(*(Graph *)graph);
    return 0;
}

int cuGraphDestroy(void *graph) { return delete (Graph *)graph, 0; }

int cuGraphExecDestroy(void *graph) {
    run_all();
    return delete (Graph *)graph, 0;
}

int cuGraphLaunch(void *graph, void *stream) {
    need_context("a graph");
    counted.graph_launches += 1;
    for (auto &work : ((Graph *)graph)->works) stand_in_ask(stream, work);
    return 0;
}

int cuMemAlloc_v2(void **to, size_t bytes) { return allocate(to, bytes, DEVICE); }
int cuMemFree_v2(void *start) { return release(start, DEVICE); }
int cuMemHostAlloc(void **to, size_t bytes, unsigned) { return allocate(to, bytes, PINNED); }
int cuMemFreeHost(void *start) { return release(start, PINNED); }

int cuMemcpyHtoDAsync_v2(void *to, const void *from, size_t bytes, void *stream) {
    need_context("a copy");
    check(from, bytes, PINNED, "a copy from the host");
    check(to, bytes, DEVICE, "a copy to the device");
    std::vector<char> asked((const char *)from, (const char *)from + bytes);
    stand_in_ask(stream, [=] {
        if (memcmp(asked.data(), from, bytes)) refuse("memory was written while a copy of it was on its way");
        counted.uploads += 1;
        counted.uploaded_bytes += bytes;
        memcpy(to, from, bytes);
    });
    return 0;
}

int cuMemcpyDtoHAsync_v2(void *to, const void *from, size_t bytes, void *stream) {
    need_context("a copy");
    check(from, bytes, DEVICE, "a copy from the device");
    check(to, bytes, PINNED, "a copy to the host");
    stand_in_ask(stream, [=] {
        counted.downloads += 1;
        counted.downloaded_bytes += bytes;
        memcpy(to, from, bytes);
    });
    return 0;
}

int cuModuleLoadData(void **module, const char *image) {
    need_context("a module");
    if (!strstr(image, ".visible .entry next_token_f32(")) refuse("a module that is not the plugin's");
    *module = &limit;
    return 0;
}

int cuModuleUnload(void *) { return 0; }

int cuModuleGetFunction(void **function, void *, const char *name) {
    *function = (void *)kernel_named(name);
    return *function ? 0 : 500;  // CUDA_ERROR_NOT_FOUND
}

int cuLaunchKernel(void *function, unsigned grid, unsigned, unsigned, unsigned block, unsigned, unsigned, unsigned,
                   void *stream, void **arguments, void **) {
    need_context("a kernel");
    counted.launches += 1;
    stand_in_ask(stream, ((const Kernel *)function)->prepared(grid, block, arguments));
    return 0;
}

}  // extern "C"
