#pragma once
// Kinds of values: what is accepted, how it is described to people, how it is written back. A kind
// knows nothing about keys; config_keys.cpp gives each key one.

#include "config_node.hpp"

#include <fanfare/http/h2_client.hpp>

#include <fmt/format.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace fanfare::app {

/// A value under its full name, e.g. "rooms[0].history.size".
struct Value {
    const ConfigNode& node;
    std::string key;
    [[noreturn]] void fail(std::string_view what) const { app::fail(node.place, key, what); }
};

template <class T>
struct Kind {
    std::string words;                         // "a duration from 1s to 1h"
    std::function<T(const Value&)> read;       // throws ConfigError
    std::function<std::string(const T&)> show; // as it is written in the file
    bool is_list = false;                      // the environment gives it as JSON
};

[[nodiscard]] Kind<bool> boolean();
[[nodiscard]] Kind<std::size_t> count(std::size_t min, std::size_t max);
/// A number of bytes, plain or with KiB, MiB, GiB.
[[nodiscard]] Kind<std::size_t> size(std::size_t min, std::size_t max);
/// A whole number with ms, s, m, h or d. The unit is required: 30 would be anybody's guess.
[[nodiscard]] Kind<std::chrono::milliseconds> duration(std::chrono::milliseconds min,
                                                       std::chrono::milliseconds max);
/// The same where fractions of a second have no meaning.
[[nodiscard]] Kind<std::chrono::seconds> whole_seconds(std::chrono::seconds min,
                                                       std::chrono::seconds max);
/// UTF-8 without control characters. `words` describe it, e.g. "a name".
[[nodiscard]] Kind<std::string> text(std::string words, std::size_t bytes_min,
                                     std::size_t bytes_max);
/// A text that messages never show.
[[nodiscard]] Kind<std::string> secret();
/// Path of a file. What is in it is checked when all keys are known.
[[nodiscard]] Kind<std::string> file(std::string words);
/// http://[user:password@]host:port, with escapes (%40) in user and password. A secret, as a whole:
/// messages do not show it.
[[nodiscard]] Kind<http::H2ProxyOptions> proxy_url();
[[nodiscard]] Kind<std::string> listen_address();
/// "*", or scheme://host[:port], where the host may begin with "*.".
[[nodiscard]] Kind<std::string> origin();
/// scheme://host[:port][/path] with one of these schemes. Never shown: it may hold a password.
[[nodiscard]] Kind<std::string> url(std::initializer_list<std::string_view> schemes);
/// Name of a room with `*` for any run of characters.
[[nodiscard]] Kind<std::string> room_pattern();
/// "sha256:" and 64 hex digits; the value is the 32 raw bytes.
[[nodiscard]] Kind<std::string> key_hash();

/// The one of `names` that `text` is nearest to, if it is near at all; else empty.
[[nodiscard]] std::string nearest(std::string_view text, const std::vector<std::string>& names);
/// "512", "64KiB": the largest unit that divides it.
[[nodiscard]] std::string show_size(std::size_t bytes);
/// "250ms", "30s", "7d": likewise.
[[nodiscard]] std::string show_duration(std::chrono::milliseconds time);
/// False for what YAML reads as a boolean or a number when it is not quoted (YAML 1.2 §10.3.2).
[[nodiscard]] bool is_yaml_text(std::string_view plain);
/// The text of a scalar. A plain null, boolean or number is no text: fails and asks for quotes.
[[nodiscard]] std::string read_text(const Value& value, const std::string& words);
/// `"` around what would be read as something else without them.
[[nodiscard]] std::string show_text(const std::string& text);

namespace detail {
[[nodiscard]] std::string choice_words(const std::vector<std::string>& names);
[[nodiscard]] std::size_t read_choice(const Value& value, const std::vector<std::string>& names);
void check_list(const Value& value, const std::string& words, std::size_t min, std::size_t max);
} // namespace detail

/// One of a few words.
template <class T>
[[nodiscard]] Kind<T> choice(std::vector<std::pair<std::string, T>> choices) {
    std::vector<std::string> names;
    names.reserve(choices.size());
    for (const auto& one : choices) names.push_back(one.first);
    return {
        detail::choice_words(names),
        [names, choices](const Value& v) { return choices[detail::read_choice(v, names)].second; },
        [choices](const T& value) {
            for (const auto& one : choices)
                if (one.second == value) return one.first;
            return std::string{};
        }};
}

/// A list of `min` to `max` values of one kind.
template <class T>
[[nodiscard]] Kind<std::vector<T>> list(Kind<T> item, std::size_t min, std::size_t max) {
    std::string words = "a list of " + item.words;
    return {words,
            [item, words, min, max](const Value& value) {
                detail::check_list(value, words, min, max);
                std::vector<T> all;
                for (const ConfigNode& node : value.node.items)
                    all.push_back(item.read({node, fmt::format("{}[{}]", value.key, all.size())}));
                return all;
            },
            [item](const std::vector<T>& all) {
                std::string out = "[";
                for (const T& one : all) (out += out.size() > 1 ? ", " : "") += item.show(one);
                return out + "]";
            },
            true};
}

/// The same, none of them twice.
template <class T>
[[nodiscard]] Kind<std::vector<T>> distinct(Kind<std::vector<T>> kind) {
    const auto read_all = kind.read;
    kind.read = [read_all](const Value& value) {
        std::vector<T> all = read_all(value);
        for (std::size_t i = 0; i < all.size(); ++i)
            for (std::size_t j = 0; j < i; ++j)
                if (all[i] == all[j])
                    fail(value.node.items[i].place, fmt::format("{}[{}]", value.key, i),
                         fmt::format("is the same as {}[{}]; keep one of them", value.key, j));
        return all;
    };
    return kind;
}

} // namespace fanfare::app
