// One thread, no clock: bare metal, and builds without threads.
#include "platform/platform.h"

uint64_t mlirage_platform_now_ns(void) { return 0; }

bool mlirage_platform_wait(uint32_t* word, uint32_t expected, uint64_t timeout_ns) {
  (void)word, (void)expected, (void)timeout_ns;
  return false;
}

void mlirage_platform_wake(uint32_t* word, uint32_t count) { (void)word, (void)count; }
