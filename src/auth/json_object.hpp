#pragma once
// The JSON of tokens: objects read strictly, each name once. A library that takes the last of two
// equal names and a library that takes the first would see two different tokens under one
// signature (RFC 7515 §4, RFC 7519 §4).

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fanfare::auth {

struct JsonValue {
    enum class Kind : std::uint8_t { object, array, string, number, boolean, null };
    Kind kind = Kind::null;
    std::string raw;  // as it came
    std::string text; // a string unescaped; empty for anything else
};

class JsonObject {
  public:
    /// Nothing if `text` is not one JSON object in UTF-8, or two members have the same name.
    [[nodiscard]] static std::optional<JsonObject> parse(std::string_view text);

    /// Null if there is no such member; lives as long as this object.
    [[nodiscard]] const JsonValue* find(std::string_view name) const noexcept;

  private:
    struct Member {
        std::string name;
        JsonValue value;
    };
    std::vector<Member> members_; // by name
};

/// The elements of a JSON array of strings, unescaped; nothing if `text` is anything else.
[[nodiscard]] std::optional<std::vector<std::string>> parse_string_list(std::string_view text);

} // namespace fanfare::auth
