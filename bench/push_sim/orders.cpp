#include "orders.hpp"

#include <fmt/format.h>

#include <cmath>
#include <stdexcept>

namespace sim {
namespace {

using simdjson::SUCCESS;
using simdjson::dom::element;

[[noreturn]] void fail(std::string_view where, std::string_view what) {
    throw std::invalid_argument(fmt::format("{}: {}", where, what));
}

std::string text(const element& value, std::string_view where) {
    std::string_view out;
    if (value.get(out) != SUCCESS) fail(where, "a text is expected");
    return std::string{out};
}

bool flag(const element& value, std::string_view where) {
    bool out = false;
    if (value.get(out) != SUCCESS) fail(where, "true or false is expected");
    return out;
}

std::int64_t integer(const element& value, std::string_view where, std::int64_t min,
                     std::int64_t max) {
    std::int64_t out = 0;
    if (value.get(out) != SUCCESS || out < min || out > max) {
        fail(where, fmt::format("a whole number from {} to {} is expected", min, max));
    }
    return out;
}

Duration wait_ms(const element& value, std::string_view where) {
    double out = -1;
    if (value.get(out) != SUCCESS || out < 0 || out > 3.6e6) {
        fail(where, "milliseconds from 0 to 3600000 are expected");
    }
    return milliseconds(out);
}

std::uint32_t error_code(const element& value, std::string_view where) {
    constexpr std::string_view names[] = {
        "NO_ERROR",         "PROTOCOL_ERROR",    "INTERNAL_ERROR",   "FLOW_CONTROL_ERROR",
        "SETTINGS_TIMEOUT", "STREAM_CLOSED",     "FRAME_SIZE_ERROR", "REFUSED_STREAM",
        "CANCEL",           "COMPRESSION_ERROR", "CONNECT_ERROR",    "ENHANCE_YOUR_CALM"};
    const std::string name = text(value, where);
    for (std::uint32_t code = 0; code < std::size(names); ++code) {
        if (names[code] == name) return code;
    }
    fail(where, fmt::format("\"{}\" is no error of HTTP/2, e.g. REFUSED_STREAM", name));
}

After after(const element& value, std::string_view where) {
    const std::string name = text(value, where);
    if (name == "goaway") return After::goaway;
    if (name == "close") return After::close;
    fail(where, "goaway or close is expected");
}

Deed deed(const std::string& name, std::string_view where) {
    if (name == "reset") return Deed::reset_stream;
    if (name == "drop") return Deed::drop;
    if (name == "never") return Deed::never;
    fail(where, "reset, drop or never is expected");
}

void read_headers(const element& value, std::string_view where, Step& step) {
    simdjson::dom::object object;
    if (value.get(object) != SUCCESS) fail(where, "an object is expected");
    for (const auto& [name, header] : object) {
        step.headers.emplace_back(std::string{name}, text(header, where));
    }
}

Step read_step(const element& value, const std::string& where) {
    Step step;
    const auto member = [&](std::string_view name, auto set) {
        return std::pair<std::string_view, Member>{name, set};
    };
    read_members(
        value, where,
        {member("status",
                [&](const element& v) {
                    step.status = static_cast<int>(integer(v, where + ".status", 200, 599));
                }),
         member("reason", [&](const element& v) { step.reason = text(v, where + ".reason"); }),
         member("form", [&](const element& v) { step.form = text(v, where + ".form"); }),
         member("timestamp",
                [&](const element& v) {
                    step.timestamp_ms = integer(v, where + ".timestamp", 0, INT64_MAX);
                }),
         member("body", [&](const element& v) { step.body = text(v, where + ".body"); }),
         member("retry_after",
                [&](const element& v) { step.retry_after = text(v, where + ".retry_after"); }),
         member("headers", [&](const element& v) { read_headers(v, where + ".headers", step); }),
         member("do",
                [&](const element& v) { step.deed = deed(text(v, where + ".do"), where + ".do"); }),
         member("error_code",
                [&](const element& v) { step.error_code = error_code(v, where + ".error_code"); }),
         member("delay_ms",
                [&](const element& v) { step.delay = wait_ms(v, where + ".delay_ms"); }),
         member("then", [&](const element& v) { step.after = after(v, where + ".then"); }),
         member("then_reason",
                [&](const element& v) { step.after_reason = text(v, where + ".then_reason"); }),
         member("times", [&](const element& v) {
             step.times = static_cast<std::uint64_t>(integer(v, where + ".times", 0, INT64_MAX));
         })});
    return step;
}

void read_tokens(const element& value, Orders& orders) {
    simdjson::dom::object object;
    if (value.get(object) != SUCCESS) fail("tokens", "an object of lists is expected");
    for (const auto& [token, list] : object) {
        const std::string where = fmt::format("tokens[\"{}\"]", token);
        simdjson::dom::array steps;
        if (list.get(steps) != SUCCESS) fail(where, "a list of steps is expected");
        auto& [name, script] = orders.tokens.emplace_back();
        name = token;
        for (const element step : steps) {
            script.push_back(read_step(step, fmt::format("{}[{}]", where, script.size())));
        }
    }
}

Command read_goaway(const element& value) {
    Command command;
    command.kind = Command::Kind::goaway;
    const auto variant = [&](const element& v) {
        using G = Command::Goaway;
        constexpr std::pair<std::string_view, G> names[] = {
            {"plain", G::plain},   {"empty", G::empty},       {"twice", G::twice},
            {"middle", G::middle}, {"graceful", G::graceful}, {"close", G::close}};
        const std::string name = text(v, "goaway.variant");
        for (const auto& [known, goaway] : names) {
            if (known == name) return void(command.goaway = goaway);
        }
        fail("goaway.variant", "plain, empty, twice, middle, graceful or close is expected");
    };
    read_members(
        value, "goaway",
        {{"variant", variant},
         {"reason", [&](const element& v) { command.reason = text(v, "goaway.reason"); }},
         {"error_code",
          [&](const element& v) { command.error_code = error_code(v, "goaway.error_code"); }},
         {"last_stream", [&](const element& v) {
              command.last_stream =
                  static_cast<std::int32_t>(integer(v, "goaway.last_stream", 0, INT32_MAX));
          }}});
    return command;
}

/// Reads the value now, and keeps what sets it.
template <typename Value>
void change(Orders& orders, Value Settings::*member, Value value) {
    orders.changes.emplace_back([member, value](Settings& settings) { settings.*member = value; });
}

void read_faults(const element& value, Orders& orders) {
    Command announce;
    using S = Settings;
    const auto number = [&orders](unsigned S::*member, const char* name) {
        return [&orders, member, name](const element& v) {
            change(orders, member, static_cast<unsigned>(integer(v, name, 0, INT32_MAX)));
        };
    };
    const auto truth = [&orders](bool S::*member, const char* name) {
        return [&orders, member, name](const element& v) { change(orders, member, flag(v, name)); };
    };
    const auto time = [&orders](Duration S::*member, const char* name) {
        return
            [&orders, member, name](const element& v) { change(orders, member, wait_ms(v, name)); };
    };
    const auto rate = [&](const element& v) {
        double share = -1;
        if (v.get(share) != SUCCESS || share < 0 || share > 1)
            fail("error_rate", "0 to 1 is expected");
        change(orders, &S::error_rate, share);
    };
    const auto lifetime = [&](const element& v) {
        if (v.is_null()) return change(orders, &S::expires_in, std::string{});
        if (!v.is_string()) {
            return change(orders, &S::expires_in,
                          std::to_string(integer(v, "expires_in", 0, 86'400)));
        }
        change(orders, &S::expires_in, '"' + text(v, "expires_in") + '"');
    };
    read_members(
        value, "faults",
        {{"max_concurrent_streams", number(&S::streams_max, "max_concurrent_streams")},
         {"open_streams",
          [&](const element& v) {
              const std::string name = text(v, "open_streams");
              if (name != "finish" && name != "refuse")
                  fail("open_streams", "finish or refuse is expected");
              announce.finish_open = name == "finish";
          }},
         {"ramp", truth(&S::ramp, "ramp")},
         {"dip_on_error", truth(&S::dip, "dip_on_error")},
         {"window", number(&S::window, "window")},
         {"versions",
          [&](const element& v) {
              change(orders, &S::versions, parse_versions(text(v, "versions")));
          }},
         {"latency",
          [&](const element& v) {
              change(orders, &S::latency, Latency::parse(text(v, "latency")));
          }},
         {"error_rate", rate},
         {"ignore_ping", truth(&S::ignore_ping, "ignore_ping")},
         {"split", truth(&S::split, "split")},
         {"reversed", number(&S::reversed, "reversed")},
         {"reversed_wait_ms", time(&S::reversed_wait, "reversed_wait_ms")},
         {"handshake",
          [&](const element& v) {
              change(orders, &S::handshake, parse_handshake(text(v, "handshake")));
          }},
         {"handshake_delay_ms", time(&S::handshake_delay, "handshake_delay_ms")},
         {"drop_at",
          [&](const element& v) {
              change(orders, &S::drop_at, parse_drop_at(text(v, "drop_at")));
              if (!orders.drops) orders.drops = -1;
          }},
         {"drops", [&](const element& v) { orders.drops = integer(v, "drops", 0, INT32_MAX); }},
         {"blocked", truth(&S::blocked, "blocked")},
         {"connects_per_second", number(&S::connects_per_second, "connects_per_second")},
         {"token_requests", number(&S::token_requests, "token_requests")},
         {"token_window_ms", time(&S::token_window, "token_window_ms")},
         {"project_requests", number(&S::project_requests, "project_requests")},
         {"bad_tokens", number(&S::bad_tokens, "bad_tokens")},
         {"expires_in", lifetime},
         {"ttl_max", [&](const element& v) {
              change(orders, &S::ttl_max, integer(v, "ttl_max", 0, INT64_MAX));
          }}});
    orders.commands.push_back(announce);
}

ServiceId service_named(const std::string& name) {
    for (std::size_t i = 0; i + 1 < services_count; ++i) {
        const auto id = static_cast<ServiceId>(i);
        if (to_string(id) == name) return id;
    }
    fail("service", "apns, fcm, webpush or oauth is expected");
}

} // namespace

void read_members(const element& value, std::string_view where,
                  const std::vector<std::pair<std::string_view, Member>>& members) {
    simdjson::dom::object object;
    if (value.get(object) != SUCCESS) fail(where, "an object is expected");
    for (const auto& [key, at] : object) {
        bool known = false;
        for (const auto& [name, read] : members) {
            if (name != key) continue;
            read(at);
            known = true;
        }
        if (!known) fail(where, fmt::format("unknown key \"{}\"", key));
    }
}

Orders read_orders(const std::string& body) {
    simdjson::dom::parser parser;
    element root;
    if (parser.parse(body).get(root) != SUCCESS) fail("body", "JSON is expected");
    Orders orders;
    bool named = false;
    std::uint64_t connection = 0;
    const auto simple = [&](Command::Kind kind) {
        Command command;
        command.kind = kind;
        orders.commands.push_back(command);
    };
    read_members(root, "script",
                 {{"service",
                   [&](const element& v) {
                       orders.service = service_named(text(v, "service"));
                       named = true;
                   }},
                  {"tokens", [&](const element& v) { read_tokens(v, orders); }},
                  {"faults", [&](const element& v) { read_faults(v, orders); }},
                  {"goaway", [&](const element& v) { orders.commands.push_back(read_goaway(v)); }},
                  {"reset_streams",
                   [&](const element& v) {
                       simple(Command::Kind::reset_streams);
                       orders.commands.back().error_code = error_code(v, "reset_streams");
                   }},
                  {"drop",
                   [&](const element& v) {
                       if (flag(v, "drop")) simple(Command::Kind::drop);
                   }},
                  {"half_open",
                   [&](const element& v) {
                       if (flag(v, "half_open")) simple(Command::Kind::freeze);
                   }},
                  {"connection",
                   [&](const element& v) {
                       connection =
                           static_cast<std::uint64_t>(integer(v, "connection", 1, INT64_MAX));
                   }},
                  {"revoke_tokens",
                   [&](const element& v) { orders.revoke_tokens = flag(v, "revoke_tokens"); }},
                  {"clear", [&](const element& v) { orders.clear_scripts = flag(v, "clear"); }}});
    if (!named) fail("service", "is missing");
    for (Command& command : orders.commands) command.connection = connection;
    return orders;
}

} // namespace sim
