// What an operator asks of dead letters, any bytes at all, as an edit, an order and a query: no
// crash, what is accepted keeps its promises, and an order never means more letters than it says.

#include "dead_letter_body.hpp"

#include <fanfare/base/clock.hpp>
#include <fanfare/base/json_check.hpp>
#include <fanfare/room/message.hpp>

#include <cstdint>
#include <cstdlib>
#include <set>

using namespace fanfare;
using namespace fanfare::api;
using delivery::LetterOrder;

namespace {

void expect(bool promise) {
    if (!promise) std::abort();
}

void check_error(const Error& error) {
    expect(error.code == Code::bad_request || error.code == Code::too_large);
    expect(!error.message.empty());
}

bool is_empty(const delivery::LetterFilter& filter) {
    return filter.user.empty() && filter.device.empty() && filter.provider.empty() &&
           filter.reason.empty() && !filter.notification && !filter.since && !filter.until;
}

void check_filter(const delivery::LetterFilter& filter) {
    for (const std::string& name : {filter.user, filter.device})
        expect(name.empty() || room::id_fault(name) == nullptr);
    // Years of four digits; a zone may lead out of them by a day.
    constexpr WallMillis first = -62'167'219'200'000;
    constexpr WallMillis last = 253'402'300'799'999;
    constexpr WallMillis day = 86'400'000;
    for (const auto& time : {filter.since, filter.until}) {
        if (!time) continue;
        expect(*time >= first - day && *time <= last + day);
        if (*time >= first && *time <= last) expect(parse_rfc3339(rfc3339(*time)) == *time);
    }
}

void read_edit(std::string_view text) {
    constexpr const char* content = R"({"title":"t","priority":"low"})";
    delivery::LetterEdit edit;
    if (const Error error = parse_letter_edit(text, edit)) return check_error(error);
    expect(!check_json(text));
    expect(edit.title || edit.body || edit.data || edit.ttl);
    expect(!edit.ttl || edit.ttl->count() >= 0);
    const auto edited = delivery::edited_content(content, edit, std::size_t{1} << 20U);
    if (const auto* const made = std::get_if<std::string>(&edited)) expect(!check_json(*made));
}

void read_order(std::string_view text) {
    LetterOrder order;
    order.act = LetterOrder::Act::discard;
    if (const Error error = parse_letter_order(text, order)) return check_error(error);
    expect(!check_json(text));
    expect(order.act == LetterOrder::Act::discard);
    expect(order.limit >= 1 && order.limit <= LetterOrder::limit_max);
    expect(order.ids.size() <= LetterOrder::limit_max);
    expect(std::set<std::int64_t>(order.ids.begin(), order.ids.end()).size() == order.ids.size());
    for (const std::int64_t id : order.ids) expect(id >= 1);
    check_filter(order.filter);
    // All are meant only where somebody says so.
    if (order.ids.empty() && is_empty(order.filter))
        expect(text.find("all") != std::string_view::npos ||
               text.find('\\') != std::string_view::npos);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    // NOLINTNEXTLINE: bytes and chars alias by the language's own rule.
    const std::string_view text{reinterpret_cast<const char*>(data), size};
    read_edit(text);
    read_order(text);
    delivery::LetterQuery query;
    if (const Error error = parse_letter_query(text, query))
        check_error(error);
    else
        check_filter(query.filter);
    static_cast<void>(parse_letter_id(text));
    return 0;
}
