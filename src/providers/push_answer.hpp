#pragma once
// What a vendor answered, and what it means: the part that the vendors share.

#include <fanfare/delivery/provider.hpp>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace fanfare::providers {

struct AnswerField {
    std::string_view name; // any case
    std::string_view value;
};

/// An answer as it came. Bodies may be cut off at `answer_bytes_max`: none that says something is
/// longer.
struct PushAnswer {
    int status = 0;
    std::span<const AnswerField> fields;
    std::string_view body;
    /// The first field of that name, in any case; empty if there is none.
    [[nodiscard]] std::string_view field(std::string_view name) const noexcept;
};
inline constexpr std::size_t answer_bytes_max = std::size_t{64} * 1024;

/// What the credential's token must become.
enum class TokenStep : std::uint8_t {
    keep,
    renew, // the one that was sent is not taken any more: a newer one, if it is still the current
    hold,  // no new one for a while, back to the one before (APNs)
};

struct PushReading {
    /// Stands if the push is not sent again by `again`.
    delivery::PushOutcome outcome;
    /// Worth one more try at once, after `token` and `new_connection` are done. Never twice: the
    /// second answer is read with `Attempt::repeated`.
    bool again = false;
    TokenStep token = TokenStep::keep;
    bool new_connection = false; // this one is of no more use
    bool alert = false;          // an operator must look at the credential or its settings
    bool our_fault = false;      // the request was wrong: to be counted
    bool wrong_target = false;   // the token belongs to somebody else: for MassDropGuard
    bool pause_origin = false;   // Web Push: nothing more to this origin for a while
    bool unread = false;         // taken, but its answer could not be read: to be counted
};

/// Whether the push had its one repetition already (see PushReading::again).
enum class Attempt : std::uint8_t { first, repeated };

/// A service's word for what happened can be shown and logged: letters, digits, blanks, `_` and
/// `-`, at most 64. Anything else may repeat what we sent, which is secret.
[[nodiscard]] bool is_reason(std::string_view text) noexcept;
/// "HTTP 503": for an answer without a word.
[[nodiscard]] std::string status_reason(int status);

[[nodiscard]] bool equal_without_case(std::string_view a, std::string_view b) noexcept;

} // namespace fanfare::providers
