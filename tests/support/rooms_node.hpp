#pragma once
// The rooms of a gateway without sockets: reactors that the test turns by hand, encoders whose
// bytes can be read, and subscribers that follow a script and write down what they are given.

#include "manual_clock.hpp"

#include <fanfare/base/bytes.hpp>
#include <fanfare/base/metrics.hpp>
#include <fanfare/net/reactor.hpp>
#include <fanfare/room/broker.hpp>
#include <fanfare/room/delivery.hpp>
#include <fanfare/room/rooms.hpp>

#include <array>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace fanfare::test {

/// "<form> <room>#<offset> <data>" for a message, "<form> <room> +user" or "-user" for presence.
/// The deflate form declines messages of less than 10 bytes, as the real one does with short ones.
class TextEncoder final : public room::Encoder {
  public:
    TextEncoder(room::Form form, std::array<int, room::form_count>& calls)
        : form_(form), calls_(calls) {}

    SharedBytesRef encode(const room::Message& message) override {
        ++calls_[static_cast<std::size_t>(form_)];
        if (form_ == room::Form::ws_json_deflate && message.data().size() < 10) return nullptr;
        return SharedBytes::copy_of(name() + " " + std::string{message.room()} + "#" +
                                    std::to_string(message.position().offset) + " " +
                                    std::string{message.data()});
    }
    SharedBytesRef encode(const room::PresenceChange& change) override {
        ++calls_[static_cast<std::size_t>(form_)];
        if (form_ == room::Form::ws_json_deflate) return nullptr;
        return SharedBytes::copy_of(name() + " " + std::string{change.room} +
                                    (change.joined ? " +" : " -") + std::string{change.user});
    }
    [[nodiscard]] room::Form fallback() const noexcept override {
        return form_ == room::Form::ws_json_deflate ? room::Form::ws_json : form_;
    }

  private:
    [[nodiscard]] std::string name() const {
        static constexpr std::array<const char*, room::form_count> names{"ws", "deflate", "sse",
                                                                         "part"};
        return names[static_cast<std::size_t>(form_)];
    }
    room::Form form_;
    std::array<int, room::form_count>& calls_;
};

/// Posts a publish to its room's home, nothing else.
class DirectBroker final : public room::Broker {
  public:
    explicit DirectBroker(room::Rooms& rooms) : rooms_(rooms) {}
    void publish(room::DraftRef message, const room::PublishReply& reply) override {
        ++publishes;
        struct Commit {
            room::Rooms* home;
            room::DraftRef message;
            room::PublishReply reply;
            void operator()() { home->commit(std::move(message), reply); }
        };
        room::Rooms& home = rooms_.home_of(message->room_hash());
        home.reactor().post(Commit{&home, std::move(message), reply});
    }
    int publishes = 0;

  private:
    room::Rooms& rooms_;
};

[[nodiscard]] inline room::Rule rule(std::string match) {
    room::Rule made;
    made.match = std::move(match);
    return made;
}
[[nodiscard]] inline room::Rule rule_with_history(std::size_t size, std::chrono::milliseconds ttl) {
    room::Rule made;
    made.history = {size, ttl, false};
    return made;
}
[[nodiscard]] inline room::RulesRef rules(std::vector<room::Rule> all) {
    return std::make_shared<const room::Rules>(std::move(all));
}

[[nodiscard]] inline room::DraftRef draft(std::string_view room, std::string_view data,
                                          bool ephemeral = false) {
    room::Message::Parts parts;
    parts.room = room;
    parts.data = data;
    parts.ephemeral = ephemeral;
    return room::Message::make(parts, hash_bytes(room));
}

class RoomsNode {
  public:
    using MakeBroker = std::function<std::unique_ptr<room::Broker>(room::Rooms&)>;

    explicit RoomsNode(
        unsigned count, std::vector<room::Rule> all_rules = {room::Rule{}},
        const room::Options& options = {},
        const MakeBroker& make_broker =
            [](room::Rooms& rooms) { return std::make_unique<DirectBroker>(rooms); },
        room::DurableLog* log = nullptr)
        : reactors_(count, clock, metrics) {
        const room::RulesRef shared = rules(std::move(all_rules));
        std::vector<room::Rooms*> all;
        for (unsigned i = 0; i < count; ++i) {
            room::Encoders encoders;
            for (std::size_t form = 0; form < room::form_count; ++form)
                encoders[form] =
                    std::make_unique<TextEncoder>(static_cast<room::Form>(form), encoded);
            rooms_.push_back(std::make_unique<room::Rooms>(reactors_[i], std::move(encoders),
                                                           shared, options, count));
            all.push_back(rooms_.back().get());
            brokers_.push_back(make_broker(*rooms_.back()));
        }
        for (unsigned i = 0; i < count; ++i) rooms_[i]->connect(all, *brokers_[i], log);
    }

    [[nodiscard]] std::size_t size() const { return rooms_.size(); }
    [[nodiscard]] net::Reactor& reactor(std::size_t i) { return reactors_[i]; }
    [[nodiscard]] net::Reactors& reactors() { return reactors_; }
    [[nodiscard]] room::Rooms& rooms(std::size_t i) { return *rooms_[i]; }
    [[nodiscard]] room::Broker& broker(std::size_t i) { return *brokers_[i]; }

    /// Runs `act` on a reactor in a turn of its own. What it posts to others waits for theirs.
    void on(std::size_t reactor, std::function<void()> act) {
        reactors_[reactor].post(std::move(act));
        turn(reactor);
    }
    void turn(std::size_t reactor) { reactors_[reactor].run_turn(); }
    /// Turns all reactors until nothing moves.
    void settle() {
        bool moved = true;
        while (moved) {
            const double before = metrics.sum("mailbox_batch_entries");
            for (std::size_t i = 0; i < size(); ++i) turn(i);
            moved = metrics.sum("mailbox_batch_entries") != before;
            for (std::size_t i = 0; i < size(); ++i)
                moved = moved || reactors_[i].mailbox().backlog() != 0;
        }
    }
    void pass(std::chrono::milliseconds time) {
        clock.advance(time);
        settle();
    }

    /// A room name whose home is that reactor: the hash differs from run to run.
    [[nodiscard]] std::string room_at(std::size_t home, const std::string& prefix = "room") {
        for (int i = 0;; ++i) {
            std::string name = prefix + std::to_string(i);
            if (&reactors_.home_of(hash_bytes(name)) == &reactors_[home]) return name;
        }
    }

    /// Publishes from a reactor and waits for the answer.
    room::PublishResult publish(std::size_t reactor, room::DraftRef message) {
        struct Client final : room::PublishClient {
            std::optional<room::PublishResult> answer;
            void on_published(net::Handle /*who*/, std::uint64_t /*request*/,
                              const room::PublishResult& result) override {
                answer = result;
            }
        } client;
        on(reactor, [&] {
            rooms(reactor).publish(std::move(message), {&client, &reactors_[reactor], 0, 0});
        });
        settle();
        return client.answer.value();
    }
    room::PublishResult publish(std::string_view room, std::string_view data) {
        return publish(0, draft(room, data));
    }

    // Questions, asked from reactor 0.
    room::HistoryResult history(std::string_view room, const room::HistoryQuery& query = {}) {
        return ask<room::HistoryResult>(
            [&](auto done) { rooms(0).history(room, query, std::move(done)); });
    }
    room::PresenceResult presence(std::string_view room) {
        return ask<room::PresenceResult>(
            [&](auto done) { rooms(0).presence(room, std::move(done)); });
    }
    room::RoomInfo info(std::string_view room) {
        return ask<room::RoomInfo>([&](auto done) { rooms(0).info(room, std::move(done)); });
    }
    /// "name:subscribers" each.
    std::vector<std::string> list(const std::string& prefix, const std::string& after,
                                  std::size_t limit) {
        const auto found = ask<std::vector<room::RoomInfo>>(
            [&](auto done) { rooms(0).list(prefix, after, limit, std::move(done)); });
        std::vector<std::string> text;
        for (const room::RoomInfo& info : found)
            text.push_back(info.room + ":" + std::to_string(info.subscribers));
        return text;
    }

    [[nodiscard]] static MakeBroker direct() {
        return [](room::Rooms& rooms) { return std::make_unique<DirectBroker>(rooms); };
    }

    /// New rules on all reactors.
    void set_rules(std::vector<room::Rule> fresh) {
        const room::RulesRef shared = rules(std::move(fresh));
        for (std::size_t i = 0; i < size(); ++i) on(i, [&, i] { rooms(i).set_rules(shared); });
    }

    ManualClock clock;
    Metrics metrics;
    std::array<int, room::form_count> encoded{}; // calls of all encoders, by form

  private:
    template <class T, class Ask>
    T ask(Ask question) {
        std::optional<T> answer;
        on(0, [&] { question([&](const T& got) { answer = got; }); });
        settle();
        return answer.value();
    }

    net::Reactors reactors_;
    std::vector<std::unique_ptr<room::Rooms>> rooms_;
    std::vector<std::unique_ptr<room::Broker>> brokers_;
};

/// A subscriber that pulls and goes live as the contract says, unless a hook does otherwise, and
/// writes a line for each call:
///   joined news at 3 [recovered|lost]    refused news <code>
///   replay news 2..3 [caught up]         replay news none ...    trimmed news at 5
///   news#4 <bytes>                       a live message, in this subscriber's form
///   ~news#4 <bytes>                      the same through a pattern
///   news +u2  news -u2                   presence
///   ready a*                             a pattern
///   ok 7 news#4                          the answer to its publish number 7
class Listener final : public room::Subscriber, public room::PublishClient {
  public:
    explicit Listener(RoomsNode& node, std::size_t reactor = 0,
                      room::Form form = room::Form::ws_json)
        : node_(node), reactor_(reactor), form_(form) {}
    Listener(const Listener&) = delete;
    Listener& operator=(const Listener&) = delete;

    // On its reactor:
    room::Subscription& subscribe_now(const std::string& room, room::JoinWish wish = {}) {
        wish.form = form_;
        wish.user = user;
        auto& place = subscriptions_[room];
        place = std::make_unique<room::Subscription>();
        rooms().subscribe(*place, *this, room, std::move(wish));
        return *place;
    }
    void unsubscribe_now(const std::string& room) {
        rooms().unsubscribe(subscription(room), form_, user);
    }
    [[nodiscard]] room::Subscription& subscription(const std::string& room) {
        return *subscriptions_.at(room);
    }
    [[nodiscard]] room::Rooms& rooms() { return node_.rooms(reactor_); }

    // From the test; each with all that follows from it:
    void subscribe(const std::string& room, room::JoinWish wish = {}) {
        node_.on(reactor_, [&] { subscribe_now(room, std::move(wish)); });
        node_.settle();
    }
    void subscribe_last(const std::string& room, std::uint32_t last) {
        room::JoinWish wish;
        wish.last = last;
        subscribe(room, wish);
    }
    void subscribe_since(const std::string& room, const Position& since) {
        room::JoinWish wish;
        wish.since = since;
        subscribe(room, wish);
    }
    void unsubscribe(const std::string& room) {
        node_.on(reactor_, [&] { unsubscribe_now(room); });
        node_.settle();
    }
    void subscribe_pattern(const std::string& pattern) {
        node_.on(reactor_, [&] { rooms().subscribe_pattern(*this, pattern); });
        node_.settle();
    }
    void unsubscribe_pattern(const std::string& pattern) {
        node_.on(reactor_, [&] { rooms().unsubscribe_pattern(*this, pattern); });
        node_.settle();
    }

    /// What was written down since the last call.
    std::vector<std::string> take() { return std::exchange(lines, {}); }

    std::vector<std::string> lines;
    std::string user;
    std::size_t pull_bytes = 64 * 1'024;
    // Instead of, or before, what it does by itself.
    std::function<void(room::Subscription&, const room::JoinResult&)> when_joined;
    std::function<void(room::Subscription&, const room::ReplayBatch&)> when_replayed;
    std::function<void(room::Subscription*)> when_message;
    std::function<void(room::Subscription&)> when_presence;
    std::function<void(std::string_view)> when_ready;
    room::MessageRef last_message;

    void on_joined(room::Subscription& subscription, const room::JoinResult& result) override {
        const std::string room{subscription.name()};
        if (result.code != Code::ok) {
            lines.push_back("refused " + room + " " + std::string{code_name(result.code)});
            if (when_joined) when_joined(subscription, result);
            return;
        }
        std::string line = "joined " + room + " at " + std::to_string(result.position.offset);
        if (result.recovered) line += *result.recovered ? " recovered" : " lost";
        lines.push_back(line);
        if (when_joined) return when_joined(subscription, result);
        if (result.replay_after < result.position.offset)
            rooms().pull(subscription, pull_bytes);
        else
            rooms().go_live(subscription);
    }
    void on_replay(room::Subscription& subscription, const room::ReplayBatch& batch) override {
        const std::string room{subscription.name()};
        if (batch.trimmed) {
            lines.push_back("trimmed " + room + " at " + std::to_string(batch.newest.offset));
        } else if (batch.messages.empty()) {
            lines.push_back("replay " + room + " none" + (batch.caught_up ? " caught up" : ""));
        } else {
            lines.push_back("replay " + room + " " +
                            std::to_string(batch.messages.front()->position().offset) + ".." +
                            std::to_string(batch.messages.back()->position().offset) +
                            (batch.caught_up ? " caught up" : ""));
            rooms().set_replayed(subscription, batch.messages.back()->position().offset);
        }
        if (when_replayed) return when_replayed(subscription, batch);
        if (batch.trimmed || batch.caught_up)
            rooms().go_live(subscription);
        else
            rooms().pull(subscription, pull_bytes);
    }
    void on_message(room::Delivery& delivery, room::Subscription* subscription) override {
        const room::Message& message = delivery.message();
        const std::string number =
            message.ephemeral() ? "-" : std::to_string(message.position().offset);
        lines.push_back((subscription == nullptr ? "~" : "") + std::string{message.room()} + "#" +
                        number + " " + std::string{delivery.bytes(form_)->view()});
        last_message = room::MessageRef{&message};
        if (when_message) when_message(subscription);
    }
    void on_presence(room::PresenceDelivery& delivery, room::Subscription& subscription) override {
        const room::PresenceChange& change = delivery.change();
        lines.push_back(std::string{change.room} + (change.joined ? " +" : " -") +
                        std::string{change.user});
        presence_bytes = delivery.bytes(form_)->view();
        if (when_presence) when_presence(subscription);
    }
    void on_pattern_ready(std::string_view pattern) override {
        lines.push_back("ready " + std::string{pattern});
        if (when_ready) when_ready(pattern);
    }
    void on_published(net::Handle /*who*/, std::uint64_t request,
                      const room::PublishResult& result) override {
        lines.push_back("ok " + std::to_string(request) + " " +
                        (result.code == Code::ok ? "#" + std::to_string(result.position.offset)
                                                 : std::string{code_name(result.code)}));
    }
    std::string presence_bytes;

  private:
    RoomsNode& node_;
    std::size_t reactor_;
    room::Form form_;
    std::map<std::string, std::unique_ptr<room::Subscription>> subscriptions_;
};

using Lines = std::vector<std::string>;

} // namespace fanfare::test
