#pragma once
// Pushes that were given up, and the contract of where they are kept. Design:
// docs/decisions/0014-push-queue.md.

#include <fanfare/base/clock.hpp>
#include <fanfare/base/error.hpp>
#include <fanfare/delivery/devices.hpp>
#include <fanfare/delivery/notification.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace fanfare::delivery {

/// One notification that did not reach one device. Never has a token.
struct DeadLetter {
    std::int64_t id = 0; // they rise, and none is given twice
    NotificationId notification;
    std::string user;
    std::string device;               // its name
    std::optional<Platform> platform; // none: the user has no device of that name any more
    // What ended it:
    std::string provider; // empty: there was none
    int status = 0;       // HTTP; 0: no answer
    std::string reason;
    std::uint32_t attempts = 0; // made
    WallMillis time = 0;        // when it was given up
    // Of the notification:
    Status notification_status = Status::failed;
    WallMillis expires = 0;
    Priority priority = Priority::normal;
    std::string category;
    // Of a redrive:
    bool edited = false;                     // `content` or `ttl` is the letter's own
    std::optional<std::chrono::seconds> ttl; // the notification lives so long again
    std::string content;                     // JSON as clients are sent it; `find` only
};

/// All of these hold; what is empty does not matter. An empty filter fits every letter.
struct LetterFilter {
    std::string user;
    std::string device;
    std::string provider;
    std::string reason; // the whole of it
    std::optional<NotificationId> notification;
    std::optional<WallMillis> since; // given up then or later
    std::optional<WallMillis> until; // given up before
};

struct LetterQuery {
    LetterFilter filter;
    bool oldest_first = false;
    std::optional<std::int64_t> after; // a letter's id: what comes behind it in that order
    std::size_t limit = 100;
};
struct LetterPage {
    Code code = Code::ok;
    const char* detail = nullptr;
    std::vector<DeadLetter> letters;
    bool more = false;
};
struct FoundLetter {
    Code code = Code::ok; // not_found
    const char* detail = nullptr;
    DeadLetter letter;
};

/// Changes of what a letter says. Nothing: stays as it is. Empty: is taken away.
struct LetterEdit {
    std::optional<std::string> title; // a JSON string as it came, quotes and all
    std::optional<std::string> body;  // the same
    std::optional<std::string> data;  // JSON as it came
    /// Counted from the redrive on. Zero: none.
    std::optional<std::chrono::seconds> ttl;
};
/// `content` (as clients are sent it) with these changes, its other members as they are; or why it
/// cannot be: nothing would be left to say, or it would have more than `bytes_max`.
[[nodiscard]] std::variant<Error, std::string>
edited_content(std::string_view content, const LetterEdit& edit, std::size_t bytes_max);

/// Why a letter stays what it is. The last two: there is nothing left of it.
enum class LetterSkip : std::uint8_t {
    device_gone,       // the user has no device of that name any more
    no_provider,       // none is configured for the device
    acknowledged,      // the user knows already
    over,              // the notification was cancelled, or replaced by a newer one
    expired,           // its time is over, and the letter gives it no other
    notification_gone, // it is not kept any more
    not_found,         // no letter has that id
};
inline constexpr std::size_t letter_skip_count = 7;
/// As sent, e.g. "device_gone".
[[nodiscard]] std::string_view letter_skip_name(LetterSkip skip) noexcept;

/// What is to be done, and to which.
struct LetterOrder {
    enum class Act : std::uint8_t {
        redrive, // a job again, without attempts
        discard,
    };
    static constexpr std::size_t limit_default = 1'000;
    static constexpr std::size_t limit_max = 10'000;

    Act act = Act::redrive;
    std::vector<std::int64_t> ids; // these; none: those of the filter, oldest first
    LetterFilter filter;
    std::size_t limit = limit_default; // so many are done at most
};
struct LettersDone {
    Code code = Code::ok; // else what is told was done all the same, and the rest was not
    const char* detail = nullptr;
    std::uint64_t done = 0;
    std::array<std::uint64_t, letter_skip_count> skipped{};
    /// Those that fit and were not looked at, since the limit was reached.
    std::uint64_t remaining = 0;
};

/// Calls are made on one reactor and return at once; `done` comes later there. A failure of the
/// disk is told in `code` and `detail` (static text).
class DeadLetters {
  public:
    virtual ~DeadLetters() = default;
    virtual void list(LetterQuery query, std::function<void(LetterPage)> done) = 0;
    virtual void find(std::int64_t id, std::function<void(FoundLetter)> done) = 0;
    /// Tells not_found, bad_request or too_large (naming the member), unavailable; or no error.
    /// False, and nothing happens: too much waits already.
    [[nodiscard]] virtual bool edit(std::int64_t id, LetterEdit edit, std::size_t bytes_max,
                                    std::function<void(Error)> done) = 0;
    /// In steps, each of which holds or does not: the writer's other work goes on meanwhile. What
    /// becomes a letter after the call is not looked at.
    virtual void carry_out(LetterOrder order, std::function<void(LettersDone)> done) = 0;
};

} // namespace fanfare::delivery
