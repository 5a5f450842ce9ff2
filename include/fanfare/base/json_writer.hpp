#pragma once
// JSON out: an escaping writer that appends to a string. No tree, no reflection; the caller keeps
// braces balanced, the writer keeps commas, escapes and numbers right.

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>

namespace fanfare {

/// Appends `text` as a JSON string with quotes. Bytes that are not UTF-8 must not come here.
void append_json_string(std::string& out, std::string_view text);
/// Appends a number in decimal.
void append_number(std::string& out, std::uint64_t value);

class JsonWriter {
  public:
    explicit JsonWriter(std::string& out) : out_(out) {}

    JsonWriter& begin_object() { return open('{'); }
    JsonWriter& end_object() { return close('}'); }
    JsonWriter& begin_array() { return open('['); }
    JsonWriter& end_array() { return close(']'); }

    /// Names must be plain ASCII without characters to escape: they are our own words.
    JsonWriter& key(std::string_view name);

    JsonWriter& string(std::string_view value);
    JsonWriter& number(std::uint64_t value);
    JsonWriter& integer(std::int64_t value);
    /// Shortest form that reads back as the same double; integral values without a point.
    JsonWriter& real(double value);
    JsonWriter& boolean(bool value);
    JsonWriter& null();
    /// Bytes that are JSON already.
    JsonWriter& raw(std::string_view json);

    JsonWriter& field(std::string_view name, std::string_view value) {
        return key(name).string(value);
    }
    JsonWriter& field(std::string_view name, const char* value) { return key(name).string(value); }
    JsonWriter& field(std::string_view name, std::uint64_t value) {
        return key(name).number(value);
    }
    /// A bool would silently become the number 0 or 1: `field_bool` is what was meant.
    template <std::same_as<bool> T>
    JsonWriter& field(std::string_view name, T value) = delete;
    JsonWriter& field_bool(std::string_view name, bool value) { return key(name).boolean(value); }

  private:
    JsonWriter& open(char bracket);
    JsonWriter& close(char bracket);
    void separate();

    std::string& out_;
    bool comma_ = false; // a value was written on this level
};

} // namespace fanfare
