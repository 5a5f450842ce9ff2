#include "api_fixture.hpp"

#include <catch2/catch.hpp>

using namespace fanfare;
using namespace fanfare::api;
using namespace fanfare::api::test;
using namespace std::chrono_literals;

namespace {

std::string item(std::string_view room, std::string_view more = {}) {
    return R"({"room":")" + std::string{room} + R"(","data":1)" + std::string{more} + "}";
}
std::string ok(std::string_view room, int offset) {
    return R"({"room":")" + std::string{room} + R"(","epoch":"E","offset":)" +
           std::to_string(offset) + "}";
}
std::string results(const std::string& of) {
    return R"({"results":[)" + of + "]}";
}
int times(std::string_view text, std::string_view part) {
    int n = 0;
    for (auto at = text.find(part); at != std::string_view::npos; at = text.find(part, at + 1)) ++n;
    return n;
}

} // namespace

TEST_CASE("batch: one result per item, in order; a bad one fails alone", "[api][protocol-4]") {
    Node node;
    Backend backend{node};
    const std::string bad =
        R"({"error":{"code":"bad_request","message":"`data` is missing","field":"data"}})";
    const std::string many = R"({"results":[)" + ok("open:1", 2) + "," + ok("open:2", 1) + "]}";
    SECTION("as an array") {
        const Answer answer =
            backend.batch("[" + item("open:1") + R"( , {"room":"a"},)" +
                          R"({"rooms":["open:1","open:2"],"data":2}, )" + item("open:1") + "]");
        CHECK(answer.status == 200);
        CHECK(without_epoch(answer.body) ==
              results(ok("open:1", 1) + "," + bad + "," + many + "," + ok("open:1", 3)));
    }
    SECTION("as lines") {
        const Answer answer =
            backend.lines(item("open:1") + "\r\n" + R"({"room":"a"})" + "\n\n \t\n" +
                          R"({"rooms":["open:1","open:2"],"data":2})" + "\n" + item("open:1"));
        CHECK(answer.status == 200);
        CHECK(without_epoch(answer.body) ==
              results(ok("open:1", 1) + "," + bad + "," + many + "," + ok("open:1", 3)));
    }
}

TEST_CASE("batch: empty ones", "[api]") {
    Node node;
    Backend backend{node};
    CHECK(backend.batch("[]").body == results(""));
    CHECK(backend.lines("").body == results(""));
    CHECK(backend.lines("\n\r\n\n").body == results(""));
}

TEST_CASE("batch: results wait for those before them", "[api][idempotency]") {
    Node node;
    Backend backend{node};
    node.world.keys.hold = true;
    const bool lines = GENERATE(true, false);
    const std::string first = item("open:1", R"(,"id":"k")");
    CHECK((lines ? backend.lines(first + "\n" + item("open:1"))
                 : backend.batch("[" + first + "," + item("open:1") + "]"))
              .status == 0);
    node.world.run([&] { node.world.keys.answer(room::IdempotencyLog::Verdict::first); });
    CHECK(without_epoch(backend.take().body) == results(ok("open:1", 1) + "," + ok("open:1", 2)));
}

TEST_CASE("batch: a line has a bound, its neighbours do not feel it", "[api][protocol-6]") {
    Options options;
    options.item_bytes_max = 100;
    Node node{options};
    Backend backend{node};
    const auto line_of = [](std::size_t size) {
        const std::string rest = item("open:1", R"(,"x":"")");
        return item("open:1", R"(,"x":")" + std::string(size - rest.size(), 'x') + "\"");
    };
    const auto last = GENERATE(values<std::string>({"\n", "\r\n", ""}));
    const std::string too_large =
        R"({"error":{"code":"too_large","message":"the line has more than 100 bytes"}})";
    REQUIRE(line_of(100).size() == 100);
    CHECK(without_epoch(backend.lines(line_of(100) + last).body) == results(ok("open:1", 1)));
    CHECK(without_epoch(backend.lines(line_of(101) + last).body) == results(too_large));
    CHECK(without_epoch(backend.lines(line_of(102) + last).body) == results(too_large));
    CHECK(without_epoch(
              backend.lines(item("open:1") + "\n" + line_of(5'000) + "\n" + item("open:1") + last)
                  .body) == results(ok("open:1", 2) + "," + too_large + "," + ok("open:1", 3)));
}

TEST_CASE("batch: however a stream is cut", "[api]") {
    Options options;
    options.item_bytes_max = 100;
    Node node{options};
    Backend backend{node};
    backend.pipe->read_max = GENERATE(1U, 2U, 7U);
    const std::string body =
        item("open:1") + "\r\n" + std::string(150, ' ') + "1\n" + "[1\n" + item("open:2");
    const std::string answer = without_epoch(backend.lines(body).body);
    CHECK(answer.starts_with(R"({"results":[)" + ok("open:1", 1) + ","));
    CHECK(answer.find(R"({"error":{"code":"too_large")") != std::string::npos);
    CHECK(answer.find("byte 2: ") != std::string::npos);
    CHECK(answer.ends_with("," + ok("open:2", 1) + "]}"));
    CHECK(times(answer, "\"error\"") == 2);
}

TEST_CASE("batch: an array has a bound of items", "[api]") {
    Options options;
    options.batch_max = 2;
    Node node{options};
    Backend backend{node};
    CHECK(backend.batch("[" + item("open:1") + "," + item("open:1") + "]").status == 200);
    const Answer answer =
        backend.batch("[" + item("open:1") + "," + item("open:1") + "," + item("open:1") + "]");
    CHECK(answer.status == 413);
    CHECK(answer.body.find("too_large") != std::string::npos);
}

TEST_CASE("batch: what is refused as a whole", "[api][protocol-4]") {
    Node node;
    Backend backend{node};
    CHECK(backend.batch("{}").status == 400);
    CHECK(backend.batch("[1,]").status == 400);
    CHECK(backend.post("/api/v1/publish/batch", "[]", "Content-Type: text/plain\r\n").status ==
          415);
    const Answer keyed = backend.post("/api/v1/publish/batch", "[]", "Idempotency-Key: k\r\n");
    CHECK(keyed.status == 400);
    CHECK(keyed.body.find(R"("field":"Idempotency-Key")") != std::string::npos);
}

TEST_CASE("batch: a client that reads late gets all results of a long stream", "[api]") {
    // More than the megabyte of results after which the client must read before it may go on.
    constexpr int count = 60'000;
    Node node;
    Backend backend{node};
    std::string body;
    for (int i = 0; i < count; ++i) body += item("open:1") + "\n";
    backend.pipe->room = 10;
    backend.post("/api/v1/publish/batch", body, "Content-Type: application/x-ndjson\r\n");
    const auto send_on = [&] { // as the kernel tells of what can be read
        for (int i = 0; i < 1'000 && backend.pipe->wants_readable && !backend.pipe->input.empty();
             ++i)
            node.world.run([&] { backend.pipe->deliver(); });
    };
    send_on();
    REQUIRE_FALSE(backend.pipe->input.empty()); // it was stopped
    CHECK_FALSE(backend.pipe->wants_readable);
    node.world.run([&] { backend.pipe->drain(); });
    send_on();
    CHECK(backend.pipe->input.empty());
    node.world.run([&] { backend.pipe->drain(); });
    const Answer answer = backend.take();
    CHECK(answer.status == 200);
    CHECK(times(answer.body, "\"offset\"") == count);
    CHECK(answer.body.ends_with("]}"));
}

TEST_CASE("batch: a client that sends a stream and never reads is let go", "[api]") {
    Node node;
    Backend backend{node};
    std::string body;
    for (int i = 0; i < 60'000; ++i) body += item("open:1") + "\n";
    backend.pipe->room = 10;
    backend.post("/api/v1/publish/batch", body, "Content-Type: application/x-ndjson\r\n");
    for (int i = 0; i < 1'000 && backend.pipe->wants_readable; ++i)
        node.world.run([&] { backend.pipe->deliver(); });
    CHECK_FALSE(backend.pipe->closed);
    node.world.pass(61s);
    CHECK(backend.pipe->closed);
}

TEST_CASE("batch: a client that leaves in mid-stream", "[api]") {
    Node node;
    {
        Backend backend{node};
        node.world.keys.hold = true;
        backend.send(
            Backend::head("/api/v1/publish/batch",
                          "Content-Type: application/x-ndjson\r\nContent-Length: 9999\r\n") +
            item("open:1", R"(,"id":"k")") + "\n" + item("open:1") + "\n");
        backend.pipe->reset = true;
        backend.send({});
        CHECK(backend.pipe->closed);
    }
    node.world.run([&] { node.world.keys.answer(room::IdempotencyLog::Verdict::first); });
    node.world.keys.hold = false;
    Backend next{node};
    CHECK(without_epoch(next.batch("[" + item("open:1") + "]").body) == results(ok("open:1", 3)));
}
