#pragma once
// FANFARE_ASSERT: for our own bugs only, kept in release builds. What crossed a wire never reaches
// an assertion: bad input is a Result.

namespace fanfare {
/// Logs the broken condition with its place and aborts.
[[noreturn]] void assertion_failed(const char* condition, const char* file, int line) noexcept;
} // namespace fanfare

#define FANFARE_ASSERT(condition)                                                                  \
    do {                                                                                           \
        if (!(condition)) [[unlikely]]                                                             \
            ::fanfare::assertion_failed(#condition, __FILE__, __LINE__);                           \
    } while (false)
