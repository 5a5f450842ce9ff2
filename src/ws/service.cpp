// From `GET /ws` to a connection: checks, token, upgrade.

#include "connection.hpp"
#include "handshake.hpp"

#include <fanfare/base/log.hpp>

#include <algorithm>

namespace fanfare::ws {
namespace {

std::string response_head(const UpgradeAccept& accept) {
    std::string head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                       "Connection: Upgrade\r\nSec-WebSocket-Accept: ";
    head += accept.accept_key;
    if (!accept.subprotocol.empty())
        head.append("\r\nSec-WebSocket-Protocol: ").append(accept.subprotocol);
    if (!accept.extensions.empty())
        head.append("\r\nSec-WebSocket-Extensions: ").append(accept.extensions);
    head += "\r\n\r\n";
    return head;
}

} // namespace

Service::Shared::Shared(session::Sessions& owner, std::vector<TextProtocol*> spoken)
    : sessions(owner), protocols(std::move(spoken)),
      bytes_in(owner.reactor().metrics().counter("websocket_bytes_in_total",
                                                 "Bytes read from WebSocket clients.")),
      handshakes(owner.reactor().metrics(), "websocket_handshakes_total",
                 "WebSocket handshakes by outcome.", "outcome"),
      connections(owner.reactor().metrics().gauge(
          "connections", "Open connections by what they speak.", {{"transport", "websocket"}})) {
    // Those that every gateway sees are there from the start: a rate needs a first value.
    for (const std::string_view outcome : {"accepted", "unauthorized", "forbidden"})
        static_cast<void>(handshakes[outcome]);
    for (const TextProtocol* protocol : protocols) names.push_back(protocol->name());
    std::string empty_ping(server_header_bytes_max, '\0');
    empty_ping.resize(write_header(empty_ping.data(), Opcode::ping, false, 0));
    ping = LocalBytes::copy_of(empty_ping);
}

Service::Service(session::Sessions& sessions, std::vector<TextProtocol*> protocols)
    : shared_(std::make_unique<Shared>(sessions, std::move(protocols))) {}

Service::~Service() = default;

void Service::handle(http::Exchange& exchange) {
    using http::Header;
    const http::RequestHead& head = exchange.head();
    Shared& shared = *shared_;
    UpgradeRequest request;
    request.method = http::method_name(head.method);
    request.http_1_1 = !head.http_1_0;
    request.host = head[Header::host];
    request.connection = head[Header::connection];
    request.upgrade = head[Header::upgrade];
    request.key = head[Header::sec_websocket_key];
    request.version = head[Header::sec_websocket_version];
    request.subprotocol = head[Header::sec_websocket_protocol];
    request.extensions = head[Header::sec_websocket_extensions];
    if (head.has(Header::origin)) request.origin = head[Header::origin];
    UpgradeOptions options;
    options.subprotocols = shared.names;
    options.allowed_origins = shared.sessions.options().allowed_origins;
    const auto decision = check_upgrade(request, options);
    if (const auto* refusal = std::get_if<UpgradeRefusal>(&decision)) {
        shared.handshakes[code_name(refusal->code)].add();
        http::Response response =
            http::problem(refusal->status, refusal->code, std::string{refusal->detail});
        for (const auto& [name, value] : refusal->headers)
            response.headers.append(name).append(": ").append(value).append("\r\n");
        exchange.respond(response);
        return;
    }
    const auto& accept = std::get<UpgradeAccept>(decision);
    Connection::Agreed agreed;
    const auto chosen = std::find(shared.names.begin(), shared.names.end(), accept.subprotocol);
    agreed.protocol =
        shared.protocols[chosen == shared.names.end()
                             ? 0
                             : static_cast<std::size_t>(chosen - shared.names.begin())];
    agreed.deflate_receive = accept.deflate_agreed;
    agreed.deflate_send = accept.deflate_send;

    const auto upgrade = [&shared, agreed, head_bytes = response_head(accept)](
                             http::Exchange& open, session::IdentityRef identity) {
        shared.handshakes["accepted"].add();
        http::Detached detached = open.detach();
        auto connection =
            std::make_unique<Connection>(shared, std::move(detached.transport), agreed);
        Connection& raw = *connection;
        shared.sessions.reactor().adopt(std::move(connection));
        raw.start(head_bytes, std::move(identity), std::move(detached.leftover));
    };

    std::string token{http::bearer_token(head)};
    if (token.empty()) token = http::query_value(head.query, "token").value_or("");
    if (token.empty()) {
        upgrade(exchange, nullptr);
        return;
    }
    net::Reactor& reactor = exchange.reactor();
    shared.sessions.authorizer().authenticate(
        std::move(token), [&shared, &reactor, upgrade, handle = exchange.handle()](
                              const session::IdentityRef& identity, const Error& error) {
            http::Exchange* const open = http::find_exchange(reactor, handle);
            if (open == nullptr) return;
            if (identity) {
                upgrade(*open, identity);
                return;
            }
            shared.handshakes[code_name(error.code)].add();
            http::Response response = http::problem(error);
            response.headers += "WWW-Authenticate: Bearer error=\"invalid_token\"\r\n";
            open->respond(response);
        });
}

void Service::turn_away(http::Exchange& exchange, std::string_view why) {
    shared_->handshakes[code_name(Code::unavailable)].add();
    http::Response response = http::problem(Code::unavailable, std::string{why});
    response.close = true;
    exchange.respond(response);
}

} // namespace fanfare::ws
