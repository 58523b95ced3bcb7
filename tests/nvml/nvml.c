/* A stand-in for NVIDIA's management library, for tests: two GPUs, the second of which holds memory of this process and
 * of the processes that its first thread started. Power alternates between 100 W and 300 W; the energy counter goes up by
 * 5 J each time it is read. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { SUCCESS = 0, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, INSUFFICIENT_SIZE = 7 };

typedef struct {
    unsigned int pid;
    unsigned long long usedGpuMemory;
    unsigned int gpuInstanceId, computeInstanceId;
} Process;

typedef struct {
    unsigned int gpu, memory;
} Utilization;

static int devices[2];

int nvmlInit_v2(void) { return SUCCESS; }
int nvmlShutdown(void) { return SUCCESS; }

int nvmlDeviceGetCount_v2(unsigned int *count) {
    *count = 2;
    return SUCCESS;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned int index, void **device) {
    if (index > 1) return INVALID_ARGUMENT;
    *device = &devices[index];
    return SUCCESS;
}

int nvmlDeviceGetComputeRunningProcesses_v3(void *device, unsigned int *count, Process *found) {
    unsigned int pids[16] = {1}, held = 1;
    if (device == &devices[1]) {
        char path[64];
        pids[0] = (unsigned int)getpid();
        snprintf(path, sizeof path, "/proc/%u/task/%u/children", pids[0], pids[0]);
        FILE *children = fopen(path, "r");
        while (children && held < 16 && fscanf(children, "%u", &pids[held]) == 1) held++;
        if (children) fclose(children);
    }
    if (*count < held) {
        *count = held;
        return INSUFFICIENT_SIZE;
    }
    *count = held;
    for (unsigned int i = 0; i < held; i++) found[i] = (Process){pids[i], 2000000000ull, ~0u, ~0u};
    return SUCCESS;
}

int nvmlDeviceGetUtilizationRates(void *device, Utilization *of) {
    *of = (Utilization){50, 10};
    return SUCCESS;
}

int nvmlDeviceGetPowerUsage(void *device, unsigned int *milliwatts) {
    static int calls;
    *milliwatts = calls++ % 2 ? 300000 : 100000;
    return SUCCESS;
}

int nvmlDeviceGetTemperature(void *device, int sensor, unsigned int *celsius) {
    *celsius = 71;
    return SUCCESS;
}

int nvmlDeviceGetClockInfo(void *device, int clock, unsigned int *megahertz) {
    if (clock != 1) return NOT_SUPPORTED; /* the memory's */
    *megahertz = 1410;
    return SUCCESS;
}

int nvmlDeviceGetCurrentClocksThrottleReasons(void *device, unsigned long long *reasons) {
    *reasons = 0x1 | 0x4 | 0x40; /* idle, power cap, heat */
    return SUCCESS;
}

int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *millijoules) {
    static unsigned long long counted;
    *millijoules = counted += 5000;
    return SUCCESS;
}
