// Read-only data: plain bytes and splats.
#include "base/memory.h"
#include "module/format.h"

// Entries are part of their module and die with it.
static void destroy_nothing(void* object) { (void)object; }

const mlirage_object_type_t mlirage_rodata_type = {"util.buffer", destroy_nothing};

void mlirage_rodata_read(const mlirage_rodata_t* rodata, size_t offset, size_t length, void* out_bytes) {
  if (length == 0) return;
  if (rodata->pattern_length == 0) {
    memcpy(out_bytes, rodata->data + offset, length);
    return;
  }
  uint8_t* bytes = out_bytes;
  const size_t period = rodata->pattern_length;
  const size_t head = length < period ? length : period;
  for (size_t i = 0; i < head; ++i) bytes[i] = rodata->data[(offset + i) % period];
  // What is written repeats with the period: double it until the end.
  for (size_t done = head; done < length;) {
    const size_t step = done < length - done ? done : length - done;
    memcpy(bytes + done, bytes, step);
    done += step;
  }
}

uint64_t mlirage_checksum(mlirage_bytes_t bytes) {
  uint64_t sum = 0;
  uint64_t weight = 1;
  size_t offset = 0;
  for (; bytes.size - offset >= sizeof(uint64_t); offset += sizeof(uint64_t), weight += 2) {
    uint64_t word = 0;
    memcpy(&word, bytes.data + offset, sizeof(word));
    sum += word * weight;
  }
  if (offset < bytes.size) {
    uint64_t word = 0;
    memcpy(&word, bytes.data + offset, bytes.size - offset);
    sum += word * weight;
  }
  return sum;
}
