// Drives the firmware on a machine with files: host MODULE ARGUMENT
#include "../firmware.h"

#include <stdio.h>
#include <stdlib.h>

static _Alignas(64) uint8_t contents[64 << 10];

int main(int argc, char** argv) {
  FILE* file = argc == 3 ? fopen(argv[1], "rb") : NULL;
  if (file == NULL) return 2;
  const size_t size = fread(contents, 1, sizeof(contents), file);
  fclose(file);
  int64_t result = 0;
  const int status = firmware_main(contents, size, strtoll(argv[2], NULL, 10), &result);
  printf("%d %lld\n", status, (long long)result);
  return 0;
}
