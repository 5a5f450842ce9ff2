#pragma once
// A tree of values that remember where they were written. YAML and the environment both become
// one, so that a value is checked in one way whatever it came from.

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace fanfare::app {

struct Place {
    std::shared_ptr<const std::string> source; // file name, or "environment FANFARE_X__Y"
    int line = 0;                              // from 1; 0: the source has no lines
};

struct ConfigNode {
    enum class Kind : unsigned char { null, scalar, list, map };
    /// How a scalar was written decides what it may be: "5" in quotes is a text, 5 a number. A
    /// plain environment variable has no way to tell and may be either.
    enum class Style : unsigned char { plain, quoted, either };
    struct Member;

    Kind kind = Kind::null;
    Style style = Style::plain;
    Place place;
    std::string text;              // of a scalar
    std::vector<ConfigNode> items; // of a list
    std::vector<Member> members;   // of a map, in order; names are unique
};
struct ConfigNode::Member {
    std::string name;
    Place place;
    ConfigNode value;
};

/// More members than any map of ours could have; keeps the search for duplicates cheap.
inline constexpr std::size_t map_members_max = 1000;

/// Throws ConfigError "<place>: <key>: <what>", made one line. `key` may be empty.
[[noreturn]] void fail(const Place& place, std::string_view key, std::string_view what);
/// The same text for a warning.
[[nodiscard]] std::string complaint(const Place& place, std::string_view key,
                                    std::string_view what);

/// Appends to a map. Fails if the name is there already, or the map is too large. `key`: the map's
/// own name in messages, may be empty.
void add_member(ConfigNode& map, ConfigNode::Member member, std::string_view key);

/// The member of that name; null if there is none or this is no map.
[[nodiscard]] const ConfigNode::Member* find_member(const ConfigNode& map,
                                                    std::string_view name) noexcept;
/// The value at a path such as "auth.jwt.secret"; null if it is not there.
[[nodiscard]] const ConfigNode* find_path(const ConfigNode& root, std::string_view path) noexcept;
/// Where the value at `path` was written, or what is left of the path: its section, its file.
[[nodiscard]] Place place_of(const ConfigNode& root, std::string_view path);

/// "text" in quotes, escaped and cut after some 60 bytes, for messages. Not for secrets.
[[nodiscard]] std::string in_quotes(std::string_view text);
/// Two names joined with a dot, or the second alone.
[[nodiscard]] std::string join_key(std::string_view section, std::string_view name);

} // namespace fanfare::app
