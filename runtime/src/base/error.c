// Status names and error text: a small printf, since freestanding C has none.
#include "base/memory.h"
#include "mlirage/base.h"

const char* mlirage_status_name(mlirage_status_t status) {
  switch (status) {
    case MLIRAGE_OK: return "OK";
    case MLIRAGE_INVALID_ARGUMENT: return "INVALID_ARGUMENT";
    case MLIRAGE_OUT_OF_MEMORY: return "OUT_OF_MEMORY";
    case MLIRAGE_INVALID_MODULE: return "INVALID_MODULE";
    case MLIRAGE_NOT_FOUND: return "NOT_FOUND";
    case MLIRAGE_OUT_OF_RANGE: return "OUT_OF_RANGE";
    case MLIRAGE_FAILED_PRECONDITION: return "FAILED_PRECONDITION";
    case MLIRAGE_UNSUPPORTED: return "UNSUPPORTED";
    case MLIRAGE_ABORTED: return "ABORTED";
    case MLIRAGE_DEADLINE_EXCEEDED: return "DEADLINE_EXCEEDED";
    case MLIRAGE_PENDING: return "PENDING";
    case MLIRAGE_IO: return "IO";
    case MLIRAGE_DIVISION_BY_ZERO: return "DIVISION_BY_ZERO";
    case MLIRAGE_CANCELLED: return "CANCELLED";
    case MLIRAGE_INTERNAL: return "INTERNAL";
  }
  return "UNKNOWN";
}

// Where formatted characters go: counted always, stored while they fit.
typedef struct sink_t {
  char* buffer;
  size_t capacity;
  size_t size;
} sink_t;

static void put(sink_t* sink, char c) {
  if (sink->size + 1 < sink->capacity) sink->buffer[sink->size] = c;
  ++sink->size;
}

static void put_unsigned(sink_t* sink, uint64_t value, unsigned base) {
  char digits[20];
  size_t count = 0;
  do {
    digits[count++] = "0123456789abcdef"[value % base];
    value /= base;
  } while (value != 0);
  while (count > 0) put(sink, digits[--count]);
}

static void put_signed(sink_t* sink, int64_t value) {
  if (value < 0) put(sink, '-');
  put_unsigned(sink, value < 0 ? 0u - (uint64_t)value : (uint64_t)value, 10);
}

typedef enum length_t { LENGTH_INT, LENGTH_LONG, LENGTH_LONG_LONG, LENGTH_SIZE } length_t;

size_t mlirage_format_list(char* buffer, size_t capacity, const char* format, va_list arguments) {
  sink_t sink = {buffer, capacity, 0};
  for (const char* at = format; *at != '\0'; ++at) {
    if (*at != '%') {
      put(&sink, *at);
      continue;
    }
    ++at;
    size_t precision = SIZE_MAX;
    if (at[0] == '.' && at[1] == '*') {
      const int given = va_arg(arguments, int);
      if (given >= 0) precision = (size_t)given;
      at += 2;
    }
    length_t length = LENGTH_INT;
    if (*at == 'z') {
      length = LENGTH_SIZE;
      ++at;
    } else if (*at == 'l') {
      length = LENGTH_LONG;
      ++at;
      if (*at == 'l') {
        length = LENGTH_LONG_LONG;
        ++at;
      }
    }
    switch (*at) {
      case 's': {
        const char* text = va_arg(arguments, const char*);
        if (text == NULL) text = "(null)";
        for (size_t i = 0; i < precision && text[i] != '\0'; ++i) put(&sink, text[i]);
        break;
      }
      case 'c': put(&sink, (char)va_arg(arguments, int)); break;
      case 'd':
      case 'i':
        switch (length) {
          case LENGTH_INT: put_signed(&sink, va_arg(arguments, int)); break;
          case LENGTH_LONG: put_signed(&sink, va_arg(arguments, long)); break;
          case LENGTH_LONG_LONG: put_signed(&sink, va_arg(arguments, long long)); break;
          case LENGTH_SIZE: put_signed(&sink, (int64_t)va_arg(arguments, ptrdiff_t)); break;
        }
        break;
      case 'u':
      case 'x': {
        const unsigned base = *at == 'x' ? 16 : 10;
        switch (length) {
          case LENGTH_INT: put_unsigned(&sink, va_arg(arguments, unsigned), base); break;
          case LENGTH_LONG: put_unsigned(&sink, va_arg(arguments, unsigned long), base); break;
          case LENGTH_LONG_LONG: put_unsigned(&sink, va_arg(arguments, unsigned long long), base); break;
          case LENGTH_SIZE: put_unsigned(&sink, va_arg(arguments, size_t), base); break;
        }
        break;
      }
      case '%': put(&sink, '%'); break;
      default:  // a conversion that this file lacks: what follows cannot be read either
        put(&sink, '%');
        put(&sink, '?');
        goto done;
    }
  }
done:
  if (capacity > 0) buffer[sink.size < capacity ? sink.size : capacity - 1] = '\0';
  return sink.size;
}

size_t mlirage_format(char* buffer, size_t capacity, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  const size_t size = mlirage_format_list(buffer, capacity, format, arguments);
  va_end(arguments);
  return size;
}

mlirage_status_t mlirage_fail_list(mlirage_error_t* error, mlirage_status_t status, const char* format,
                                   va_list arguments) {
  if (error == NULL) return status;
  // Formatted aside first: parameters may point into |error|.
  char text[MLIRAGE_ERROR_TEXT_SIZE];
  mlirage_format_list(text, sizeof(text), format, arguments);
  error->status = status;
  memcpy(error->text, text, sizeof(text));
  return status;
}

mlirage_status_t mlirage_fail(mlirage_error_t* error, mlirage_status_t status, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  mlirage_fail_list(error, status, format, arguments);
  va_end(arguments);
  return status;
}

mlirage_status_t mlirage_fail_in(mlirage_error_t* error, mlirage_status_t status, const char* format, ...) {
  if (error == NULL) return status;
  char text[MLIRAGE_ERROR_TEXT_SIZE];
  va_list arguments;
  va_start(arguments, format);
  size_t size = mlirage_format_list(text, sizeof(text), format, arguments);
  va_end(arguments);
  if (size >= sizeof(text)) size = sizeof(text) - 1;
  // A failure that left no text of its own still says its status.
  const char* rest = error->status == status && error->text[0] != '\0' ? error->text : mlirage_status_name(status);
  for (; *rest != '\0' && size + 1 < sizeof(text); ++rest) text[size++] = *rest;
  text[size] = '\0';
  error->status = status;
  memcpy(error->text, text, sizeof(text));
  return status;
}
