// The in-memory room::IdempotencyLog: a partition of the keys lives on each reactor, by the key's
// hash. A call travels to its partition and its answer back to the caller's reactor; where both are
// one, nothing is posted. Posts of one reactor keep their order, so a `finish` cannot overtake its
// `begin`, and no partition has a lock.

#include "memory_idempotency.hpp"

#include "idempotency_keys.hpp"

#include <fanfare/base/assert.hpp>
#include <fanfare/base/bytes.hpp>
#include <fanfare/net/reactor.hpp>
#include <fanfare/stores/stores.hpp>

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

namespace fanfare::stores {
namespace {

using room::IdempotencyKey;
using room::PublishResults;
using Verdict = room::IdempotencyLog::Verdict;

/// A caller's `done` on its way. It is called, and destroyed, on the caller's reactor: what it
/// holds may be counted without atomics.
class RemoteCall final : public IdempotencyKeys::Call {
  public:
    RemoteCall(net::Reactor& caller, room::IdempotencyLog::Done done)
        : caller_(caller), done_(std::move(done)) {}

    void answer(Verdict verdict, PublishResults results) override {
        if (net::Reactor::current() == &caller_) {
            done_(verdict, std::move(results));
            return;
        }
        struct Answer {
            room::IdempotencyLog::Done done;
            Verdict verdict;
            PublishResults results;
        };
        auto parcel =
            std::make_unique<Answer>(Answer{std::move(done_), verdict, std::move(results)});
        caller_.post([parcel = std::move(parcel)] {
            parcel->done(parcel->verdict, std::move(parcel->results));
        });
    }

  private:
    net::Reactor& caller_;
    room::IdempotencyLog::Done done_;
};

/// A table with its reactor's time. Everything on that reactor.
class Partition final : net::TimerWheel::Timer {
  public:
    Partition(net::Reactor& reactor, std::chrono::milliseconds window, std::size_t keys_max,
              KeyRecords* records)
        : reactor_(reactor), keys_(window, keys_max), records_(records),
          // The table is empty at the start and holds all of the window after it.
          look_back_until_(reactor.clock().mono() + window.count()) {}

    [[nodiscard]] net::Reactor& reactor() const noexcept { return reactor_; }

    void begin(const IdempotencyKey& key, IdempotencyKeys::CallRef call) {
        if (records_ != nullptr && reactor_.now() < look_back_until_ && !keys_.knows(key.text))
            call = std::make_unique<LookBack>(*this, key, std::move(call));
        keys_.begin(key, std::move(call), reactor_.now());
    }
    void finish(const IdempotencyKey& key, PublishResults results) {
        if (records_ != nullptr) records_->record(key, results);
        finish_known(key, std::move(results));
    }
    void abandon(const IdempotencyKey& key) { keys_.abandon(key); }

  private:
    /// The first call with a key that the process before this one may have seen.
    class LookBack final : public IdempotencyKeys::Call {
      public:
        LookBack(Partition& partition, const IdempotencyKey& key, IdempotencyKeys::CallRef call)
            : partition_(partition), key_(key), call_(std::move(call)) {}
        void answer(Verdict verdict, PublishResults results) override {
            if (verdict != Verdict::first) return call_->answer(verdict, std::move(results));
            partition_.look_back(key_, std::move(call_));
        }

      private:
        Partition& partition_;
        IdempotencyKey key_;
        IdempotencyKeys::CallRef call_;
    };

    void look_back(const IdempotencyKey& key, IdempotencyKeys::CallRef call) {
        // std::function wants to be copied; the call is not.
        auto waiting = std::make_shared<IdempotencyKeys::CallRef>(std::move(call));
        records_->find(key, [this, key, waiting](const std::optional<KeyRecord>& found) {
            IdempotencyKeys::Call& first = **waiting;
            if (!found) return first.answer(Verdict::first, {});
            if (found->fingerprint != key.fingerprint) {
                keys_.refuse(key);
                return first.answer(Verdict::conflict, {});
            }
            const bool whole = found->results.size() == key.parts &&
                               std::all_of(found->results.begin(), found->results.end(), is_done);
            if (!whole) return first.answer(Verdict::first, found->results);
            finish_known(key, found->results);
            first.answer(Verdict::duplicate, found->results);
        });
    }
    void finish_known(const IdempotencyKey& key, PublishResults results) {
        keys_.finish(key, std::move(results), reactor_.now());
        schedule();
    }
    void schedule() {
        if (armed() || !keys_.any_finished()) return;
        const MonoMillis wait = keys_.next_expiry() - reactor_.now();
        reactor_.timers().set(*this, std::chrono::milliseconds{std::max<MonoMillis>(wait, 0)});
    }
    void on_timer() override {
        keys_.expire(reactor_.now());
        schedule();
    }

    net::Reactor& reactor_;
    IdempotencyKeys keys_;
    KeyRecords* const records_; // null: keys live in memory only
    const MonoMillis look_back_until_;
};

class MemoryIdempotency final : public room::IdempotencyLog {
  public:
    MemoryIdempotency(net::Reactors& reactors, const room::IdempotencyOptions& options,
                      KeyRecords* records) {
        const std::size_t count = reactors.size();
        const std::size_t keys_max =
            std::max<std::size_t>((options.keys_max + count - 1) / count, 1);
        for (std::size_t i = 0; i < count; ++i)
            partitions_.push_back(
                std::make_unique<Partition>(reactors[i], options.window, keys_max, records));
    }

    void begin(IdempotencyKey key, Done done) override {
        net::Reactor* const caller = net::Reactor::current();
        FANFARE_ASSERT(caller != nullptr);
        Partition& to = partition_of(key);
        auto call = std::make_unique<RemoteCall>(*caller, std::move(done));
        if (caller == &to.reactor()) {
            to.begin(key, std::move(call));
            return;
        }
        to.reactor().post([&to, key = std::make_unique<IdempotencyKey>(std::move(key)),
                           call = std::move(call)]() mutable { to.begin(*key, std::move(call)); });
    }

    void finish(const IdempotencyKey& key, PublishResults results) override {
        Partition& to = partition_of(key);
        if (net::Reactor::current() == &to.reactor()) {
            to.finish(key, std::move(results));
            return;
        }
        to.reactor().post(
            [&to, key = std::make_unique<IdempotencyKey>(key),
             results = std::move(results)]() mutable { to.finish(*key, std::move(results)); });
    }

    void abandon(const IdempotencyKey& key) override {
        Partition& to = partition_of(key);
        if (net::Reactor::current() == &to.reactor()) {
            to.abandon(key);
            return;
        }
        to.reactor().post([&to, key = std::make_unique<IdempotencyKey>(key)] { to.abandon(*key); });
    }

  private:
    [[nodiscard]] Partition& partition_of(const IdempotencyKey& key) noexcept {
        // The high bits, as Reactors::home_of does; the table inside uses a hash of its own.
        return *partitions_[(hash_bytes(key.text) >> 32) % partitions_.size()];
    }

    std::vector<std::unique_ptr<Partition>> partitions_; // by reactor
};

} // namespace

std::unique_ptr<room::IdempotencyLog>
make_memory_idempotency(net::Reactors& reactors, const room::IdempotencyOptions& options) {
    return make_recorded_idempotency(reactors, options, nullptr);
}

std::unique_ptr<room::IdempotencyLog>
make_recorded_idempotency(net::Reactors& reactors, const room::IdempotencyOptions& options,
                          KeyRecords* records) {
    return std::make_unique<MemoryIdempotency>(reactors, options, records);
}

} // namespace fanfare::stores
