// Values out of JSON by search instead of parsing. It suffices here because the payloads are this
// program's own and repeat none of the keys; a full parse per delivery would make the generator,
// not the server, the limit of a saturating run.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace load {

/// The unsigned number behind `key`, which is given with quotes and colon: `"offset":`.
[[nodiscard]] std::optional<std::uint64_t> find_number(std::string_view json, std::string_view key);

/// The text between the quotes behind `key`, escapes untouched; empty when there is none.
[[nodiscard]] std::string_view find_text(std::string_view json, std::string_view key);

/// Whether `true` stands behind `key`.
[[nodiscard]] bool find_true(std::string_view json, std::string_view key);

/// The unsigned number that `text` begins with.
[[nodiscard]] std::optional<std::uint64_t> leading_number(std::string_view text);

} // namespace load
