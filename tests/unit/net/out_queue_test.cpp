#include <fanfare/base/metrics.hpp>
#include <fanfare/net/out_queue.hpp>
#include <fanfare/net/reactor.hpp>

#include <boost/asio/error.hpp>
#include <catch2/catch.hpp>

#include <functional>
#include <memory>
#include <random>
#include <string>
#include <support/manual_clock.hpp>
#include <support/memory_transport.hpp>
#include <vector>

using namespace fanfare;
using net::OutQueue;

namespace {

LocalBytesRef bytes(std::string_view text) {
    return LocalBytes::copy_of(text);
}
/// Means nothing without the entry that follows.
LocalBytesRef opening(std::string_view text) {
    auto local = LocalBytes::copy_of(text);
    local->set_open_ended();
    return local;
}

/// Counts every call, refused ones too: each would be a system call.
class CountingTransport final : public net::Transport {
  public:
    explicit CountingTransport(std::shared_ptr<test::MemoryPipe> pipe) : inner_(std::move(pipe)) {}
    void set_handler(net::TransportHandler& handler) override { inner_.set_handler(handler); }
    Result<std::size_t> read(std::span<std::byte> to) override { return inner_.read(to); }
    Result<std::size_t> write(std::span<const iovec> pieces) override {
        ++calls;
        return inner_.write(pieces);
    }
    void want_readable(bool on) override { inner_.want_readable(on); }
    void want_writable(bool on) override { inner_.want_writable(on); }
    void shutdown_send() override { inner_.shutdown_send(); }
    void close() override { inner_.close(); }
    [[nodiscard]] std::string peer() const override { return inner_.peer(); }
    [[nodiscard]] bool peer_is_loopback() const override { return inner_.peer_is_loopback(); }
    int calls = 0;

  private:
    test::MemoryTransport inner_;
};

/// A queue to a peer that the test plays.
struct Peer final : OutQueue::Owner, net::TransportHandler {
    Peer()
        : pipe(std::make_shared<test::MemoryPipe>()), transport(pipe),
          queue(std::make_unique<OutQueue>(*this)) {
        transport.set_handler(*this);
        queue->attach(&transport);
    }
    void on_drained() override {
        ++drained;
        if (when_drained) when_drained();
    }
    void on_write_failed(error_code why) override {
        ++failed;
        failure = why;
        queued_at_failure = queue->queued_bytes();
        if (when_failed) when_failed();
    }
    void on_readable() override {}
    void on_writable() override { queue->flush(); }

    std::shared_ptr<test::MemoryPipe> pipe;
    CountingTransport transport;
    std::unique_ptr<OutQueue> queue;
    int drained = 0;
    int failed = 0;
    error_code failure;
    std::size_t queued_at_failure = 0;
    std::function<void()> when_drained;
    std::function<void()> when_failed;
};

struct World {
    test::ManualClock clock;
    Metrics metrics;
    net::Reactor reactor{0, clock, metrics};
    net::Reactor::Scope scope{reactor};
    Peer peer;
    OutQueue& queue{*peer.queue};
    test::MemoryPipe& pipe{*peer.pipe};
    void turn() { reactor.run_turn(); }
};

} // namespace

TEST_CASE("out queue: what one turn queues leaves in one write at its end", "[net][out_queue]") {
    World world;
    world.queue.push(bytes("one "));
    world.queue.push(bytes("two "));
    world.queue.push(bytes("three"));
    CHECK(world.queue.queued_bytes() == 13);
    CHECK_FALSE(world.queue.empty());
    CHECK(world.pipe.output.empty());
    world.turn();
    CHECK(world.pipe.output == "one two three");
    CHECK(world.pipe.writes == 1);
    CHECK(world.queue.empty());
    CHECK(world.queue.queued_bytes() == 0);
    CHECK(world.peer.drained == 1);
    world.turn(); // nothing is left to do
    CHECK(world.pipe.writes == 1);
    CHECK(world.peer.drained == 1);
}

TEST_CASE("out queue: more pieces than one call takes leave in several", "[net][out_queue]") {
    World world;
    std::string expected;
    for (int i = 0; i < 150; ++i) {
        const std::string piece = std::to_string(i) + ",";
        expected += piece;
        world.queue.push(bytes(piece));
    }
    world.turn();
    CHECK(world.pipe.output == expected);
    CHECK(world.pipe.writes == 3); // 64 a call
    CHECK(world.peer.drained == 1);
}

TEST_CASE("out queue: empty bytes are no trouble", "[net][out_queue]") {
    World world;
    world.queue.push(bytes(""));
    world.queue.push(bytes("a"));
    world.queue.push(bytes(""));
    world.turn();
    CHECK(world.pipe.output == "a");
    CHECK(world.queue.empty());
    CHECK_FALSE(world.queue.blocked());
}

TEST_CASE("out queue: refused by the kernel, it waits for readiness", "[net][out_queue]") {
    World world;
    world.pipe.room = 0;
    world.queue.push(bytes("hello"));
    world.turn();
    CHECK(world.queue.blocked());
    CHECK(world.pipe.wants_writable);
    CHECK(world.queue.queued_bytes() == 5);
    CHECK(world.peer.drained == 0);

    world.queue.push(bytes(" world"));
    world.turn();
    CHECK(world.peer.transport.calls == 1); // none was tried meanwhile
    CHECK(world.queue.queued_bytes() == 11);

    world.pipe.drain();
    CHECK(world.pipe.output == "hello world");
    CHECK_FALSE(world.queue.blocked());
    CHECK_FALSE(world.pipe.wants_writable);
    CHECK(world.peer.drained == 1);
}

TEST_CASE("out queue: a write that took a part waits for readiness at once", "[net][out_queue]") {
    World world;
    world.pipe.room = 3;
    world.queue.push(bytes("abcdef"));
    world.turn();
    CHECK(world.peer.transport.calls == 1); // the kernel has said how much: no second try
    CHECK(world.queue.blocked());
    CHECK(world.queue.queued_bytes() == 3);
}

TEST_CASE("out queue: any sizes, any refusals: the peer reads the same bytes",
          "[net][out_queue][property]") {
    const auto seed = GENERATE(range(1U, 31U));
    CAPTURE(seed);
    std::mt19937 random{seed};
    World world;
    std::string expected;
    std::size_t pushed = 0;
    world.pipe.room = 0;
    for (int step = 0; step < 200; ++step) {
        for (auto n = random() % 4; n > 0; --n) {
            const std::string piece(random() % 50, static_cast<char>('a' + pushed++ % 26));
            expected += piece;
            world.queue.push(bytes(piece));
        }
        world.turn();
        if (random() % 2 == 0) world.pipe.drain(random() % 60);
        REQUIRE(world.queue.queued_bytes() == expected.size() - world.pipe.output.size());
        REQUIRE(world.pipe.output == expected.substr(0, world.pipe.output.size()));
        REQUIRE(world.pipe.wants_writable == world.queue.blocked());
    }
    world.pipe.drain();
    world.turn();
    CHECK(world.pipe.output == expected);
    CHECK(world.queue.empty());
}

TEST_CASE("out queue: the write that fails, whichever it is, empties it and is told once",
          "[net][out_queue]") {
    // 200 entries of 10 bytes: four gather calls when the kernel takes all, more when it does not.
    const int nth = GENERATE(range(1, 25));
    CAPTURE(nth);
    World world;
    world.pipe.fail_write_at = nth;
    world.pipe.room = 95;
    const auto shared = SharedBytes::copy_of("0123456789");
    for (int i = 0; i < 200; ++i) world.queue.push(LocalBytes::show(shared));
    world.turn();
    while (world.peer.failed == 0 && !world.queue.empty()) {
        // Calls alternate: a part, all of 64 entries.
        world.pipe.drain(world.pipe.writes % 2 == 0 ? 95 : 640);
    }
    if (world.peer.failed == 0) {
        CHECK(world.pipe.output.size() == 2'000);
        CHECK(world.peer.drained == 1);
        return;
    }
    CHECK(world.peer.failed == 1);
    CHECK(world.peer.failure == boost::asio::error::broken_pipe);
    CHECK(world.peer.queued_at_failure == 0);
    CHECK(world.queue.empty());
    CHECK_FALSE(world.queue.blocked());
    CHECK(world.peer.drained == 0);
    // What was taken is a prefix, whole.
    for (std::size_t i = 0; i < world.pipe.output.size(); ++i)
        REQUIRE(world.pipe.output[i] == static_cast<char>('0' + i % 10));
}

TEST_CASE("out queue: drop_unsent keeps what the peer has begun to read", "[net][out_queue]") {
    struct Case {
        const char* name;
        std::size_t room;     // bytes taken before the drop
        const char* expected; // all that the peer reads in the end
    };
    // a | id: + event | z
    const auto c = GENERATE(values<Case>({
        {"nothing is sent", 0, "."},
        {"part of the first", 1, "aa."},
        {"all of the first", 2, "aa."},
        {"part of the opening", 4, "aaid:event."},
        {"all of the opening", 5, "aaid:event."},
        {"part of what it opens", 7, "aaid:event."},
        {"all of the pair", 10, "aaid:event."},
        {"part of the last", 11, "aaid:eventzz."},
        {"everything", 12, "aaid:eventzz."},
    }));
    CAPTURE(c.name);
    World world;
    world.pipe.room = c.room;
    world.queue.push(bytes("aa"));
    world.queue.push(opening("id:"));
    world.queue.push(bytes("event"));
    world.queue.push(bytes("zz"));
    world.turn();
    world.queue.drop_unsent();
    const std::string kept = c.expected;
    CHECK(world.queue.queued_bytes() == kept.size() - 1 - c.room);
    CHECK(world.queue.empty() == (world.queue.queued_bytes() == 0));
    world.queue.push(bytes("."));
    world.pipe.drain();
    world.turn();
    CHECK(world.pipe.output == c.expected);
    CHECK(world.queue.queued_bytes() == 0);
}

TEST_CASE("out queue: dropping at any time leaves the peer whole entries",
          "[net][out_queue][property]") {
    const auto seed = GENERATE(range(1U, 41U));
    CAPTURE(seed);
    std::mt19937 random{seed};
    World world;
    world.pipe.room = 0;
    for (int step = 0; step < 300; ++step) {
        switch (random() % 5) {
        case 0:
            world.queue.push(bytes("[xxxx]"));
            break;
        case 1:
            world.queue.push(opening("(yyy"));
            world.queue.push(bytes("zz)"));
            break;
        case 2:
            world.queue.drop_unsent();
            break;
        case 3:
            world.pipe.drain(random() % 9);
            break;
        default:
            world.turn();
            break;
        }
    }
    world.pipe.drain();
    world.turn();
    CHECK(world.queue.empty());
    std::string rest = world.pipe.output;
    while (!rest.empty()) {
        const std::string unit = rest.front() == '[' ? "[xxxx]" : "(yyyzz)";
        REQUIRE(rest.substr(0, unit.size()) == unit);
        rest.erase(0, unit.size());
    }
}

TEST_CASE("out queue: clear drops everything, and it can be used again", "[net][out_queue]") {
    World world;
    world.pipe.room = 2;
    world.queue.push(bytes("abcd"));
    world.queue.push(bytes("efgh"));
    world.turn();
    world.queue.clear();
    CHECK(world.queue.empty());
    CHECK(world.queue.queued_bytes() == 0);
    world.queue.push(bytes("xyz"));
    world.pipe.drain();
    CHECK(world.pipe.output == "abxyz");
}

TEST_CASE("out queue: one that was cleared has nothing to say", "[net][out_queue]") {
    World world;
    world.queue.push(bytes("abcd"));
    world.queue.clear();
    world.turn();
    CHECK(world.peer.transport.calls == 0);
    CHECK(world.peer.drained == 0);
}

TEST_CASE("out queue: without a transport nothing is kept", "[net][out_queue]") {
    World world;
    world.queue.push(bytes("lost"));
    world.queue.attach(nullptr);
    world.turn();
    CHECK(world.queue.empty());
    CHECK(world.pipe.output.empty());
    CHECK(world.peer.drained == 0);
    CHECK(world.peer.failed == 0);
}

TEST_CASE("out queue: what a drained owner pushes leaves in the same turn", "[net][out_queue]") {
    World world;
    int more = 3;
    world.peer.when_drained = [&] {
        if (more-- > 0) world.queue.push(bytes("+"));
    };
    world.queue.push(bytes("0"));
    world.turn();
    CHECK(world.pipe.output == "0+++");
    CHECK(world.peer.drained == 4);
}

TEST_CASE("out queue: one that is destroyed with bytes in it is not flushed", "[net][out_queue]") {
    World world;
    Peer other;
    other.queue->push(bytes("gone"));
    world.queue.push(bytes("here"));
    other.queue.reset();
    world.turn();
    CHECK(other.pipe->output.empty());
    CHECK(world.pipe.output == "here");
}

TEST_CASE("out queue: an owner may destroy its own or another queue when told",
          "[net][out_queue]") {
    World world;
    auto second = std::make_unique<Peer>();
    auto third = std::make_unique<Peer>();
    const auto second_pipe = second->pipe;
    const auto third_pipe = third->pipe;
    world.peer.when_drained = [&] { second.reset(); };
    third_pipe->fail_write_at = 1;
    third->when_failed = [&] { third->queue.reset(); };
    world.queue.push(bytes("1"));
    second->queue->push(bytes("2"));
    third->queue->push(bytes("3"));
    world.turn();
    CHECK(world.pipe.output == "1");
    CHECK(second_pipe->output.empty());
    CHECK(third->failed == 1);
    CHECK(third->queue == nullptr);
}

TEST_CASE("out queue: what slow peers make wait is in the gauge, whatever happens to it",
          "[net][out_queue]") {
    test::ManualClock clock;
    Metrics metrics;
    net::Reactor reactor{0, clock, metrics};
    const auto waiting = [&] { return metrics.sum("send_queue_bytes"); };
    {
        const net::Reactor::Scope here{reactor};
        Peer slow;
        Peer other;
        slow.pipe->room = 3;
        slow.queue->push(bytes("12345"));
        CHECK(waiting() == 0); // nothing was refused yet
        reactor.run_turn();
        CHECK(waiting() == 2);
        slow.queue->push(bytes("6789"));
        CHECK(waiting() == 6);
        other.pipe->room = 0;
        other.queue->push(bytes("ab"));
        reactor.run_turn();
        CHECK(waiting() == 8);
        slow.pipe->drain(1);
        CHECK(waiting() == 7);
        slow.queue->drop_unsent(); // the rest of what the peer has begun to read stays
        CHECK(waiting() == 3);
        slow.pipe->drain();
        CHECK(waiting() == 2);
        other.pipe->reset = true;
        other.pipe->drain(); // the write fails
        CHECK(waiting() == 0);
        slow.pipe->room = 0;
        slow.queue->push(bytes("left behind"));
        reactor.run_turn();
        CHECK(waiting() == 11);
    }
    CHECK(waiting() == 0);
    CHECK(metrics.sum("send_queue_high_water_bytes") == 11);
}

TEST_CASE("out queue: a write goes at once if nothing is in the way", "[net][out_queue]") {
    World world;
    const auto piece = bytes("now");
    CHECK(world.queue.write(*piece));
    CHECK(world.pipe.output == "now");
    CHECK(world.queue.empty());
    CHECK(piece->view() == "now");
    world.turn();
    CHECK(world.pipe.writes == 1);
    CHECK(world.peer.drained == 0); // nothing had waited

    world.queue.push(bytes(" then"));
    CHECK(world.queue.write(*bytes(" behind")));
    CHECK(world.pipe.writes == 1); // it keeps its place
    world.turn();
    CHECK(world.pipe.output == "now then behind");
    CHECK(world.pipe.writes == 2);
}

TEST_CASE("out queue: what a write leaves over waits for the kernel", "[net][out_queue]") {
    World world;
    const auto room = GENERATE(std::size_t{0}, std::size_t{1}, std::size_t{4}, std::size_t{5});
    CAPTURE(room);
    world.pipe.room = room;
    CHECK(world.queue.write(*bytes("12345")));
    CHECK(world.pipe.output.size() == room);
    CHECK(world.queue.queued_bytes() == 5 - room);
    CHECK(world.queue.blocked() == (room != 5));
    CHECK(world.pipe.wants_writable == (room != 5));
    CHECK(world.metrics.sum("send_queue_bytes") == static_cast<double>(5 - room));
    CHECK(world.queue.write(*bytes("67")));
    world.pipe.drain();
    world.turn();
    CHECK(world.pipe.output == "1234567");
    CHECK_FALSE(world.queue.blocked());
    CHECK(world.metrics.sum("send_queue_bytes") == 0);
}

TEST_CASE("out queue: a write that fails is told to the owner at once", "[net][out_queue]") {
    World world;
    world.pipe.fail_write_at = 1;
    CHECK_FALSE(world.queue.write(*bytes("lost")));
    CHECK(world.peer.failed == 1);
    CHECK(world.queue.empty());
    world.turn();
    CHECK(world.pipe.writes == 1);
}
