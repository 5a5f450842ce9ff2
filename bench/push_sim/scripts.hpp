// Scripts: what a test wants a service to answer instead of success, per token. Shared by all
// workers; while there is no script a look costs one atomic load.
#pragma once

#include "exchange.hpp"

#include <array>
#include <atomic>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sim {

/// One step of a script. What a service makes of status, reason and form is its own business.
struct Step {
    int status = 0;     // 0: as if there were no script, but delay, deed and after still count
    std::string reason; // the vendor's code: `Unregistered`, `QUOTA_EXCEEDED`, an errno
    std::string form;   // a vendor's way to say it, or one of FCM's traps
    std::optional<std::int64_t> timestamp_ms; // of APNs' 410
    std::optional<std::string> body;          // as it is, instead of what the service would write
    std::string retry_after;                  // as it is: seconds, a date, garbage
    std::vector<std::pair<std::string, std::string>> headers;
    Deed deed = Deed::answer;
    std::uint32_t error_code = 0;
    Duration delay{};
    After after = After::stay;
    std::string after_reason;
    std::uint64_t times = 1; // 0: for ever
};

class Scripts {
  public:
    /// Appends to the script of `token`. `*` at its end stands for any rest; the longest match
    /// counts.
    void add(ServiceId service, const std::string& token, std::vector<Step> steps);
    void clear(ServiceId service);

    /// Takes the next step; empty if there is none, or no more.
    [[nodiscard]] std::optional<Step> next(ServiceId service, std::string_view token);

  private:
    using Tokens = std::map<std::string, std::deque<Step>, std::less<>>;

    std::array<std::atomic<bool>, services_count> any_{};
    std::mutex mutex_; // scripts are for tests: workers may wait for each other here
    std::array<Tokens, services_count> exact_;
    std::array<Tokens, services_count> prefixes_;
};

} // namespace sim
