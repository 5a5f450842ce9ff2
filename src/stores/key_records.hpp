#pragma once
// Where finished keys are written down, so that the next process knows them. Declared here because
// the table in memory is what asks.

#include <fanfare/base/clock.hpp>
#include <fanfare/room/idempotency.hpp>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace fanfare::stores {

/// What was found of a key. A part that was not written has neither an offset nor `ephemeral`.
struct KeyRecord {
    std::uint64_t fingerprint = 0;
    room::PublishResults results;
};
/// A part of a call that has happened.
[[nodiscard]] inline bool is_done(const room::PublishResult& result) noexcept {
    return result.code == Code::ok && (result.position.offset != 0 || result.ephemeral);
}

class KeyRecords {
  public:
    virtual ~KeyRecords() = default;
    /// `done` is called on the caller's reactor, later. A failure to read is "nothing known".
    virtual void find(const room::IdempotencyKey& key,
                      std::function<void(std::optional<KeyRecord>)> done) = 0;
    /// Writes down the parts that were not written with their message. Nobody waits for it.
    virtual void record(const room::IdempotencyKey& key, const room::PublishResults& results) = 0;
};

} // namespace fanfare::stores
