#pragma once
// Structured events for operators: one line per event worth reading. Never payloads, tokens or
// keys.

#include <cstdint>
#include <initializer_list>
#include <string_view>
#include <variant>

namespace fanfare::log {

enum class Level : std::uint8_t { debug, info, warn, error, off };
enum class Format : std::uint8_t { json, text };

struct Options {
    Level level = Level::info; // lower levels are dropped before they cost anything
    Format format = Format::json;
};

/// One member of an event. Text is escaped; it may hold anything.
struct Field {
    std::string_view key;
    std::variant<std::string_view, std::int64_t, std::uint64_t, double, bool> value;
    Field(std::string_view k, std::string_view v) : key(k), value(v) {}
    Field(std::string_view k, const char* v) : key(k), value(std::string_view{v}) {}
    Field(std::string_view k, int v) : key(k), value(std::int64_t{v}) {}
    Field(std::string_view k, std::int64_t v) : key(k), value(v) {}
    Field(std::string_view k, std::uint64_t v) : key(k), value(v) {}
    Field(std::string_view k, unsigned v) : key(k), value(std::uint64_t{v}) {}
    Field(std::string_view k, double v) : key(k), value(v) {}
    Field(std::string_view k, bool v) : key(k), value(v) {}
};
using Fields = std::initializer_list<Field>;

/// To stderr, written by a thread of its own; when that falls behind, the oldest lines are dropped.
/// May be called again to change level or format. Before the first call everything goes out as
/// text.
void configure(const Options& options);
/// Writes out what is queued; at the end of the process and before an abort.
void flush();
/// Lines lost so far because the queue was full; for the metric.
[[nodiscard]] std::uint64_t dropped();

void debug(std::string_view event, Fields fields = {});
void info(std::string_view event, Fields fields = {});
void warn(std::string_view event, Fields fields = {});
void error(std::string_view event, Fields fields = {});
[[nodiscard]] bool enabled(Level level) noexcept;

} // namespace fanfare::log
