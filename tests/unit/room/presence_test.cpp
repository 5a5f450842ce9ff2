#include "presence.hpp"

#include <catch2/catch.hpp>

#include <chrono>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

using namespace fanfare;
using room::Presence;
using Names = std::vector<std::string>;
using std::chrono::milliseconds;

constexpr milliseconds linger{5'000};

TEST_CASE("presence: a user joins with the first session only", "[room][presence]") {
    Presence presence;
    CHECK(presence.enter("u1", "1"));
    CHECK_FALSE(presence.enter("u1", "2"));
    CHECK(presence.enter("u2", ""));
    CHECK(presence.members().at("u1").sessions == 2);
    CHECK(presence.members().at("u1").info == "2"); // the newest session's
    CHECK(presence.total() == 2);
}

TEST_CASE("presence: a user leaves when the last session is gone for the linger time",
          "[room][presence]") {
    Presence presence;
    presence.enter("u1", "");
    presence.enter("u1", "");
    presence.leave("u1", 1'000, linger);
    CHECK_FALSE(presence.next_expiry());
    presence.leave("u1", 2'000, linger);
    CHECK(presence.next_expiry() == 7'000);
    CHECK(presence.total() == 1); // still here
    CHECK(presence.expire(6'999).empty());
    CHECK(presence.expire(7'000) == Names{"u1"});
    CHECK(presence.total() == 0);
    CHECK(presence.empty());
    CHECK_FALSE(presence.next_expiry());
}

TEST_CASE("presence: a reconnect within the linger time makes no noise", "[room][presence]") {
    Presence presence;
    presence.enter("u1", "");
    presence.leave("u1", 1'000, linger);
    CHECK_FALSE(presence.enter("u1", ""));
    CHECK(presence.expire(6'000).empty());
    CHECK(presence.total() == 1);
    // It counts from the last leave, not from the first.
    presence.leave("u1", 10'000, linger);
    presence.enter("u1", "");
    presence.leave("u1", 12'000, linger);
    CHECK(presence.expire(15'000).empty());
    CHECK(presence.expire(17'000) == Names{"u1"});
    CHECK(presence.enter("u1", "")); // a new join
}

TEST_CASE("presence: those who leave go in the order in which they left", "[room][presence]") {
    Presence presence;
    for (const char* user : {"a", "b", "c"}) presence.enter(user, "");
    presence.leave("c", 1'000, linger);
    presence.leave("a", 1'500, linger);
    presence.leave("b", 9'000, linger);
    CHECK(presence.expire(8'000) == Names{"c", "a"});
    CHECK(presence.next_expiry() == 14'000);
}

TEST_CASE("presence: who was never seen does not leave", "[room][presence]") {
    // Presence may have been switched on after they came.
    Presence presence;
    presence.leave("ghost", 1'000, linger);
    presence.leave_anonymous();
    CHECK(presence.total() == 0);
    CHECK(presence.empty());
    CHECK_FALSE(presence.next_expiry());
    presence.enter("u1", "");
    presence.leave("u1", 1'000, linger);
    presence.leave("u1", 2'000, linger); // a session more than came
    CHECK(presence.expire(6'000) == Names{"u1"});
}

TEST_CASE("presence: anonymous sessions count in the total only", "[room][presence]") {
    Presence presence;
    presence.enter_anonymous();
    presence.enter_anonymous();
    presence.enter("u1", "");
    CHECK(presence.total() == 3);
    CHECK(presence.members().size() == 1);
    presence.leave_anonymous();
    CHECK(presence.total() == 2);
    CHECK_FALSE(presence.empty());
}

TEST_CASE("presence: joins and leaves alternate, and nobody leaves early",
          "[room][presence][property]") {
    const auto seed = GENERATE(range(1U, 11U));
    CAPTURE(seed);
    std::mt19937 random{seed};
    Presence presence;
    struct User {
        std::uint32_t sessions = 0;
        bool announced = false;
        std::optional<MonoMillis> left;
    };
    std::map<std::string, User> model;
    MonoMillis now = 1'000;
    for (int step = 0; step < 5'000; ++step) {
        now += static_cast<MonoMillis>(random() % 400);
        const std::string name = "u" + std::to_string(random() % 8);
        User& user = model[name];
        if (random() % 2 == 0) {
            const bool joined = presence.enter(name, "");
            REQUIRE(joined == !user.announced);
            user.announced = true;
            user.left.reset();
            ++user.sessions;
        } else if (user.sessions != 0) {
            presence.leave(name, now, linger);
            if (--user.sessions == 0) user.left = now;
        }
        if (random() % 3 != 0) continue;
        for (const std::string& gone : presence.expire(now)) {
            User& who = model[gone];
            REQUIRE(who.announced);
            REQUIRE(who.left);
            REQUIRE(*who.left + linger.count() <= now);
            who.announced = false;
            who.left.reset();
        }
        std::size_t here = 0;
        for (const auto& [key, who] : model) {
            if (who.left) REQUIRE(now < *who.left + linger.count());
            if (!who.announced) continue;
            ++here;
            REQUIRE(presence.members().at(key).sessions == who.sessions);
        }
        REQUIRE(presence.total() == here);
    }
}
