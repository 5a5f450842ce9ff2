#include <fanfare/room/rules.hpp>

namespace fanfare::room {
namespace {

constexpr std::string_view notifications_prefix = "@notifications:";

const Rule& notifications_rule() {
    static const Rule rule = [] {
        Rule made;
        made.match = "@notifications:*";
        made.subscribe = SubscribeRight::token;
        made.publish = PublishRight::server;
        made.reserved = true;
        made.history.size = 0;
        made.history.ttl = std::chrono::milliseconds{0};
        return made;
    }();
    return rule;
}

} // namespace

bool glob_match(std::string_view pattern, std::string_view text) noexcept {
    // Greedy with one backtrack point: a later `*` makes the earlier ones final, since whatever an
    // earlier one could give back, the later one can take.
    std::size_t p = 0;
    std::size_t t = 0;
    std::size_t star = std::string_view::npos;
    std::size_t star_text = 0;
    while (t < text.size()) {
        if (p < pattern.size() && pattern[p] == '*') {
            star = p++;
            if (p == pattern.size()) return true; // takes whatever is left
            star_text = t;
        } else if (p < pattern.size() && pattern[p] == text[t]) {
            ++p;
            ++t;
        } else if (star != std::string_view::npos) {
            p = star + 1;
            t = ++star_text;
        } else {
            return false;
        }
    }
    while (p < pattern.size() && pattern[p] == '*') ++p;
    return p == pattern.size();
}

const Rule* Rules::find(std::string_view room) const noexcept {
    if (room.empty()) return nullptr;
    if (room.front() == '@')
        return room.starts_with(notifications_prefix) ? &notifications_rule() : nullptr;
    for (const Rule& rule : rules_)
        if (glob_match(rule.match, room)) return &rule;
    return nullptr;
}

} // namespace fanfare::room
