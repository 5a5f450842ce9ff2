#include "cli.hpp"
#include "config_values.hpp"

#include <fanfare/auth/token_issuer.hpp>
#include <fanfare/base/json_check.hpp>

#include <fmt/format.h>

#include <ostream>

namespace fanfare::app {
namespace {

/// The value of an option, read as a key of the configuration would be.
std::chrono::seconds read_ttl(const std::string& text) {
    ConfigNode node;
    node.kind = ConfigNode::Kind::scalar;
    node.style = ConfigNode::Style::either;
    node.text = text;
    using namespace std::chrono_literals;
    return whole_seconds(1s, std::chrono::hours{24 * 3650}).read({node, "--ttl"});
}

int refuse(Terminal& terminal, std::string_view what) {
    terminal.err << what << '\n';
    return exit_usage;
}

} // namespace

int run_token(const TokenCommand& command, std::int64_t now, Terminal& terminal) {
    if (command.sub.empty()) return refuse(terminal, "--sub: is empty; expected a user");
    if (!command.info.empty()) {
        if (const JsonFault fault = check_json(command.info))
            return refuse(terminal,
                          fmt::format("--info: is not JSON: {} at byte {}", fault.what, fault.at));
    }
    const Config config = command.config.empty()
                              ? parse_config("", "command line", terminal.environment)
                              : load_config(command.config, terminal.environment);
    auth::Claims claims;
    claims.sub = command.sub;
    claims.subscribe = command.subscribe;
    claims.publish = command.publish;
    claims.info = command.info;
    claims.device = command.device;
    claims.issued_at = now;
    claims.expires = now + read_ttl(command.ttl).count();
    const Result<std::string> token = auth::issue_token(config.jwt, claims);
    if (!token && token.error() == auth::issue_errc::no_secret)
        return refuse(terminal, "auth.jwt.secret: none to sign with; give --config F, or set "
                                "FANFARE_AUTH__JWT__SECRET (and …ALGORITHMS for other than HS256)");
    if (!token) {
        terminal.err << "token: " << token.error().message() << '\n';
        return exit_failed;
    }
    terminal.out << *token << '\n';
    return exit_ok;
}

} // namespace fanfare::app
