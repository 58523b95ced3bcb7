// An AOTInductor package is linked against libtorch.so, which holds nothing: it pulls libtorch_cpu, which is loaded, and,
// in builds with CUDA, libtorch_cuda, which is not wanted for the CPU. This one, under the same SONAME, takes its place.
extern const int inferhost_stands_in_for_libtorch;
const int inferhost_stands_in_for_libtorch = 1;
