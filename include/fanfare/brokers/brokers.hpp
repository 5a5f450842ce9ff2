#pragma once
// The shelf of brokers: what carries publishes between reactors (and, later, nodes).

#include <fanfare/room/broker.hpp>
#include <fanfare/room/rooms.hpp>

#include <memory>

namespace fanfare::brokers {

/// Within this process only: a publish goes to the room's home reactor. One per reactor; `rooms`
/// is that reactor's and must be connected before the first publish.
[[nodiscard]] std::unique_ptr<room::Broker> make_local(room::Rooms& rooms);

} // namespace fanfare::brokers
