#pragma once
// The table of keys in memory, which is asked first, over what was written down.

#include "key_records.hpp"

#include <fanfare/stores/stores.hpp>

#include <memory>

namespace fanfare::stores {

/// `records` null: as make_memory_idempotency. Else it outlives the result.
[[nodiscard]] std::unique_ptr<room::IdempotencyLog>
make_recorded_idempotency(net::Reactors& reactors, const room::IdempotencyOptions& options,
                          KeyRecords* records);

} // namespace fanfare::stores
