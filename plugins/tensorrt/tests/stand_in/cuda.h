// What the parts of the stand-in for the CUDA driver share with one another and with the stand-in for TensorRT.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

// What a test reads.
struct Counters {
    uint64_t device_allocations, pinned_allocations, device_bytes, synchronisations, uploads, uploaded_bytes, downloads,
        downloaded_bytes, launches, graph_launches, captures;
};

// A kernel of the plugin's.
struct Kernel {
    const char *name;
    // Its run over `grid` blocks of `block` threads, with the arguments as they are now.
    std::function<void()> (*prepared)(unsigned grid, unsigned block, void **arguments);
};

const Kernel *kernel_named(const char *name);

extern "C" {
// Gives a stream something to do, or captures it.
void stand_in_ask(void *stream, std::function<void()> work);
int stand_in_is_capturing(void *stream);
// End the program where that many bytes do not lie in one allocation.
void stand_in_check_device(const void *start, size_t bytes, const char *what);
void stand_in_check_pinned(const void *start, size_t bytes, const char *what);
}
