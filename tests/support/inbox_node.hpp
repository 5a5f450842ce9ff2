#pragma once
// A gateway's inboxes with a real store and without sessions: calls wait for their answers. Its
// reactor is turned by the test.

#include "durable_node.hpp" // TestFolder, StoredRows
#include "rooms_node.hpp"

#include <fanfare/delivery/inbox_log.hpp>
#include <fanfare/stores/stores.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace fanfare::test {

class InboxNode {
  public:
    using Synchronous = stores::SqliteOptions::Synchronous;

    explicit InboxNode(const std::string& path, const std::string& vfs = {},
                       Synchronous synchronous = Synchronous::full)
        : InboxNode(options_of(path, vfs, synchronous)) {}
    explicit InboxNode(const stores::SqliteOptions& options)
        : reactors_(1, system_clock(), metrics) {
        room::Rule durable = rule_with_history(10'000'000, std::chrono::hours{1'000});
        durable.match = "d:*";
        durable.history.durable = true;
        store_ = stores::make_sqlite(reactors_, metrics, options, {}, rules({durable}),
                                     std::chrono::hours{1'000});
        log().on_changes([this](const std::vector<delivery::StatusChange>& changes) {
            const std::lock_guard lock{mutex_};
            changes_.insert(changes_.end(), changes.begin(), changes.end());
        });
        set_options({});
    }
    ~InboxNode() { reactors_.stop(); }
    InboxNode(const InboxNode&) = delete;
    InboxNode& operator=(const InboxNode&) = delete;

    [[nodiscard]] delivery::InboxLog& log() { return store_->inbox(); }
    [[nodiscard]] stores::Store& store() { return *store_; }
    void set_options(const delivery::InboxOptions& options) {
        ttl_ = options.ttl;
        log().set_options(options);
    }
    /// What moved by time alone, so far.
    [[nodiscard]] std::vector<delivery::StatusChange> changes() {
        const std::lock_guard lock{mutex_};
        return changes_;
    }

    /// Runs on the reactor, and waits until it holds. False: not in time.
    [[nodiscard]] bool wait(const std::function<bool()>& holds,
                            std::chrono::seconds bound = std::chrono::seconds{30}) {
        const auto end = std::chrono::steady_clock::now() + bound;
        while (!holds()) {
            reactors_[0].run_turn();
            if (std::chrono::steady_clock::now() > end) return false;
            std::this_thread::sleep_for(std::chrono::microseconds{50});
        }
        return true;
    }
    void on_reactor(std::function<void()> call) {
        bool called = false;
        reactors_[0].post(std::function<void()>{[&] {
            call();
            called = true;
        }});
        if (!wait([&] { return called; })) throw std::runtime_error("the reactor does not turn");
    }

    [[nodiscard]] delivery::Order order(std::vector<std::string> users,
                                        std::string data = "1") const {
        delivery::Order order;
        order.users = std::move(users);
        order.data = std::move(data);
        order.created = system_clock().wall();
        order.expires = order.created + ttl_.count();
        order.key_expires = order.created + 60'000;
        return order;
    }
    delivery::Placed place(delivery::Order order) {
        return ask<delivery::Placed>(
            [&](auto done) { return log().place(std::move(order), std::move(done)); });
    }
    delivery::Placed place(const std::string& user, const std::string& data = "1") {
        return place(order({user}, data));
    }
    [[nodiscard]] static delivery::PageWish wish(const std::string& user,
                                                 const std::string& session = "s1") {
        delivery::PageWish wish;
        wish.user = user;
        wish.session = session;
        wish.fresh = Epoch::fresh();
        wish.bytes_max = 1'000'000;
        return wish;
    }
    delivery::Page page(delivery::PageWish wish) {
        return ask<delivery::Page>(
            [&](auto done) { return log().page(std::move(wish), std::move(done)); });
    }
    delivery::Page join(const std::string& user, const std::string& session = "s1") {
        return page(wish(user, session));
    }
    void leave(const std::string& user, const std::string& session = "s1") {
        on_reactor([&] { log().leave(user, session); });
    }
    delivery::Due take_due(const std::string& user) {
        return ask<delivery::Due>([&](auto done) { return log().take_due(user, std::move(done)); });
    }
    void give_back(const std::string& user, std::vector<room::MessageRef> messages) {
        on_reactor([&] { log().give_back(user, std::move(messages)); });
    }
    delivery::Acked acknowledge(const std::string& user, std::uint64_t offset,
                                const std::string& device = {}) {
        delivery::Ack ack;
        ack.user = user;
        ack.offset = offset;
        ack.device = device;
        ack.session = "s1";
        return ask<delivery::Acked>(
            [&](auto done) { return log().acknowledge(std::move(ack), true, std::move(done)); });
    }
    delivery::Erased erase(const std::string& user, const Epoch& fresh = Epoch::fresh()) {
        return ask<delivery::Erased>(
            [&](auto done) { return log().erase(user, fresh, std::move(done)); });
    }
    delivery::InboxView view(delivery::InboxQuery query) {
        return ask<delivery::InboxView>([&](auto done) {
            log().view(std::move(query), std::move(done));
            return true;
        });
    }
    delivery::InboxView view(const std::string& user, bool records = true) {
        delivery::InboxQuery query;
        query.user = user;
        query.records = records;
        return view(query);
    }
    delivery::Found find(const delivery::NotificationId& id) {
        return ask<delivery::Found>([&](auto done) {
            log().find(id, true, std::move(done));
            return true;
        });
    }
    /// The timeline as text: "event[attempt]>status(detail)", separated by spaces.
    std::string timeline(const delivery::NotificationId& id) {
        std::string text;
        for (const delivery::TimelineEntry& entry : find(id).timeline) {
            if (!text.empty()) text += ' ';
            text += event_name(entry.event);
            if (entry.attempt != 0) text += std::to_string(entry.attempt);
            if (entry.status) text += ">" + std::string{status_name(*entry.status)};
            if (!entry.detail.empty()) text += "(" + entry.detail + ")";
        }
        return text;
    }

    template <class Answer, class Ask>
    Answer ask(Ask question) {
        std::optional<Answer> answer;
        bool taken = false;
        on_reactor([&] { taken = question([&](Answer got) { answer = std::move(got); }); });
        if (!taken) throw std::runtime_error("the store is full");
        if (!wait([&] { return answer.has_value(); }))
            throw std::runtime_error("a question was not answered");
        return *std::move(answer);
    }

    Metrics metrics;

  private:
    static stores::SqliteOptions options_of(const std::string& path, const std::string& vfs,
                                            Synchronous synchronous) {
        stores::SqliteOptions options;
        options.path = path;
        options.vfs = vfs;
        options.synchronous = synchronous;
        return options;
    }

    net::Reactors reactors_;
    std::mutex mutex_; // of what the writer's thread tells
    std::vector<delivery::StatusChange> changes_;
    std::chrono::milliseconds ttl_{};
    std::unique_ptr<stores::Store> store_;
};

/// "offset:attempt" of each, separated by spaces.
inline std::string shown(const std::vector<room::MessageRef>& messages) {
    std::string text;
    for (const room::MessageRef& message : messages) {
        if (!text.empty()) text += ' ';
        text +=
            std::to_string(message->position().offset) + ":" + std::to_string(message->attempt());
    }
    return text;
}

} // namespace fanfare::test
