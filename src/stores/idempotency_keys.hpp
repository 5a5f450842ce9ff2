#pragma once
// One partition of the idempotency keys: a table with a bound and a window. Single-threaded and
// without a clock of its own; memory_idempotency.cpp gives it a reactor and time.
//
// A key is in flight from `begin` until `finish` or `abandon`, then finished until its window ends.
// All windows are equally long, so finished keys end in the order in which they were finished: a
// queue replaces a timer per key, and its front is also what goes first when the table is full.

#include <fanfare/base/bytes.hpp>
#include <fanfare/base/clock.hpp>
#include <fanfare/room/idempotency.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

namespace fanfare::stores {

class IdempotencyKeys {
  public:
    using Verdict = room::IdempotencyLog::Verdict;

    /// Who asked. `answer` is called once, possibly before `begin` returns; whoever waits when the
    /// table is destroyed is not answered.
    class Call {
      public:
        virtual ~Call() = default;
        virtual void answer(Verdict verdict, room::PublishResults results) = 0;
    };
    using CallRef = std::unique_ptr<Call>;

    IdempotencyKeys(std::chrono::milliseconds window, std::size_t keys_max)
        : window_(window.count()), keys_max_(keys_max) {}

    // The contract of room::IdempotencyLog; `now` never goes back.
    void begin(const room::IdempotencyKey& key, CallRef call, MonoMillis now);
    void finish(const room::IdempotencyKey& key, room::PublishResults results, MonoMillis now);
    void abandon(const room::IdempotencyKey& key);
    /// It was found that an earlier call, which this table does not have, asked for something else:
    /// whoever waits is in conflict with it.
    void refuse(const room::IdempotencyKey& key);

    [[nodiscard]] bool knows(const std::string& text) const { return keys_.contains(text); }
    /// Forgets the finished keys whose window is over.
    void expire(MonoMillis now);
    [[nodiscard]] bool any_finished() const noexcept { return !finished_.empty(); }
    /// When the next window is over; only if any_finished().
    [[nodiscard]] MonoMillis next_expiry() const noexcept {
        return finished_.front()->second.expires;
    }
    [[nodiscard]] std::size_t size() const noexcept { return keys_.size(); }

  private:
    using Waiting = std::vector<CallRef>;
    struct State {
        std::uint64_t fingerprint = 0;
        MonoMillis expires = 0;           // once finished
        std::unique_ptr<Waiting> waiting; // null: finished
        room::PublishResults results;     // once finished
    };
    struct Hash { // seeded: clients choose the keys
        std::size_t operator()(const std::string& text) const noexcept { return hash_bytes(text); }
    };
    using Keys = std::unordered_map<std::string, State, Hash>;
    using Entry = Keys::value_type;

    [[nodiscard]] bool make_room();
    [[nodiscard]] Entry* find_in_flight(const room::IdempotencyKey& key);
    void forget_oldest();

    const MonoMillis window_;
    const std::size_t keys_max_;
    Keys keys_;
    std::deque<const Entry*> finished_; // oldest first; a table's elements do not move
};

} // namespace fanfare::stores
