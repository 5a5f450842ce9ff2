#pragma once
// What one log line looks like, and the way past the queue. Knows nothing of spdlog.

#include <fanfare/base/clock.hpp>
#include <fanfare/base/log.hpp>

#include <cstddef>
#include <string>
#include <string_view>

namespace fanfare::log {

/// Longer texts are cut and end in "…": a field may hold what a peer sent.
inline constexpr std::size_t field_bytes_max = 4096;

/// One line with its newline:
///   json  {"time":"2026-11-20T10:58:00.123Z","level":"info","event":"started","port":8080}
///   text  2026-11-20T10:58:00.123Z INFO  started port=8080 config="my file.yaml"
/// Texts cannot break the line or fake a field: they are escaped; bytes that are not UTF-8 become
/// U+FFFD. Any thread.
[[nodiscard]] std::string format_line(Format format, Level level, WallMillis time,
                                      std::string_view event, Fields fields);

/// Writes a line to stderr before it returns, not through the queue: for the last words of a
/// process that is about to abort. Any thread.
void write_now(Level level, std::string_view event, Fields fields) noexcept;

} // namespace fanfare::log
