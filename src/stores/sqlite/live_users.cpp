#include "live_users.hpp"

#include <algorithm>
#include <cstddef>

namespace fanfare::stores {
namespace {

constexpr std::size_t names_max = 32;

} // namespace

const LiveUsers::User* LiveUsers::find(const std::string& user) const {
    const auto at = users_.find(user);
    return at == users_.end() ? nullptr : &at->second;
}

void LiveUsers::remember(const std::string& user) {
    const User* const now = find(user);
    before_.emplace_back(user, now == nullptr ? std::nullopt : std::optional{*now});
}

void LiveUsers::join(const std::string& user, const std::string& session, const Epoch& epoch) {
    if (const User* const known = find(user);
        known != nullptr &&
        std::find(known->sessions.begin(), known->sessions.end(), session) != known->sessions.end())
        return;
    remember(user);
    User& joined = users_[user];
    if (joined.sessions.empty()) joined.fresh = epoch;
    joined.sessions.push_back(session);
}

bool LiveUsers::leave(const std::string& user, const std::string& session) {
    const auto at = users_.find(user);
    if (at == users_.end()) return false;
    std::vector<std::string>& sessions = at->second.sessions;
    if (std::find(sessions.begin(), sessions.end(), session) == sessions.end()) return false;
    remember(user);
    std::erase(sessions, session);
    if (!sessions.empty()) return false;
    users_.erase(at);
    return true;
}

void LiveUsers::renew(const std::string& user, const Epoch& epoch) {
    const auto at = users_.find(user);
    if (at == users_.end()) return;
    remember(user);
    at->second.fresh = epoch;
}

void LiveUsers::settled(bool committed) {
    for (; !committed && !before_.empty(); before_.pop_back()) {
        auto& [user, was] = before_.back();
        if (was)
            users_[user] = std::move(*was);
        else
            users_.erase(user);
    }
    before_.clear();
}

std::string LiveUsers::names(const User& user) {
    std::string text;
    const std::size_t count = std::min(user.sessions.size(), names_max);
    for (std::size_t i = 0; i < count; ++i) {
        if (i != 0) text += ',';
        text += user.sessions[i];
    }
    return text;
}

} // namespace fanfare::stores
