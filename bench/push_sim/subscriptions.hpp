// Web Push subscriptions that the simulator's own browsers made: their keys, what reached them, and
// what waits for them while they are away.
#pragma once

#include "clock.hpp"
#include "ece.hpp"

#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

namespace sim {

class Subscription {
  public:
    Subscription(std::string id, Recipient recipient, std::string vapid_key, bool online)
        : id_(std::move(id)), recipient_(std::move(recipient)), vapid_key_(std::move(vapid_key)),
          online_(online) {}

    [[nodiscard]] const std::string& id() const { return id_; }
    [[nodiscard]] const Recipient& recipient() const { return recipient_; }
    [[nodiscard]] const std::string& vapid_key() const { return vapid_key_; } // empty: any

    /// Whether this salt and this sender's key are new here; remembers them.
    [[nodiscard]] bool is_fresh(const std::string& salt, const std::string& sender_key);

    /// To the browser if it is online, else kept for `ttl`; a kept message of the same topic is
    /// replaced. `ttl` zero and offline: gone.
    void deliver(std::string topic, std::string plaintext, Duration ttl);
    void set_online(bool online);
    [[nodiscard]] std::string to_json();

  private:
    static constexpr std::size_t kept_max = 10'000; // the oldest is forgotten

    struct Message {
        std::string topic;
        std::string plaintext;
        Instant until;
    };
    void take(std::string plaintext);

    const std::string id_;
    const Recipient recipient_;
    const std::string vapid_key_;
    std::mutex mutex_; // any worker delivers
    bool online_;
    std::deque<Message> waiting_;
    std::deque<std::string> received_;
    std::unordered_set<std::string> seen_;
};

class Subscriptions {
  public:
    std::shared_ptr<Subscription> add(std::shared_ptr<Subscription> subscription);
    [[nodiscard]] std::shared_ptr<Subscription> find(std::string_view id);
    void clear();

  private:
    std::mutex mutex_; // workers look up, control adds
    std::unordered_map<std::string, std::shared_ptr<Subscription>> all_;
};

} // namespace sim
