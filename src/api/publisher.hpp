#pragma once
// Publishes from backends: one effect per body, whatever number of rooms it names.
//
// An effect waits for the answers of its rooms and then goes to whoever asked: an exchange of its
// own, or a place in a batch. Nothing waits for the client: one that left meanwhile is not found.

#include "publish_body.hpp"

#include <fanfare/http/exchange.hpp>
#include <fanfare/net/slot_map.hpp>
#include <fanfare/room/broker.hpp>
#include <fanfare/room/idempotency.hpp>
#include <fanfare/room/lanes.hpp>
#include <fanfare/room/rooms.hpp>

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace fanfare::api {

/// Names of rooms, in one text: as many as there are, they are two blocks of memory, and these are
/// used again.
class RoomNames {
  public:
    RoomNames() = default;
    RoomNames(std::initializer_list<std::string_view> names) {
        for (const std::string_view name : names) add(name);
    }
    void add(std::string_view name) {
        text_ += name;
        ends_.push_back(text_.size());
    }
    void clear() noexcept {
        text_.clear();
        ends_.clear();
    }
    [[nodiscard]] std::size_t size() const noexcept { return ends_.size(); }
    [[nodiscard]] std::string_view operator[](std::size_t i) const noexcept {
        const std::size_t begin = i == 0 ? 0 : ends_[i - 1];
        return std::string_view{text_}.substr(begin, ends_[i] - begin);
    }

  private:
    std::string text_;
    std::vector<std::size_t> ends_;
};

/// What became of one body.
struct Outcome {
    Error error;                  // if set, `results` is empty
    RoomNames rooms;              // in the order of the body
    room::PublishResults results; // one per room
    bool many = false;            // the body had `rooms`
};

/// Appends what the outcome is answered with: `{"room":…}`, `{"results":[…]}`, and in a batch also
/// `{"error":{…}}`.
void write_outcome(std::string& out, const Outcome& outcome);
/// The error that stands for the whole outcome; none if at least one room took the message.
[[nodiscard]] Error failure_of(const Outcome& outcome);

/// Whoever asked for an effect. Lives until it was told.
class EffectClient {
  public:
    virtual void on_outcome(std::uint64_t item, const Outcome& outcome) = 0;

  protected:
    ~EffectClient() = default;
};

class Publisher final : public room::PublishClient {
  public:
    Publisher(room::Rooms& rooms, room::IdempotencyLog& idempotency);
    ~Publisher();

    /// Publishes a body in the name of an API key. `key`: idempotency key, empty: none.
    /// `client->on_outcome(item, …)` is called on this reactor, possibly before this returns.
    /// `client` is asked for by handle in `clients`, so it may be gone by then. Bodies of one
    /// `lane` (0: none) are published in the order of the calls, with keys or without.
    void publish(const PublishBody& body, std::string_view caller, std::string_view key,
                 net::Handle client, std::uint64_t item, net::Handle lane);

    /// Those who wait for outcomes, by handle.
    net::SlotMap<EffectClient*> clients;

  private:
    struct Effect {
        net::Handle client = 0;
        std::uint64_t item = 0;
        Outcome outcome;
        std::size_t missing = 0; // rooms that have not answered
        room::IdempotencyKey key;
        std::vector<room::DraftRef> messages; // wait for the key's verdict, or for the lane
    };
    /// Effects of so many rooms are kept for the next bodies, and so many of them.
    static constexpr std::size_t spare_rooms_max = 16;
    static constexpr std::size_t spare_effects_max = 256;

    [[nodiscard]] std::unique_ptr<Effect> make_effect();
    /// Its outcome is told and it is over.
    void tell(std::unique_ptr<Effect> effect);
    void send(net::Handle effect);
    void on_published(net::Handle who, std::uint64_t request,
                      const room::PublishResult& result) override;
    void finish(net::Handle effect);
    void on_verdict(net::Handle effect, room::IdempotencyLog::Verdict verdict,
                    const room::PublishResults& results);

    room::Rooms& rooms_;
    room::IdempotencyLog& idempotency_;
    net::SlotMap<std::unique_ptr<Effect>> effects_;
    std::vector<std::unique_ptr<Effect>> spare_;
    room::Lanes lanes_;
};

} // namespace fanfare::api
