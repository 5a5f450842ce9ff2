#pragma once
// What an identity may do in a room, by the room's rule and the token's grants.

#include <fanfare/room/rules.hpp>
#include <fanfare/session/authorizer.hpp>

#include <algorithm>
#include <string_view>
#include <vector>

namespace fanfare::session {

[[nodiscard]] inline bool granted(const std::vector<std::string>& grants, std::string_view room) {
    return std::any_of(grants.begin(), grants.end(),
                       [room](const std::string& grant) { return room::glob_match(grant, room); });
}

/// `identity` null: anonymous.
[[nodiscard]] inline bool may_subscribe(const room::Rule& rule, const Identity* identity,
                                        std::string_view room) {
    switch (rule.subscribe) {
    case room::SubscribeRight::anyone:
        return true;
    case room::SubscribeRight::user:
        return identity != nullptr;
    case room::SubscribeRight::token:
        return identity != nullptr && granted(identity->subscribe, room);
    }
    return false;
}

/// `subscribed`: the session is in the room now.
[[nodiscard]] inline bool may_publish(const room::Rule& rule, const Identity* identity,
                                      std::string_view room, bool subscribed) {
    switch (rule.publish) {
    case room::PublishRight::server:
        return false;
    case room::PublishRight::subscriber:
        return subscribed;
    case room::PublishRight::token:
        return identity != nullptr && granted(identity->publish, room);
    }
    return false;
}

} // namespace fanfare::session
