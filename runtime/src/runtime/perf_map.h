// Names of device code for Linux's perf.
#ifndef MLIRAGE_RUNTIME_PERF_MAP_H_
#define MLIRAGE_RUNTIME_PERF_MAP_H_

#include "mlirage/hal.h"

// As mlirage_loader_embedded_elf; adds the entry points of what it loads to /tmp/perf-<pid>.map,
// where perf looks for the names of code that is in no file.
extern const mlirage_executable_loader_t mlirage_loader_with_perf_map;

// Does the environment ask for it (MLIRAGE_PERF_MAP set, to neither "" nor "0")?
bool mlirage_perf_map_wanted(void);

#endif  // MLIRAGE_RUNTIME_PERF_MAP_H_
