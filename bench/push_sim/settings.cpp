#include "settings.hpp"

#include <array>
#include <charconv>
#include <cmath>
#include <stdexcept>
#include <utility>

namespace sim {
namespace {

std::invalid_argument bad_latency(std::string_view text) {
    return std::invalid_argument("latency \"" + std::string{text} +
                                 "\": write 5ms, uniform:10-50ms or exponential:20ms");
}

/// A number with `ms` behind it or without.
double parse_ms(std::string_view text, std::string_view whole) {
    if (text.ends_with("ms")) text.remove_suffix(2);
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size() || value < 0 || value > 3.6e6) {
        throw bad_latency(whole);
    }
    return value;
}

template <typename Enum, std::size_t n>
Enum look_up(const std::array<std::pair<std::string_view, Enum>, n>& names, std::string_view text,
             const char* key) {
    std::string known;
    for (const auto& [name, value] : names) {
        if (name == text) return value;
        known += (known.empty() ? "" : ", ") + std::string{name};
    }
    throw std::invalid_argument(std::string{key} + " \"" + std::string{text} + "\": one of " +
                                known);
}

} // namespace

Latency Latency::parse(std::string_view text) {
    const std::size_t colon = text.find(':');
    const std::string_view shape = colon == text.npos ? "fixed" : text.substr(0, colon);
    const std::string_view rest = colon == text.npos ? text : text.substr(colon + 1);
    Latency latency;
    if (shape == "uniform") {
        const std::size_t dash = rest.find('-');
        if (dash == rest.npos) throw bad_latency(text);
        latency = {Shape::uniform, parse_ms(rest.substr(0, dash), text),
                   parse_ms(rest.substr(dash + 1), text)};
        if (latency.to_ms < latency.from_ms) throw bad_latency(text);
    } else if (shape == "fixed" || shape == "exponential") {
        latency = {shape == "fixed" ? Shape::fixed : Shape::exponential, parse_ms(rest, text), 0};
        if (latency.from_ms <= 0) latency.shape = Shape::none;
    } else {
        throw bad_latency(text);
    }
    return latency;
}

Duration Latency::draw(Dice& dice) const {
    switch (shape) {
    case Shape::none:
        return {};
    case Shape::fixed:
        return milliseconds(from_ms);
    case Shape::uniform:
        return milliseconds(from_ms + (to_ms - from_ms) * dice.next());
    case Shape::exponential:
        return milliseconds(-from_ms * std::log(1 - dice.next()));
    }
    return {};
}

Handshake parse_handshake(std::string_view text) {
    using P = std::pair<std::string_view, Handshake>;
    return look_up(std::array{P{"normal", Handshake::normal}, P{"hang", Handshake::hang},
                              P{"no_alpn", Handshake::no_alpn}, P{"expired", Handshake::expired},
                              P{"wrong_name", Handshake::wrong_name}},
                   text, "handshake");
}

DropAt parse_drop_at(std::string_view text) {
    using P = std::pair<std::string_view, DropAt>;
    return look_up(std::array{P{"never", DropAt::never}, P{"accept", DropAt::accept},
                              P{"settings", DropAt::settings}, P{"headers", DropAt::headers},
                              P{"body", DropAt::body}},
                   text, "drop_at");
}

Versions parse_versions(std::string_view text) {
    using P = std::pair<std::string_view, Versions>;
    return look_up(std::array{P{"both", Versions::both}, P{"http1", Versions::http1},
                              P{"http2", Versions::http2}},
                   text, "versions");
}

} // namespace sim
