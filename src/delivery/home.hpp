#pragma once
// The home side of inboxes: the users of this reactor that have `@me` open.

#include <fanfare/base/clock.hpp>
#include <fanfare/delivery/inboxes.hpp>
#include <fanfare/net/timer_wheel.hpp>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace fanfare::delivery {

/// A session that subscribes.
struct Joining {
    unsigned reactor = 0;
    session::InboxPlace place;
    std::optional<Position> since;
    std::uint32_t last = 0;
    std::size_t bytes_max = 0;
};

/// A notification that was placed, on its way to its user's home.
struct Parcel {
    std::string user;
    Position position;
    room::MessageRef message; // null: its user was not live
};

/// What is asked of a home in the name of a user; `done` is called there.
struct AckWish {
    Ack ack;
    net::Handle session = 0; // who is not told: it has an answer
    unsigned reactor = 0;
    std::function<void(const Acked&)> done;
};

/// Everything on its reactor.
class Inboxes::Home {
  public:
    explicit Home(Inboxes& inboxes);
    ~Home();

    void join(Joining joining);
    void pull(unsigned reactor, const session::InboxPlace& place, std::size_t bytes_max);
    void leave(unsigned reactor, const session::InboxPlace& place);
    void deliver(Parcel parcel);
    void acknowledge(AckWish wish);
    void erase(const std::string& user, std::function<void(const Erased&)> done);

  private:
    struct Member {
        unsigned reactor = 0;
        session::InboxPlace place;
        bool live = false;
        bool unacknowledged = true;   // how its replay goes on …
        std::uint64_t after = 0;      // … and from where
        std::uint64_t live_after = 0; // what is told live begins behind it
    };
    class Box;

    [[nodiscard]] Box* find(const std::string& user);
    [[nodiscard]] Member* find(const std::string& user, unsigned reactor,
                               const session::InboxPlace& place);
    void ask_page(unsigned reactor, const session::InboxPlace& place, PageWish wish);
    void on_page(unsigned reactor, const session::InboxPlace& place, bool first, Page page);
    void take_due(const std::string& user);
    void on_due(const std::string& user, const Due& due);
    /// Those that were counted as sent and are not.
    void give_back(const std::string& user, const std::vector<room::MessageRef>& messages);
    void send(const Member& member, const room::MessageRef& message);
    void tell_joined(unsigned reactor, const session::InboxPlace& place,
                     const session::InboxJoined& joined);
    void tell_page(unsigned reactor, const session::InboxPlace& place, session::InboxPage page);
    [[nodiscard]] net::Reactor& reactor() noexcept { return inboxes_.sessions_.reactor(); }

    Inboxes& inboxes_;
    std::unordered_map<std::string, std::unique_ptr<Box>> boxes_;
    Gauge& live_users_;
};

} // namespace fanfare::delivery
