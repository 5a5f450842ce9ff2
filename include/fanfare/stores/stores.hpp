#pragma once
// The shelf of durable state: what `app` builds without seeing how it is made.

#include <fanfare/room/idempotency.hpp>
#include <fanfare/room/options.hpp>

#include <memory>

namespace fanfare::net {
class Reactors;
}

namespace fanfare::stores {

/// Idempotency keys in memory: they do not survive the process. Made before the reactors start,
/// destroyed after they have ended and before they are destroyed.
[[nodiscard]] std::unique_ptr<room::IdempotencyLog>
make_memory_idempotency(net::Reactors& reactors, const room::IdempotencyOptions& options);

} // namespace fanfare::stores
