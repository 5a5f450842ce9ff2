#pragma once
// A request as the test wrote it, without a server around it: what a handler answers is kept, and a
// transport that it takes over is a memory pipe. It cannot be found by its handle.

#include "support/memory_transport.hpp"

#include <fanfare/http/exchange.hpp>
#include <fanfare/net/reactor.hpp>

#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace fanfare::test {

class ScriptedExchange final : public http::Exchange {
  public:
    explicit ScriptedExchange(net::Reactor& reactor, http::Method method = http::Method::get)
        : reactor_(reactor) {
        head_.method = method;
    }

    ScriptedExchange& set(http::Header header, std::string value) {
        texts_.push_back(std::move(value));
        head_.headers[static_cast<std::size_t>(header)] = texts_.back();
        return *this;
    }
    ScriptedExchange& set_query(std::string query) {
        texts_.push_back(std::move(query));
        head_.query = texts_.back();
        return *this;
    }
    ScriptedExchange& set_http_1_0() {
        head_.http_1_0 = true;
        return *this;
    }

    // what came of it
    std::vector<http::Response> responses;
    bool detached = false;
    std::shared_ptr<MemoryPipe> pipe = std::make_shared<MemoryPipe>();
    // what the new owner finds behind the request
    std::string leftover;

    [[nodiscard]] net::Reactor& reactor() noexcept override { return reactor_; }
    [[nodiscard]] net::Handle handle() const noexcept override { return 0; }
    [[nodiscard]] const http::RequestHead& head() const noexcept override { return head_; }
    [[nodiscard]] std::string_view body() const noexcept override { return {}; }
    [[nodiscard]] const std::string& path_parameter(std::size_t /*i*/) const noexcept override {
        return texts_.front();
    }
    [[nodiscard]] bool peer_is_loopback() const override { return true; }
    [[nodiscard]] std::string peer() const override { return "192.0.2.1"; }
    [[nodiscard]] bool shed() const noexcept override { return false; }
    void respond(const http::Response& response) override { responses.push_back(response); }
    void begin_response(const http::Response& head) override { responses.push_back(head); }
    void write_body(std::string_view bytes) override { responses.back().body += bytes; }
    void end_body() override {}
    [[nodiscard]] std::size_t queued_bytes() const noexcept override { return 0; }
    void pause_body() override {}
    void resume_body() override {}
    [[nodiscard]] http::Detached detach() override {
        detached = true;
        http::Detached left;
        left.transport = std::make_unique<MemoryTransport>(pipe);
        left.leftover = leftover;
        left.chunked = !head_.http_1_0;
        return left;
    }

  private:
    net::Reactor& reactor_;
    http::RequestHead head_;
    std::deque<std::string> texts_; // what `head_` shows; does not move
};

} // namespace fanfare::test
