#include "presence.hpp"

namespace fanfare::room {

bool Presence::enter(std::string_view user, std::string_view info) {
    auto at = members_.find(user);
    const bool joined = at == members_.end();
    if (joined) at = members_.emplace(user, Member{}).first;
    ++at->second.sessions;
    at->second.info = info;
    at->second.leaves_at = 0;
    return joined;
}

void Presence::leave(std::string_view user, MonoMillis now, std::chrono::milliseconds linger) {
    const auto at = members_.find(user);
    if (at == members_.end() || at->second.sessions == 0 || --at->second.sessions != 0) return;
    at->second.leaves_at = now + linger.count();
    lingering_.push_back({at->second.leaves_at, at->first});
}

std::vector<std::string> Presence::expire(MonoMillis now) {
    std::vector<std::string> left;
    while (!lingering_.empty() && lingering_.front().leaves_at <= now) {
        const Lingering& first = lingering_.front();
        const auto at = members_.find(first.user);
        // Came back since, or left again later (then a later entry stands for it).
        if (at != members_.end() && at->second.sessions == 0 &&
            at->second.leaves_at == first.leaves_at) {
            left.push_back(at->first);
            members_.erase(at);
        }
        lingering_.pop_front();
    }
    return left;
}

std::optional<MonoMillis> Presence::next_expiry() const {
    if (lingering_.empty()) return std::nullopt;
    return lingering_.front().leaves_at;
}

} // namespace fanfare::room
