// The plugin's kernels on the host: `kernels.cu` itself, whose threads are fibres that take turns. Every barrier and every
// exchange between the threads of a warp is a turn of all threads of the block, which must all come to it.
#include "cuda.h"

#include <ucontext.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace device {

struct Index {
    unsigned x;
};

Index threadIdx, blockIdx, blockDim;

const size_t STACK = 64 << 10;
const unsigned MOST = 1024;

struct Fibre {
    ucontext_t context;
    std::unique_ptr<char[]> stack{new char[STACK]};
    bool has_ended;
};

std::vector<Fibre> fibres(MOST);
ucontext_t scheduler;
std::function<void()> body;
unsigned char slots[MOST][16];

void yield() {
    Fibre &own = fibres[threadIdx.x];
    swapcontext(&own.context, &scheduler);
}

void enter() {
    body();
    fibres[threadIdx.x].has_ended = true;
    yield();
}

void run_block(unsigned block, unsigned threads) {
    blockIdx.x = block;
    blockDim.x = threads;
    for (unsigned thread = 0; thread < threads; thread++) {
        Fibre &fibre = fibres[thread];
        fibre.has_ended = false;
        getcontext(&fibre.context);
        fibre.context.uc_stack.ss_sp = fibre.stack.get();
        fibre.context.uc_stack.ss_size = STACK;
        fibre.context.uc_link = nullptr;
        makecontext(&fibre.context, enter, 0);
    }
    for (unsigned ended = 0; ended == 0;) {
        for (unsigned thread = 0; thread < threads; thread++) {
            threadIdx.x = thread;
            swapcontext(&scheduler, &fibres[thread].context);
            ended += fibres[thread].has_ended;
        }
        if (ended != 0 && ended != threads) {
            fprintf(stderr, "stand-in for CUDA: %u of %u threads ended at a barrier of the others\n", ended, threads);
            abort();
        }
    }
}

void __syncthreads() { yield(); }

template <typename T>
T __shfl_xor_sync(unsigned, T own, unsigned by) {
    unsigned thread = threadIdx.x;
    memcpy(slots[thread], &own, sizeof own);
    yield();
    memcpy(&own, slots[thread ^ by], sizeof own);
    yield();
    return own;
}

float __uint_as_float(unsigned bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

double __longlong_as_double(long long bits) {
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

// What the one line of assembler does: IEEE half precision to single.
float of_half(unsigned short bits) {
    unsigned exponent = bits >> 10 & 31, fraction = bits & 1023;
    float size = exponent == 31 ? (fraction ? NAN : INFINITY)
                 : exponent == 0 ? std::ldexp((float)fraction, -24)
                                 : std::ldexp((float)(fraction | 1024), (int)exponent - 25);
    return bits >> 15 ? -size : size;
}

#define __device__
#define __global__
#define __shared__ static
#define asm(...) wide = of_half(value)

#pragma GCC diagnostic ignored "-Wunknown-pragmas"
#include "../../src/kernels/kernels.cu"

#undef asm

}  // namespace device

namespace {

template <typename T>
T argument(void *place) {
    T value = *(T *)place;
    if constexpr (std::is_pointer_v<T>) stand_in_check_device((const void *)value, 1, "an argument of a kernel");
    return value;
}

template <auto function, typename... Arguments, size_t... index>
std::function<void()> prepare(unsigned grid, unsigned block, void **arguments, void (*)(Arguments...),
                              std::index_sequence<index...>) {
    std::tuple<Arguments...> values{argument<Arguments>(arguments[index])...};
    return [=] {
        device::body = [=] { std::apply(function, values); };
        for (unsigned at = 0; at < grid; at++) device::run_block(at, block);
    };
}

template <typename... Arguments>
std::index_sequence_for<Arguments...> indices(void (*)(Arguments...)) {
    return {};
}

template <auto function>
std::function<void()> prepared(unsigned grid, unsigned block, void **arguments) {
    return prepare<function>(grid, block, arguments, function, indices(function));
}

#define KERNEL(NAME) {#NAME, prepared<device::NAME>}

const Kernel kernels[] = {
    KERNEL(next_token_f32), KERNEL(next_token_f16), KERNEL(next_token_bf16),
    KERNEL(logprob_f32),    KERNEL(logprob_f16),    KERNEL(logprob_bf16),
};

}  // namespace

const Kernel *kernel_named(const char *name) {
    for (auto &kernel : kernels)
        if (strcmp(kernel.name, name) == 0) return &kernel;
    return nullptr;
}
