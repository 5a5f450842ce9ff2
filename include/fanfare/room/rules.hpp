#pragma once
// Room rules: who may subscribe and publish, how long history lives, presence, patterns,
// durability. The first rule whose pattern matches a room's name governs it; a room no rule matches
// is not found.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace fanfare::room {

enum class SubscribeRight : std::uint8_t { anyone, user, token };
enum class PublishRight : std::uint8_t { server, subscriber, token };

struct HistoryLimits {
    std::size_t size = 100;                                  // messages; 0: none is kept
    std::chrono::milliseconds ttl = std::chrono::minutes{5}; // age; 0 with size 0 only
    bool durable = false; // kept in the store, survives the process
};

struct Rule {
    std::string match = "*"; // `*` matches any run of characters, the empty one too
    SubscribeRight subscribe = SubscribeRight::user;
    PublishRight publish = PublishRight::server;
    bool presence = false;
    bool patterns = false; // may be received through pattern subscriptions
    /// The gateway's own: only it publishes there, and only to whoever listens.
    bool reserved = false;
    /// Messages wait up to this long, at most a second, for others to leave with; 0: until the turn
    /// that brought them ends.
    std::chrono::milliseconds batch{0};
    HistoryLimits history;
};

/// True if `pattern` (with `*`) matches all of `text`. Linear in practice: one backtrack point.
[[nodiscard]] bool glob_match(std::string_view pattern, std::string_view text) noexcept;

/// Immutable once shared; a reload makes a new one.
class Rules {
  public:
    explicit Rules(std::vector<Rule> rules) : rules_(std::move(rules)) {}
    /// Null: no rule matches. Names that begin with `@` are matched by no rule of `all`; what the
    /// gateway says in `@notifications:{id}` is for those whose token grants it.
    [[nodiscard]] const Rule* find(std::string_view room) const noexcept;
    [[nodiscard]] const std::vector<Rule>& all() const noexcept { return rules_; }

  private:
    std::vector<Rule> rules_;
};
using RulesRef = std::shared_ptr<const Rules>;

} // namespace fanfare::room
