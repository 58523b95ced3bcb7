/* Included before every C++ file of llama.cpp when peers.sh compiles it. GCC's _tile_loadconfig tells the compiler that
 * it reads 8 of the configuration's 64 bytes, so that the stores of the others are left out and llama.cpp's AMX
 * kernels end with a general protection fault (seen with GCC 12.2). The barrier keeps the stores. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#include <immintrin.h>
#define _tile_loadconfig(config)                             \
  do {                                                       \
    const void *config_ = (config);                          \
    __asm__ volatile("" : : "r"(config_) : "memory");        \
    _tile_loadconfig(config_);                               \
  } while (0)
#endif
