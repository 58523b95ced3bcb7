/* Reads a buffer of BYTES with THREADS threads, PASSES times, and prints each pass's bytes per second, one a line.
 * Every byte is read and used; nothing is written while the clock runs. In huge pages where the system has them, for
 * this is to be the most that the memory gives. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

enum { LANES = 64, AHEAD = 512 };
static const uint64_t *buffer;
static size_t words_each;
static int threads, passes;
static pthread_barrier_t barrier;
static volatile uint64_t sink;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec * 1e-9;
}

static void *reader(void *argument) {
  long thread = (long)argument;
  const uint64_t *mine = buffer + thread * words_each;
  for (int pass = 0; pass < passes; pass++) {
    uint64_t sums[LANES] = {0};
    pthread_barrier_wait(&barrier);
    double start = now();
    for (size_t i = 0; i + LANES <= words_each; i += LANES) {
      for (int line = 0; line < LANES; line += 8) __builtin_prefetch(mine + i + AHEAD + line);
      for (int lane = 0; lane < LANES; lane++) sums[lane] += mine[i + lane];
    }
    for (int lane = 0; lane < LANES; lane++) sink += sums[lane];
    pthread_barrier_wait(&barrier);
    if (thread == 0) printf("%.0f\n", threads * words_each * 8.0 / (now() - start));
  }
  return NULL;
}

int main(int count, char **arguments) {
  if (count != 4) return fprintf(stderr, "usage: stream_read BYTES THREADS PASSES\n"), 2;
  size_t bytes = strtoull(arguments[1], NULL, 10);
  threads = atoi(arguments[2]), passes = atoi(arguments[3]);
  if (threads < 1 || threads > 256 || passes < 1) return 2;
  words_each = bytes / 8 / threads / LANES * LANES;
  size_t whole = ((threads * words_each + AHEAD) * 8 + (1 << 21)) >> 21 << 21;
  uint64_t *memory = aligned_alloc(1 << 21, whole);
  if (!memory) return perror("stream_read"), 1;
#ifdef MADV_HUGEPAGE
  madvise(memory, whole, MADV_HUGEPAGE);
#endif
  for (size_t i = 0; i < threads * words_each; i++) memory[i] = i;
  buffer = memory;
  pthread_barrier_init(&barrier, NULL, threads);
  pthread_t handles[256];
  for (long t = 1; t < threads; t++) pthread_create(&handles[t], NULL, reader, (void *)t);
  reader((void *)0);
  for (long t = 1; t < threads; t++) pthread_join(handles[t], NULL);
  return 0;
}
