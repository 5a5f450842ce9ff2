#include <fanfare/delivery/notification.hpp>

#include <catch2/catch.hpp>

#include <set>

namespace fanfare::delivery {

TEST_CASE("notification ids: text and back, new ones stand behind old ones", "[delivery]") {
    const NotificationId first = NotificationId::make(1'700'000'000'000);
    const NotificationId second = NotificationId::make(1'700'000'000'001);
    CHECK(first.text().size() == 22);
    CHECK(NotificationId::parse(first.text()) == first);
    CHECK(NotificationId::from_raw(first.raw()) == first);
    CHECK(first.raw() < second.raw());
    CHECK_FALSE(NotificationId::make(1) == NotificationId::make(1));
    for (const char* const bad : {"", "x", "0123456789012345678901", "AAAAAAAAAAAAAAAAAAAAAA==",
                                  "AAAAAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAA*"})
        CHECK((NotificationId::parse(bad) == std::nullopt ||
               NotificationId::parse(bad)->text() == bad));
}

TEST_CASE("statuses: only the moves of the contract", "[delivery]") {
    using S = Status;
    const std::set<std::pair<S, S>> legal{{S::scheduled, S::pending},
                                          {S::scheduled, S::cancelled},
                                          {S::scheduled, S::expired},
                                          {S::pending, S::processing},
                                          {S::pending, S::delivered},
                                          {S::pending, S::cancelled},
                                          {S::pending, S::suppressed},
                                          {S::pending, S::expired},
                                          {S::processing, S::sent},
                                          {S::processing, S::delivered},
                                          {S::processing, S::retry},
                                          {S::processing, S::failed},
                                          {S::processing, S::expired},
                                          {S::processing, S::suppressed},
                                          {S::retry, S::processing},
                                          {S::retry, S::delivered},
                                          {S::retry, S::failed},
                                          {S::retry, S::suppressed},
                                          {S::retry, S::expired},
                                          {S::sent, S::delivered},
                                          {S::failed, S::delivered},
                                          // by a redrive alone
                                          {S::failed, S::processing},
                                          {S::expired, S::processing}};
    for (std::size_t from = 0; from < status_count; ++from)
        for (std::size_t to = 0; to < status_count; ++to) {
            CAPTURE(from, to);
            const auto move = std::pair{static_cast<S>(from), static_cast<S>(to)};
            CHECK(may_become(move.first, move.second) == legal.contains(move));
        }
    CHECK(is_final(S::delivered));
    CHECK(is_final(S::failed));
    CHECK(is_final(S::expired));
    CHECK(is_final(S::sent));
    CHECK_FALSE(is_final(S::retry));
    for (const S over : {S::delivered, S::cancelled, S::suppressed, S::expired})
        CHECK(is_over(over));
    for (const S on : {S::pending, S::processing, S::sent, S::retry, S::failed, S::scheduled})
        CHECK_FALSE(is_over(on));
}

TEST_CASE("names of priorities and channels", "[delivery]") {
    CHECK(parse_priority("critical") == Priority::critical);
    CHECK(priority_name(Priority::low) == "low");
    CHECK(parse_priority("urgent") == std::nullopt);
    for (const Channel channel : all_channels)
        CHECK(parse_channel(channel_name(channel)) == channel);
    CHECK(parse_channel("fax") == std::nullopt);
    CHECK(status_name(Status::suppressed) == "suppressed");
    CHECK(event_name(Event::not_acknowledged) == "not_acknowledged");
    CHECK(event_name(Event::device_dropped) == "device_dropped");
    CHECK(event_name(Event::discarded) == "discarded");
}

} // namespace fanfare::delivery
