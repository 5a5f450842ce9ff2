// Writes one JSON document, indented, in the order of the calls.
#pragma once

#include <fmt/format.h>

#include <concepts>
#include <string>
#include <string_view>

namespace load {

class JsonWriter {
  public:
    /// `key` is empty for the outermost object.
    void begin_object(std::string_view key = {});
    void end_object();

    void field(std::string_view key, std::string_view value);
    void field(std::string_view key, const char* value) { field(key, std::string_view{value}); }
    void field(std::string_view key, bool value) { raw(key, value ? "true" : "false"); }
    void field(std::string_view key, std::integral auto value) {
        raw(key, fmt::format("{}", value));
    }
    /// Three decimals; not for numbers that need more.
    void field(std::string_view key, double value) { raw(key, fmt::format("{:.3f}", value)); }

    [[nodiscard]] const std::string& text() const { return text_; }

  private:
    void raw(std::string_view key, std::string_view value);
    void begin_member(std::string_view key);

    std::string text_;
    int depth_ = 0;
    bool first_ = true;
};

} // namespace load
