#include "fleet.hpp"

#include "sse_protocol.hpp"
#include "ws_protocol.hpp"

#include <algorithm>
#include <utility>

namespace load {
namespace {

constexpr Duration close_max = std::chrono::seconds{5};
constexpr Duration backoff_first = std::chrono::milliseconds{100};
constexpr Duration backoff_max = std::chrono::seconds{2};

} // namespace

Fleet::Fleet(Network& network, Tally& tally, Rooms& rooms, const Options& options)
    : options_(options), protocol_settings_{.host = network.server.host,
                                            .token = options.token,
                                            .deflate = options.deflate,
                                            .nchan = options.dialect == Dialect::nchan},
      tally_(tally) {
    const std::size_t total = options.ws + options.sse;
    members_.reserve(total);
    // Deals the two kinds out evenly, as a line is drawn in pixels.
    std::size_t ws_dealt = 0;
    for (std::size_t i = 0; i < total; ++i) {
        const bool is_ws = ws_dealt * total < (i + 1) * options.ws && ws_dealt < options.ws;
        if (is_ws) ++ws_dealt;
        add_member(i, is_ws, network, rooms);
    }
}

void Fleet::add_member(std::size_t index, bool is_ws, Network& network, Rooms& rooms) {
    Room& room = rooms[index % rooms.size()];
    Subscriber::Settings settings;
    settings.index = index;
    if (is_ws) {
        settings.protocol = std::make_unique<WsProtocol>(
            protocol_settings_, room, options_.all_rooms ? &rooms : nullptr, inflater_,
            index * 0x9e3779b97f4a7c15U + 1);
    } else {
        settings.protocol = std::make_unique<SseProtocol>(protocol_settings_, room);
    }
    settings.is_ws = is_ws;
    // Evenly spread, too: the slow ones are those at which the running share reaches a whole.
    if (options_.mode == Mode::slow) {
        const auto share =
            static_cast<std::size_t>(options_.fraction * static_cast<double>(index + 1));
        settings.slow = share > slow_count_;
        slow_count_ = share;
    }
    settings.connect_max = seconds(options_.connect_max_s);
    settings.close_max = close_max;
    members_.push_back({.subscriber = std::make_unique<Subscriber>(network, tally_, census_, room,
                                                                   *this, std::move(settings))});
}

void Fleet::connect_due(Instant now) {
    if (started_ == 0) connecting_since_ = now;
    std::size_t due = members_.size();
    if (is_paced()) {
        const double elapsed = to_seconds(now - connecting_since_);
        due = std::min(due, static_cast<std::size_t>(elapsed * options_.connect_rate) + 1);
    }
    while (started_ < due && count(SubscriberState::connecting) < options_.connecting_max) {
        members_[started_++].subscriber->connect(returning_);
    }
}

Instant Fleet::next_due() const {
    if (started_ == members_.size()) return Instant::max();
    if (!is_paced()) return Instant::min();
    return connecting_since_ + seconds(static_cast<double>(started_) / options_.connect_rate);
}

bool Fleet::all_settled() const {
    return started_ == members_.size() && count(SubscriberState::connecting) == 0;
}

bool Fleet::all_back() const {
    return count(SubscriberState::connecting) + count(SubscriberState::waiting) +
               count(SubscriberState::leaving) ==
           0;
}

bool Fleet::all_caught_up() {
    if (!all_back()) return false;
    // Usually the one that was behind a moment ago still is: the look costs one step, not a walk
    // over all clients.
    for (std::size_t steps = 0; steps < members_.size(); ++steps) {
        const Subscriber& subscriber = *members_[caught_up_hint_].subscriber;
        if (subscriber.state() == SubscriberState::live && subscriber.behind() > 0) return false;
        caught_up_hint_ = (caught_up_hint_ + 1) % members_.size();
    }
    return true;
}

void Fleet::drop(std::size_t index, bool orderly, Duration away, bool resume) {
    Member& member = members_[index];
    member.comes_back = true;
    member.resume = resume;
    member.away = away;
    member.subscriber->leave(orderly);
}

void Fleet::begin_return(Instant now) {
    returning_ = true;
    started_ = 0;
    tally_.returning_since = now;
    for (Member& member : members_) member.resume = true;
}

void Fleet::leave_all() {
    leaving_ = true;
    for (Member& member : members_) {
        if (member.subscriber->state() == SubscriberState::live) member.subscriber->leave(true);
    }
}

std::size_t Fleet::count(SubscriberState state) const {
    return census_[static_cast<std::size_t>(state)];
}

std::uint64_t Fleet::holes() const {
    std::uint64_t sum = 0;
    for (const Member& member : members_) sum += member.subscriber->holes();
    return sum;
}

std::uint64_t Fleet::missing() const {
    std::uint64_t sum = 0;
    for (const Member& member : members_) {
        if (member.subscriber->was_live()) sum += member.subscriber->behind();
    }
    return sum;
}

void Fleet::on_live(Subscriber& subscriber) {
    member_of(subscriber).failures = 0;
}

void Fleet::on_refused(Subscriber& subscriber, const std::string& reason) {
    // A first attempt is not repeated: a server that refuses clients must show in the result.
    if (!subscriber.was_live()) {
        ++tally_.connect_failures[reason];
        return;
    }
    ++tally_.reconnect_failures[reason];
    reconnect(member_of(subscriber), Duration::zero());
}

void Fleet::on_gone(Subscriber& subscriber, const Departure& departure) {
    Member& member = member_of(subscriber);
    if (departure.ours) {
        if (std::exchange(member.comes_back, false) && !leaving_) {
            subscriber.connect_after(member.away, member.resume);
        }
        return;
    }
    ++tally_.closes[departure.code];
    ++(subscriber.is_slow() ? tally_.slow_consumer_closes : tally_.unexpected_closes);
    if (!options_.reconnect && options_.mode != Mode::resume && !subscriber.is_slow()) return;
    member.resume = true;
    reconnect(member, departure.reconnect_in.value_or(std::chrono::milliseconds{0}));
}

void Fleet::reconnect(Member& member, Duration at_least) {
    if (leaving_) return;
    const Duration backoff =
        std::min(backoff_first * (1 << std::min(member.failures, 5)), backoff_max);
    ++member.failures;
    member.subscriber->connect_after(std::max(at_least, backoff), member.resume);
}

} // namespace load
