#pragma once
// A publish that is repeated with its key happens once: key to first answer, within a window.

#include <fanfare/room/broker.hpp>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace fanfare::room {

/// A key is scoped to the caller and the call: the same text from two API keys is two keys.
struct IdempotencyKey {
    std::string text; // "<caller>\n<call>\n<key>", at most ~600 bytes
    /// Of what was asked; another one under the same key is a conflict. The same in every process.
    std::uint64_t fingerprint = 0;
    std::uint32_t parts = 1; // rooms of the call
};

/// The answer that is kept: one result per room of the call.
using PublishResults = std::vector<PublishResult>;

/// Contract of where keys are kept: in memory, or in the store (survives the process). Calls are
/// made on any reactor; `done` is called on the caller's reactor, possibly before the call returns.
class IdempotencyLog {
  public:
    virtual ~IdempotencyLog() = default;
    enum class Verdict : std::uint8_t {
        first,     // do it, then `finish` or `abandon`; parts in `results` that `done` are done
        duplicate, // `results` is the first answer; do nothing
        conflict,  // same key, other fingerprint
        full,      // keys_max is reached by keys in flight: refuse with unavailable
    };
    using Done = std::function<void(Verdict, PublishResults results)>;
    /// Takes the key in one step. While the first is in flight, repeats wait for its answer.
    virtual void begin(IdempotencyKey key, Done done) = 0;
    /// The first answer: kept for the window, given to everyone who waits.
    virtual void finish(const IdempotencyKey& key, PublishResults results) = 0;
    /// It did not happen (refused before any effect): the next repeat is a first again.
    virtual void abandon(const IdempotencyKey& key) = 0;
};

} // namespace fanfare::room
