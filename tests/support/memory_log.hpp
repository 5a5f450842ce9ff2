#pragma once
// A room::DurableLog that keeps everything in this process, answers when the test lets it, and
// fails when the test wants it to.

#include <fanfare/base/bytes.hpp>
#include <fanfare/net/reactor.hpp>
#include <fanfare/room/durable_log.hpp>

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace fanfare::test {

class MemoryLog final : public room::DurableLog {
  public:
    struct Life {
        Epoch epoch;
        std::uint64_t newest = 0;
        std::map<std::uint64_t, room::MessageRef> messages;
    };

    void open(std::string_view room, std::uint64_t /*hash*/, const Epoch& fresh,
              const room::LogRange& recent, std::function<void(room::OpenedRoom)> done) override {
        ++opens;
        answer([this, name = std::string{room}, fresh, recent, done = std::move(done)] {
            room::OpenedRoom opened;
            if (failing != nullptr) {
                opened.code = Code::unavailable;
                opened.detail = failing;
                return done(std::move(opened));
            }
            const auto at = lives.find(name);
            opened.newest = at == lives.end() ? Position{fresh, 0}
                                              : Position{at->second.epoch, at->second.newest};
            opened.room = std::make_shared<Place>(name, opened.newest.epoch);
            if (at != lives.end()) {
                room::LogRange range = recent;
                range.first = at->second.newest;
                range.reverse = true;
                opened.recent = walk(at->second, range);
                std::reverse(opened.recent.begin(), opened.recent.end());
            }
            done(std::move(opened));
        });
    }
    room::LoggedRoomRef adopt(std::string_view room, const Position& newest) override {
        lives[std::string{room}] = {newest.epoch, newest.offset, {}};
        return std::make_shared<Place>(room, newest.epoch);
    }
    bool append(const room::LoggedRoomRef& room, const room::MessageRef& message, WallMillis time,
                const room::IdempotencyKey* key, std::uint32_t part,
                std::function<void(const room::Appended&)> done) override {
        if (full) return false;
        if (key != nullptr) keys.push_back(key->text + "/" + std::to_string(part));
        answer([this, place = place_of(room), message, time, done = std::move(done)] {
            if (failing != nullptr) return done({Code::unavailable, failing, 0, 0});
            Life& life = lives[place->name];
            life.epoch = place->epoch;
            const std::uint64_t offset = ++life.newest;
            // A copy, as a store makes it: the other one is numbered by its room.
            const room::DraftRef kept =
                room::Message::make({message->room(), message->data(), message->event(),
                                     message->id(), message->from(), false, 0, 0},
                                    message->room_hash());
            kept->number({life.epoch, offset}, time, net::Reactor::current()->now_micros());
            life.messages[offset] = kept;
            done({Code::ok, nullptr, offset, time});
        });
        return true;
    }
    void read(const room::LoggedRoomRef& room, const room::LogRange& range,
              std::function<void(room::LoggedMessages)> done) override {
        ++reads;
        answer([this, place = place_of(room), range, done = std::move(done)] {
            if (failing != nullptr) return done({Code::unavailable, failing, {}, false});
            room::LoggedMessages found;
            found.messages = walk(lives[place->name], range, &found.cut);
            done(std::move(found));
        });
    }
    void trim(const room::LoggedRoomRef& room, std::uint64_t first) override {
        Life& life = lives[place_of(room)->name];
        life.messages.erase(life.messages.begin(), life.messages.lower_bound(first));
        ++trims;
    }
    void erase(const room::LoggedRoomRef& room) override { lives.erase(place_of(room)->name); }

    /// Lets the oldest call that is held answer, on the reactor that it came from.
    void release_one() {
        const Held held = std::move(waiting.front());
        waiting.pop_front();
        held.reactor->post(held.act);
    }
    void release_all() {
        while (!waiting.empty()) release_one();
    }

    std::map<std::string, Life> lives;
    std::vector<std::string> keys;
    const char* failing = nullptr;
    bool full = false;
    bool hold = false; // answers wait
    int opens = 0;
    int reads = 0;
    int trims = 0;
    struct Held {
        net::Reactor* reactor;
        std::function<void()> act;
    };
    std::deque<Held> waiting;

  private:
    struct Place final : room::LoggedRoom {
        Place(std::string_view room, const Epoch& of) : name(room), epoch(of) {}
        std::string name;
        Epoch epoch;
    };
    static std::shared_ptr<Place> place_of(const room::LoggedRoomRef& room) {
        return std::static_pointer_cast<Place>(room);
    }
    void answer(std::function<void()> act) {
        net::Reactor* const reactor = net::Reactor::current();
        if (hold)
            waiting.push_back({reactor, std::move(act)});
        else
            reactor->post(std::move(act));
    }
    static std::vector<room::MessageRef> walk(const Life& life, const room::LogRange& range,
                                              bool* cut = nullptr) {
        std::vector<room::MessageRef> found;
        std::size_t bytes = 0;
        const auto take = [&](const room::MessageRef& message) {
            if (message->time() < range.not_before) return true;
            if (found.size() == range.limit) return false;
            bytes += message->data().size() + message->room().size() + 160;
            if (!found.empty() && bytes > range.bytes_max) {
                if (cut != nullptr) *cut = true;
                return false;
            }
            found.push_back(message);
            return true;
        };
        if (range.reverse) {
            for (auto at = life.messages.upper_bound(range.first); at != life.messages.begin();)
                if (!take((--at)->second)) break;
        } else {
            for (auto at = life.messages.lower_bound(range.first); at != life.messages.end(); ++at)
                if (!take(at->second)) break;
        }
        return found;
    }
};

} // namespace fanfare::test
