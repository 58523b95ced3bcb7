// What follows a run of the engine on the device: the likeliest token of each row, which is at once the next step's
// input, and the logprob of given tokens. `kernels.ptx` is made of this file by `compile.py`.

typedef unsigned short half_bits;
struct bfloat_bits {
    unsigned short bits;
};

__device__ float widened(float value) { return value; }

__device__ float widened(half_bits value) {
    float wide;
    asm("cvt.f32.f16 %0, %1;" : "=f"(wide) : "h"(value));
    return wide;
}

__device__ float widened(bfloat_bits value) { return __uint_as_float((unsigned)value.bits << 16); }

constexpr unsigned WARP = 32;
constexpr unsigned EVERYONE = 0xffffffff;
// In place of a token: where a logit is NaN or the largest is not finite, and where no logprob is asked for.
constexpr unsigned NONE = 0xffffffff;

__device__ float infinity() { return __uint_as_float(0x7f800000); }

// The first of the largest, as far as it is known.
struct Best {
    float value;
    unsigned index;
    bool is_sound;
};

__device__ Best better(Best a, Best b) {
    bool second = b.value > a.value || (b.value == a.value && b.index < a.index);
    Best best = second ? b : a;
    best.is_sound = a.is_sound && b.is_sound;
    return best;
}

__device__ Best shifted(Best own, unsigned by) {
    Best other;
    other.value = __shfl_xor_sync(EVERYONE, own.value, by);
    other.index = __shfl_xor_sync(EVERYONE, own.index, by);
    other.is_sound = __shfl_xor_sync(EVERYONE, (int)own.is_sound, by);
    return other;
}

__device__ double shifted(double own, unsigned by) { return __shfl_xor_sync(EVERYONE, own, by); }

__device__ double added(double a, double b) { return a + b; }

// What `join` makes of the values of all threads of a block, whose number is a multiple of 32; for every thread.
template <typename T, typename Join>
__device__ T reduced(T own, Join join) {
    __shared__ T of_warps[WARP];
    for (unsigned by = WARP / 2; by > 0; by /= 2) own = join(own, shifted(own, by));
    __syncthreads();
    if (threadIdx.x % WARP == 0) of_warps[threadIdx.x / WARP] = own;
    __syncthreads();
    own = of_warps[0];
    for (unsigned warp = 1; warp < blockDim.x / WARP; warp++) own = join(own, of_warps[warp]);
    return own;
}

template <typename T>
__device__ Best largest(const T *logits, unsigned vocab) {
    Best best = {-infinity(), NONE, true};
    for (unsigned at = threadIdx.x; at < vocab; at += blockDim.x) {
        float value = widened(logits[at]);
        best.is_sound = best.is_sound && value == value;
        if (value > best.value) {
            best.value = value;
            best.index = at;
        }
    }
    best = reduced(best, better);
    best.is_sound = best.is_sound && fabsf(best.value) < infinity();
    return best;
}

// A block per row: the likeliest token after the last of `kept` positions of `logits` [rows, kept, vocab], for the host
// and as the next step's input_ids [rows, 1]; with position_ids [rows, 1] and attention_mask [rows, total] of that step,
// whose rows have `padding` [rows] positions on the left.
template <typename T>
__device__ void next_token(const T *logits, unsigned kept, unsigned vocab, const unsigned *padding, unsigned total,
                           unsigned *tokens, long long *ids, long long *positions, long long *mask) {
    size_t row = blockIdx.x;
    Best best = largest(logits + (row * kept + kept - 1) * vocab, vocab);
    for (unsigned at = threadIdx.x; at < total; at += blockDim.x) mask[row * total + at] = at >= padding[row];
    if (threadIdx.x == 0) {
        tokens[row] = best.is_sound ? best.index : NONE;
        ids[row] = best.is_sound ? best.index : 0;
        positions[row] = (long long)total - 1 - padding[row];
    }
}

// A block per position: ln p of the token `next` [positions] by `logits` [positions, vocab]; NaN where a logit is NaN or
// the largest is not finite, 0 where `next` is none.
template <typename T>
__device__ void logprob(const T *logits, unsigned vocab, const unsigned *next, double *logprobs) {
    size_t position = blockIdx.x;
    if (next[position] == NONE) {
        if (threadIdx.x == 0) logprobs[position] = 0.0;
        return;
    }
    const T *own = logits + position * vocab;
    Best best = largest(own, vocab);
    double sum = 0.0;
#pragma unroll 1
    for (unsigned at = threadIdx.x; at < vocab; at += blockDim.x)
        sum += exp((double)widened(own[at]) - (double)best.value);
    sum = reduced(sum, added);
    if (threadIdx.x == 0) {
        double chosen = (double)widened(own[next[position]]) - (double)best.value - log(sum);
        logprobs[position] = best.is_sound ? chosen : __longlong_as_double(0x7ff8000000000000ll);
    }
}

#define FOR_TYPE(NAME, T)                                                                                             \
    extern "C" __global__ void next_token_##NAME(const T *logits, unsigned kept, unsigned vocab,                      \
                                                 const unsigned *padding, unsigned total, unsigned *tokens,           \
                                                 long long *ids, long long *positions, long long *mask) {             \
        next_token(logits, kept, vocab, padding, total, tokens, ids, positions, mask);                                \
    }                                                                                                                 \
    extern "C" __global__ void logprob_##NAME(const T *logits, unsigned vocab, const unsigned *next,                  \
                                              double *logprobs) {                                                     \
        logprob(logits, vocab, next, logprobs);                                                                       \
    }

FOR_TYPE(f32, float)
FOR_TYPE(f16, half_bits)
FOR_TYPE(bf16, bfloat_bits)
