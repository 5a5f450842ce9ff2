#include "subscriptions.hpp"

#include "text.hpp"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>

namespace sim {
namespace {

std::string to_json_text(const std::string& plaintext) {
    const bool readable = simdjson::validate_utf8(plaintext.data(), plaintext.size());
    return readable ? json_text(plaintext)
                    : fmt::format(R"({{"base64":"{}"}})", to_base64url(plaintext));
}

} // namespace

bool Subscription::is_fresh(const std::string& salt, const std::string& sender_key) {
    const std::lock_guard lock{mutex_};
    if (seen_.size() > 2 * kept_max) seen_.clear();
    const bool new_salt = seen_.insert(salt).second;
    return seen_.insert(sender_key).second && new_salt;
}

void Subscription::take(std::string plaintext) {
    received_.push_back(std::move(plaintext));
    if (received_.size() > kept_max) received_.pop_front();
}

void Subscription::deliver(std::string topic, std::string plaintext, Duration ttl) {
    const std::lock_guard lock{mutex_};
    if (online_) return take(std::move(plaintext));
    if (ttl <= Duration::zero()) return;
    if (!topic.empty()) {
        std::erase_if(waiting_, [&](const Message& message) { return message.topic == topic; });
    }
    waiting_.push_back({std::move(topic), std::move(plaintext), Clock::now() + ttl});
    if (waiting_.size() > kept_max) waiting_.pop_front();
}

void Subscription::set_online(bool online) {
    const std::lock_guard lock{mutex_};
    online_ = online;
    if (!online) return;
    for (Message& message : waiting_) {
        if (message.until > Clock::now()) take(std::move(message.plaintext));
    }
    waiting_.clear();
}

std::string Subscription::to_json() {
    const std::lock_guard lock{mutex_};
    const Instant now = Clock::now();
    std::erase_if(waiting_, [&](const Message& message) { return message.until <= now; });
    std::string out = fmt::format(R"({{"id":{},"online":{},"received":[)", json_text(id_), online_);
    for (std::size_t i = 0; i < received_.size(); ++i) {
        out += (i == 0 ? "" : ",") + to_json_text(received_[i]);
    }
    out += "],\"waiting\":[";
    for (std::size_t i = 0; i < waiting_.size(); ++i) {
        out += fmt::format(R"({}{{"topic":{},"plaintext":{}}})", i == 0 ? "" : ",",
                           json_text(waiting_[i].topic), to_json_text(waiting_[i].plaintext));
    }
    return out + "]}";
}

std::shared_ptr<Subscription> Subscriptions::add(std::shared_ptr<Subscription> subscription) {
    const std::lock_guard lock{mutex_};
    all_[subscription->id()] = subscription;
    return subscription;
}

std::shared_ptr<Subscription> Subscriptions::find(std::string_view id) {
    const std::lock_guard lock{mutex_};
    const auto found = all_.find(std::string{id});
    return found == all_.end() ? nullptr : found->second;
}

void Subscriptions::clear() {
    const std::lock_guard lock{mutex_};
    all_.clear();
}

} // namespace sim
