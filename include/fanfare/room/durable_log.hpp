#pragma once
// The contract of history that survives the process (history.durable). The store numbers the
// messages of a durable room, in the transaction that keeps them: what was refused leaves no hole.
//
// Calls are made on a room's home reactor and return at once; what follows comes later on the same
// reactor, for one room in the order of its calls. Design: docs/decisions/0012-durable-store.md.

#include <fanfare/base/clock.hpp>
#include <fanfare/base/error.hpp>
#include <fanfare/base/ids.hpp>
#include <fanfare/room/idempotency.hpp>
#include <fanfare/room/message.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

namespace fanfare::room {

/// A room's place in the store, held by its home while the room is in memory. Opaque.
class LoggedRoom {
  public:
    virtual ~LoggedRoom() = default;
};
using LoggedRoomRef = std::shared_ptr<LoggedRoom>;

/// Which messages count: those of at least this offset, and not older than that.
struct LogRange {
    std::uint64_t first = 1; // with `reverse`: the last one, walked downwards
    WallMillis not_before = 0;
    std::size_t limit = 0;
    std::size_t bytes_max = ~std::size_t{0}; // at least one message comes, whatever its size
    bool reverse = false;
};

struct OpenedRoom {
    Code code = Code::ok;
    const char* detail = nullptr; // static text where code is an error
    LoggedRoomRef room;
    Position newest;                // offset 0: nothing was ever published
    std::vector<MessageRef> recent; // the newest, in offset order, without holes up to `newest`
};
struct Appended {
    Code code = Code::ok;
    const char* detail = nullptr;
    std::uint64_t offset = 0;
    WallMillis time = 0; // not before that of the message before it
};
struct LoggedMessages {
    Code code = Code::ok;
    const char* detail = nullptr;
    std::vector<MessageRef> messages; // as walked; numbered, with their time
    bool cut = false;                 // there was no room for the next one in `bytes_max`
};

class DurableLog {
  public:
    virtual ~DurableLog() = default;

    /// Finds a room. One that is not known begins with `fresh`, which is written with its first
    /// message. `recent.first` is ignored: the newest are read, at most `limit` and `bytes_max`.
    virtual void open(std::string_view room, std::uint64_t room_hash, const Epoch& fresh,
                      const LogRange& recent, std::function<void(OpenedRoom)> done) = 0;
    /// A room that lived in memory until now goes on at this position; what the store knew of that
    /// name is replaced, with the next message.
    [[nodiscard]] virtual LoggedRoomRef adopt(std::string_view room, const Position& newest) = 0;

    /// Keeps a message and gives it the room's next offset. `time`: now; it may be moved on. `key`,
    /// if not null, is kept with it, as part `part` of its call. Returns false, and nothing
    /// happens, if too much waits already.
    [[nodiscard]] virtual bool append(const LoggedRoomRef& room, const MessageRef& message,
                                      WallMillis time, const IdempotencyKey* key,
                                      std::uint32_t part,
                                      std::function<void(const Appended&)> done) = 0;
    virtual void read(const LoggedRoomRef& room, const LogRange& range,
                      std::function<void(LoggedMessages)> done) = 0;
    /// What is below `first` is no longer wanted; it goes when there is time.
    virtual void trim(const LoggedRoomRef& room, std::uint64_t first) = 0;
    /// The room is no longer durable: the store forgets it.
    virtual void erase(const LoggedRoomRef& room) = 0;
};

} // namespace fanfare::room
