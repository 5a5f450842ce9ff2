// What POST /script says, read strictly: an unknown key is an error that names it.
#pragma once

#include "protocol.hpp"
#include "scripts.hpp"
#include "settings.hpp"

#include <simdjson.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sim {

struct Orders {
    ServiceId service{};
    std::vector<std::pair<std::string, std::vector<Step>>> tokens;
    std::vector<std::function<void(Settings&)>> changes; // of the settings, on every worker
    std::optional<std::int64_t> drops;                   // how often drop_at strikes
    std::vector<Command> commands;
    bool revoke_tokens = false;
    bool clear_scripts = false;
};

/// Throws std::invalid_argument with what is wrong.
[[nodiscard]] Orders read_orders(const std::string& body);

/// The members of an object; each must be one of the caller's.
using Member = std::function<void(const simdjson::dom::element&)>;
void read_members(const simdjson::dom::element& element, std::string_view where,
                  const std::vector<std::pair<std::string_view, Member>>& members);

} // namespace sim
