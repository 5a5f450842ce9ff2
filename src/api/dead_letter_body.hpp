#pragma once
// What calls about dead letters say: bodies and queries in, values out. No I/O.

#include <fanfare/base/error.hpp>
#include <fanfare/delivery/dead_letters.hpp>

#include <cstdint>
#include <optional>
#include <string_view>

namespace fanfare::api {

/// The body of `PATCH /api/v1/dead-letters/{id}`: a change, with null for what is taken away.
/// Overwrites `edit`; returns what is wrong, then `edit` is worth nothing.
[[nodiscard]] Error parse_letter_edit(std::string_view text, delivery::LetterEdit& edit);

/// The body of `POST …/redrive` and `…/discard`: `{"ids":[…]}`, `{"filter":{…}}` or `{"all":true}`,
/// and `limit`. As above, but that `order.act` is left alone. A member that is not known is an
/// error, since what it was to restrict would be done to all.
[[nodiscard]] Error parse_letter_order(std::string_view text, delivery::LetterOrder& order);

/// The query of `GET /api/v1/dead-letters`, but for `limit` and `cursor`.
[[nodiscard]] Error parse_letter_query(std::string_view query, delivery::LetterQuery& to);

/// A letter's id, in decimal; nothing if it is none.
[[nodiscard]] std::optional<std::int64_t> parse_letter_id(std::string_view text) noexcept;

} // namespace fanfare::api
