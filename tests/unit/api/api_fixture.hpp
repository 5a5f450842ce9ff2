#pragma once
// The API behind a real HTTP server on a reactor that the test turns; clients are memory pipes.

#include "support/memory_dead_letters.hpp"
#include "support/memory_devices.hpp"
#include "support/memory_inbox_log.hpp"
#include "support/memory_transport.hpp"
#include "support/session_world.hpp"

#include <fanfare/api/api.hpp>
#include <fanfare/base/bytes.hpp>
#include <fanfare/delivery/inboxes.hpp>
#include <fanfare/http/server.hpp>

#include <memory>
#include <string>
#include <string_view>

namespace fanfare::api::test {

using fanfare::test::Lines;
using fanfare::test::MemoryPipe;
using fanfare::test::World;

inline std::shared_ptr<const auth::ApiKeys> two_keys() {
    std::vector<auth::ApiKeyOptions> keys(2);
    keys[0] = {"all", sha256("key-all"), 15};
    keys[1] = {"reader", sha256("key-read"), static_cast<std::uint8_t>(auth::Scope::read)};
    return std::make_shared<const auth::ApiKeys>(std::move(keys));
}

struct Node {
    explicit Node(const Options& options = {}, bool store = true)
        : inboxes(*world.sessions[0], log, log.options),
          api(*world.sessions[0], world.keys, two_keys(), world.metrics,
              {[] { return ""; }, "gw-1"}, options, store ? &inboxes : nullptr,
              store ? &devices : nullptr, store ? &letters : nullptr),
          router(world.metrics), server(world.reactors[0], router, admission, {}) {
        log.devices = &devices;
        inboxes.connect({&inboxes});
        api.add_routes(router);
    }
    ~Node() { world.reactors[0].destroy_owned(); }

    World world;
    fanfare::test::MemoryInboxLog log;
    fanfare::test::MemoryDevices devices;
    fanfare::test::MemoryDeadLetters letters;
    delivery::Inboxes inboxes;
    Api api;
    http::Router router;
    net::Admission admission{100};
    http::Server server;
};

struct Answer {
    int status = 0;
    std::string body;
    std::string head;
};

/// One connection of a backend.
struct Backend {
    explicit Backend(Node& n) : node(n) {
        node.world.run([&] {
            node.server.accept(std::make_unique<fanfare::test::MemoryTransport>(pipe),
                               net::Admission::Verdict::accept);
        });
    }
    static std::string head(std::string_view target, std::string_view headers) {
        std::string text = "POST ";
        return text.append(target)
            .append(" HTTP/1.1\r\nHost: h\r\nX-API-Key: key-all\r\n")
            .append(headers)
            .append("\r\n");
    }
    void send(std::string_view bytes) {
        pipe->input += bytes;
        node.world.run([&] { pipe->deliver(); });
    }
    /// The answer that came, chunks taken off; status 0: none yet.
    Answer take() {
        const std::string& bytes = pipe->output;
        Answer answer;
        const std::size_t end = bytes.find("\r\n\r\n");
        if (end == std::string::npos) return answer;
        answer.status = std::stoi(bytes.substr(9, 3));
        answer.head = bytes.substr(0, end + 2);
        std::string_view body = std::string_view{bytes}.substr(end + 4);
        if (bytes.substr(0, end).find("Transfer-Encoding: chunked") == std::string::npos) {
            answer.body = body;
        } else {
            while (true) {
                const std::size_t size = std::strtoul(body.data(), nullptr, 16);
                if (size == 0) break;
                body.remove_prefix(body.find("\r\n") + 2);
                answer.body += body.substr(0, size);
                body.remove_prefix(size + 2);
            }
        }
        pipe->output.clear();
        return answer;
    }
    Answer post(std::string_view target, std::string_view body, std::string_view headers = {}) {
        std::string all{headers};
        all += "Content-Length: " + std::to_string(body.size()) + "\r\n";
        send(head(target, all) + std::string{body});
        return take();
    }
    /// Any method and key; without a body if it is empty.
    Answer call(std::string_view method, std::string_view target, std::string_view body = {},
                std::string_view headers = "X-API-Key: key-all\r\n") {
        std::string text{method};
        text.append(" ").append(target).append(" HTTP/1.1\r\nHost: h\r\n").append(headers);
        if (!body.empty()) text += "Content-Length: " + std::to_string(body.size()) + "\r\n";
        send(text.append("\r\n").append(body));
        return take();
    }
    Answer get(std::string_view target) { return call("GET", target); }
    Answer batch(std::string_view body) {
        return post("/api/v1/publish/batch", body, "Content-Type: application/json\r\n");
    }
    Answer lines(std::string_view body) {
        return post("/api/v1/publish/batch", body, "Content-Type: application/x-ndjson\r\n");
    }

    Node& node;
    std::shared_ptr<MemoryPipe> pipe = std::make_shared<MemoryPipe>();
};

/// The text with every epoch (8 characters that differ each time) written as E.
inline std::string without_epoch(std::string text) {
    const std::string key = R"("epoch":")";
    for (std::size_t at = 0; (at = text.find(key, at)) != std::string::npos;) {
        at += key.size();
        text.replace(at, 8, "E");
    }
    return text;
}

} // namespace fanfare::api::test
