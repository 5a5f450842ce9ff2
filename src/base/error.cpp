#include <fanfare/base/assert.hpp>
#include <fanfare/base/error.hpp>

#include <array>

namespace fanfare {
namespace {

struct Row {
    Code code;
    std::string_view name;
    int status;
};

// In the order of the enumerators, which tests hold it to. A client may repeat its request as it is
// after `rate_limited` (429) and `unavailable` (503) only; every other code stays what it is until
// the client changes something.
constexpr std::array rows{
    Row{Code::ok, "ok", 200},
    Row{Code::bad_request, "bad_request", 400},
    Row{Code::unknown_op, "unknown_op", 400},
    Row{Code::unauthorized, "unauthorized", 401},
    Row{Code::forbidden, "forbidden", 403},
    Row{Code::not_found, "not_found", 404},
    Row{Code::conflict, "conflict", 409},
    Row{Code::already_subscribed, "already_subscribed", 409},
    Row{Code::not_subscribed, "not_subscribed", 409},
    Row{Code::too_large, "too_large", 413},
    Row{Code::rate_limited, "rate_limited", 429},
    // Not 429 or 503, which invite the client to come again: the bound will still be there.
    Row{Code::limit_reached, "limit_reached", 409},
    Row{Code::unavailable, "unavailable", 503},
    Row{Code::internal, "internal", 500},
    Row{Code::method_not_allowed, "method_not_allowed", 405},
    Row{Code::unsupported_media_type, "unsupported_media_type", 415},
};

constexpr bool in_order() {
    for (std::size_t i = 0; i < rows.size(); ++i)
        if (static_cast<std::size_t>(rows[i].code) != i) return false;
    return true;
}
static_assert(in_order());
static_assert(rows.size() == static_cast<std::size_t>(Code::unsupported_media_type) + 1);

const Row& row(Code code) noexcept {
    const auto index = static_cast<std::size_t>(code);
    FANFARE_ASSERT(index < rows.size());
    return rows[index];
}

} // namespace

std::string_view code_name(Code code) noexcept {
    return row(code).name;
}

int code_status(Code code) noexcept {
    return row(code).status;
}

} // namespace fanfare
