// The thread's mode, and what libtorch says of the machine.
#include "shim.h"

#include <ATen/Context.h>
#include <ATen/Version.h>
#include <ATen/core/grad_mode.h>
#include <c10/core/InferenceMode.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

extern "C" {

void ih_free_text(char* text) { free(text); }

// Inference mode holds for the thread, from here to ih_inference_end.
void* ih_inference_begin() { return new c10::InferenceMode(true); }
void ih_inference_end(void* guard) { delete static_cast<c10::InferenceMode*>(guard); }

// While a model is read, what is freed goes back to the system at once (1): tensors come and go by the hundred. While it
// runs (0), freed memory is kept, or every call would fault its pages in again.
void ih_return_memory(int at_once) {
#ifdef __GLIBC__
  const int mebibyte = 1 << 20;
  mallopt(M_MMAP_THRESHOLD, at_once ? mebibyte : 32 * mebibyte);
  mallopt(M_TRIM_THRESHOLD, at_once ? mebibyte : 512 * mebibyte);
  malloc_trim(0);
#endif
}

// Whether libtorch has oneDNN and may use it.
int ih_has_onednn() { return at::hasMKLDNN() && at::globalContext().userEnabledMkldnn(); }

// The vector instructions that libtorch's own kernels were chosen for: AVX512, AVX2, DEFAULT.
char* ih_cpu_capability() {
  char* error = nullptr;
  char* text = ih_guarded<char*>(nullptr, &error, [] { return ih_text(at::get_cpu_capability()); });
  free(error);
  return text;
}

void ih_allow_tf32(int allow) {
  char* error = nullptr;
  ih_guarded<int>(1, &error, [&] {
    at::globalContext().setAllowTF32CuBLAS(allow != 0);
    return 0;
  });
  free(error);
}

// A stream of CUDA device `index` that is kept for the life of the process, and in *native the driver's handle of it.
void* ih_own_stream(int index, void** native, char** error) {
  return ih_guarded<void*>(nullptr, error, [&]() -> void* {
    const auto* guard = c10::impl::getDeviceGuardImpl(c10::DeviceType::CUDA);
    c10::Device device(c10::DeviceType::CUDA, static_cast<c10::DeviceIndex>(index));
    auto* stream = new c10::Stream(guard->getStreamFromGlobalPool(device, /*isHighPriority=*/false));
    *native = guard->getStreamNativeHandle(*stream);
    return stream;
  });
}

// This thread's work goes to `stream` from here on.
void ih_stream_enter(void* stream) {
  char* error = nullptr;
  ih_guarded<int>(1, &error, [&] {
    const auto& entered = *static_cast<c10::Stream*>(stream);
    const auto* guard = c10::impl::getDeviceGuardImpl(c10::DeviceType::CUDA);
    guard->setDevice(entered.device());
    guard->exchangeStream(entered);
    return 0;
  });
  free(error);
}

}
