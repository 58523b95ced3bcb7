/* A stand-in for CUDA's libraries, for tests: two devices whose memory is the host's and whose kernels do nothing, so that
 * ONNX Runtime's real CUDA provider loads, takes nodes and runs. With INFERHOST_CUDA_TRACE, calls are told on stderr.
 * All other functions that the provider needs are made by the test: they do nothing and succeed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SUCCESS = 0, INVALID_DEVICE = 101, DEVICES = 2, DEVICE_TO_HOST = 2 };

/* cudaDeviceProp of CUDA 13 is 1,008 bytes; these are where what is asked for lies. */
enum { TOTAL_MEMORY = 288, SHARED_PER_BLOCK = 296, REGISTERS = 304, WARP = 308, THREADS = 320, THREADS_DIM = 324, GRID = 336,
       MAJOR = 360, MINOR = 364, PROCESSORS = 384, THREADS_PER_PROCESSOR = 604, SHARED_PER_PROCESSOR = 624, SHARED_OPTIN = 672,
       PROPERTIES = 1008 };

static int capturing;
static size_t handles = 4096;

static void tell(const char *call) {
    if (getenv("INFERHOST_CUDA_TRACE")) fprintf(stderr, "cuda: %s%s\n", call, capturing ? " (captured)" : "");
}

static int made(void **handle) {
    *handle = (void *)++handles;
    return SUCCESS;
}

static int taken(void **start, size_t bytes, const char *call) {
    tell(call);
    *start = aligned_alloc(256, (bytes + 255) / 256 * 256);
    return *start ? SUCCESS : 2;
}

static void put(char *properties, int at, int value) { memcpy(properties + at, &value, sizeof value); }

int cudaGetDeviceCount(int *count) { *count = DEVICES; return SUCCESS; }
int cudaGetDevice(int *device) { *device = 0; return SUCCESS; }
int cudaSetDevice(int device) { return device < DEVICES ? SUCCESS : INVALID_DEVICE; }
int cudaDriverGetVersion(int *version) { *version = 13000; return SUCCESS; }
int cudaRuntimeGetVersion(int *version) { *version = 13000; return SUCCESS; }
int cudaMemGetInfo(size_t *available, size_t *total) { *total = (size_t)8 << 30; *available = *total; return SUCCESS; }
int cudaDeviceGetAttribute(int *value, int which, int device) { *value = which == 16 ? 132 : 1; return SUCCESS; }

int cudaGetDeviceProperties(char *properties, int device) {
    const size_t memory = (size_t)8 << 30, shared = 49152, shared_all = 233472, shared_optin = 232448;
    memset(properties, 0, PROPERTIES);
    strcpy(properties, "stand-in");
    memcpy(properties + TOTAL_MEMORY, &memory, sizeof memory);
    memcpy(properties + SHARED_PER_BLOCK, &shared, sizeof shared);
    memcpy(properties + SHARED_PER_PROCESSOR, &shared_all, sizeof shared_all);
    memcpy(properties + SHARED_OPTIN, &shared_optin, sizeof shared_optin);
    put(properties, REGISTERS, 65536);
    put(properties, WARP, 32);
    put(properties, THREADS, 1024);
    put(properties, THREADS_DIM, 1024);
    put(properties, GRID, 2147483647);
    put(properties, MAJOR, 9);
    put(properties, MINOR, 0);
    put(properties, PROCESSORS, 132);
    put(properties, THREADS_PER_PROCESSOR, 2048);
    return SUCCESS;
}

int cudaMalloc(void **start, size_t bytes) { return taken(start, bytes, "malloc"); }
int cudaMallocHost(void **start, size_t bytes) { return taken(start, bytes, "malloc of the host"); }
int cudaHostAlloc(void **start, size_t bytes, unsigned flags) { return taken(start, bytes, "malloc of the host"); }
int cudaMallocFromPoolAsync(void **start, size_t bytes, void *pool, void *stream) { return taken(start, bytes, "malloc"); }
int cudaFree(void *start) { free(start); return SUCCESS; }
int cudaFreeHost(void *start) { free(start); return SUCCESS; }
int cudaFreeAsync(void *start, void *stream) { free(start); return SUCCESS; }

int cudaMemcpy(void *to, const void *from, size_t bytes, int kind) {
    tell("copy");
    memcpy(to, from, bytes);
    return SUCCESS;
}

int cudaMemcpyAsync(void *to, const void *from, size_t bytes, int kind, void *stream) {
    tell(kind == DEVICE_TO_HOST ? "copy to the host" : "copy of a stream");
    memcpy(to, from, bytes);
    return SUCCESS;
}

int cudaMemset(void *start, int value, size_t bytes) { tell("fill"); memset(start, value, bytes); return SUCCESS; }
int cudaMemsetAsync(void *start, int value, size_t bytes, void *stream) { memset(start, value, bytes); return SUCCESS; }

int cudaStreamCreate(void **stream) { return made(stream); }
int cudaStreamCreateWithFlags(void **stream, unsigned flags) { return made(stream); }
int cudaEventCreate(void **event) { return made(event); }
int cudaEventCreateWithFlags(void **event, unsigned flags) { return made(event); }
int cudaStreamSynchronize(void *stream) { tell("wait"); return SUCCESS; }
int cudaDeviceSynchronize(void) { tell("wait for the device"); return SUCCESS; }

int cudaStreamBeginCapture(void *stream, int mode) { tell("begin"); capturing = 1; return SUCCESS; }
int cudaStreamEndCapture(void *stream, void **graph) { capturing = 0; tell("end"); return made(graph); }
int cudaStreamIsCapturing(void *stream, int *status) { *status = capturing; return SUCCESS; }
int cudaGraphInstantiate(void **graph, void *of, unsigned long long flags) { return made(graph); }
int cudaGraphLaunch(void *graph, void *stream) { tell("launch"); return SUCCESS; }

int cudaLaunchKernel(const void *kernel) { tell("kernel"); return SUCCESS; }
int cudaLaunchKernelExC(void *config) { tell("kernel"); return SUCCESS; }
int __cudaLaunchKernel(void *kernel) { tell("kernel"); return SUCCESS; }
int cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *blocks) { *blocks = 2; return SUCCESS; }
int cudaFuncGetAttributes(void *attributes, const void *kernel) { memset(attributes, 0, 64); return SUCCESS; }
int cudaPointerGetAttributes(int *attributes, const void *start) { memset(attributes, 0, 24); *attributes = 2; return SUCCESS; }
int cudaGetDriverEntryPointByVersion(const char *name, void **entry) { *entry = NULL; return SUCCESS; }
const char *cudaGetErrorString(int code) { return code == INVALID_DEVICE ? "invalid device ordinal" : "stand-in"; }
const char *cudaGetErrorName(int code) { return "stand-in"; }
void **__cudaRegisterFatBinary(void *binary) { static void *handle[1]; return handle; }
