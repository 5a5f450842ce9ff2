#include "permissions.hpp"

#include <catch2/catch.hpp>

using namespace fanfare;
using namespace fanfare::session;
using room::PublishRight;
using room::SubscribeRight;

namespace {

/// A user whose token grants `chat:*` to read and `chat:42` to write.
Identity user_with_grants() {
    Identity user;
    user.user = "u1";
    user.subscribe = {"other", "chat:*"};
    user.publish = {"chat:42"};
    return user;
}

} // namespace

TEST_CASE("permissions: who may subscribe", "[session][protocol-6]") {
    struct Case {
        SubscribeRight right;
        bool anonymous;
        bool granted; // chat:1
        bool other;   // a user whose token does not grant it
    };
    const auto c = GENERATE(values<Case>({{SubscribeRight::anyone, true, true, true},
                                          {SubscribeRight::user, false, true, true},
                                          {SubscribeRight::token, false, true, false}}));
    CAPTURE(static_cast<int>(c.right));
    room::Rule rule;
    rule.subscribe = c.right;
    const Identity user = user_with_grants();
    CHECK(may_subscribe(rule, nullptr, "chat:1") == c.anonymous);
    CHECK(may_subscribe(rule, &user, "chat:1") == c.granted);
    CHECK(may_subscribe(rule, &user, "news") == c.other);
}

TEST_CASE("permissions: who may publish", "[session][protocol-6]") {
    struct Case {
        PublishRight right;
        bool subscribed;
        bool anonymous;
        bool granted; // chat:42
        bool other;   // chat:1, which the token lets only read
    };
    const auto c = GENERATE(values<Case>({{PublishRight::server, true, false, false, false},
                                          {PublishRight::subscriber, false, false, false, false},
                                          {PublishRight::subscriber, true, true, true, true},
                                          {PublishRight::token, false, false, true, false},
                                          {PublishRight::token, true, false, true, false}}));
    CAPTURE(static_cast<int>(c.right), c.subscribed);
    room::Rule rule;
    rule.publish = c.right;
    const Identity user = user_with_grants();
    CHECK(may_publish(rule, nullptr, "chat:42", c.subscribed) == c.anonymous);
    CHECK(may_publish(rule, &user, "chat:42", c.subscribed) == c.granted);
    CHECK(may_publish(rule, &user, "chat:1", c.subscribed) == c.other);
}

TEST_CASE("permissions: a grant is a name or a pattern", "[session]") {
    CHECK(granted({"a*c"}, "abbc"));
    CHECK(granted({"x", "abc"}, "abc"));
    CHECK_FALSE(granted({"abc"}, "abcd"));
    CHECK_FALSE(granted({}, "abc"));
    CHECK_FALSE(granted({""}, "abc"));
}
