#pragma once
// A message: an immutable payload published into a room, numbered by the room's home reactor.

#include <fanfare/base/clock.hpp>
#include <fanfare/base/ids.hpp>
#include <fanfare/base/shared_bytes.hpp>
#include <fanfare/net/slot_map.hpp>

#include <boost/smart_ptr/intrusive_ptr.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>
#include <utility>

namespace fanfare::room {

/// A wire shape of a message. A message is encoded at most once per form in use.
enum class Form : std::uint8_t {
    ws_json,         // one WebSocket text frame
    ws_json_deflate, // the same, compressed; short messages go as ws_json
    sse,             // one event, its id included: for streams of a single room
    sse_part,        // one event without its id line: for streams of several rooms
    count_
};
inline constexpr std::size_t form_count = static_cast<std::size_t>(Form::count_);

/// Counted atomically; one allocation for everything. Written by its maker and then by the room's
/// home reactor (`number`, `set_encoded`) before any other thread sees it; immutable afterwards.
class Message {
  public:
    struct Parts {
        std::string_view room;  // 1..255 bytes
        std::string_view data;  // JSON, kept as the bytes that came
        std::string_view event; // empty: none
        std::string_view id;    // empty: none
        std::string_view from;  // the publishing user; empty: the API, or anonymous
        bool ephemeral = false;
        /// The how-manyth time it is sent (inbox); 0: not counted.
        std::uint8_t attempt = 0;
        /// The session that published, so that an ephemeral message is not echoed; 0: none.
        net::Handle origin = 0;
        unsigned origin_reactor = 0;
    };
    [[nodiscard]] static boost::intrusive_ptr<Message> make(const Parts& parts,
                                                            std::uint64_t room_hash);

    [[nodiscard]] std::string_view room() const noexcept { return {text(), room_size_}; }
    [[nodiscard]] std::uint64_t room_hash() const noexcept { return room_hash_; }
    [[nodiscard]] std::string_view event() const noexcept {
        return {text() + room_size_, event_size_};
    }
    [[nodiscard]] std::string_view id() const noexcept {
        return {text() + room_size_ + event_size_, id_size_};
    }
    [[nodiscard]] std::string_view from() const noexcept {
        return {text() + room_size_ + event_size_ + id_size_, from_size_};
    }
    [[nodiscard]] std::string_view data() const noexcept {
        return {text() + room_size_ + event_size_ + id_size_ + from_size_, data_size_};
    }
    [[nodiscard]] bool ephemeral() const noexcept { return ephemeral_; }
    [[nodiscard]] std::uint8_t attempt() const noexcept { return attempt_; }
    [[nodiscard]] net::Handle origin() const noexcept { return origin_; }
    [[nodiscard]] unsigned origin_reactor() const noexcept { return origin_reactor_; }
    /// Offset 0 in an ephemeral message.
    [[nodiscard]] const Position& position() const noexcept { return position_; }
    /// When it was numbered.
    [[nodiscard]] WallMillis time() const noexcept { return time_; }
    /// Null: not encoded in this form (or not worth it: see Encoder).
    [[nodiscard]] const SharedBytesRef& encoded(Form form) const noexcept {
        return encoded_[static_cast<std::size_t>(form)];
    }
    /// The same moment on the monotonic clock, for its age.
    [[nodiscard]] MonoMillis born() const noexcept { return born_ / 1'000; }
    /// When the reactor that took the publish had read it; 0: not told.
    [[nodiscard]] MonoMicros received() const noexcept {
        return transit_ != unknown_transit ? born_ - transit_ : 0;
    }

    // Before it is shared. First on the reactor that takes the publish:
    void set_received(MonoMicros now) noexcept { born_ = now; }
    // and then on the room's home reactor:
    /// `time` and `now`: the moment, on the wall and monotonic clocks.
    void number(const Position& position, WallMillis time, MonoMicros now) noexcept {
        position_ = position;
        time_ = time;
        const MonoMicros received = std::exchange(born_, now);
        const MonoMicros transit = now - received;
        transit_ = received != 0 && transit < transit_max && transit > -transit_max
                       ? static_cast<std::int32_t>(transit)
                       : unknown_transit;
    }
    void set_encoded(Form form, SharedBytesRef bytes) noexcept {
        encoded_[static_cast<std::size_t>(form)] = std::move(bytes);
    }

    friend void intrusive_ptr_add_ref(const Message* message) noexcept {
        message->count_.fetch_add(1, std::memory_order_relaxed);
    }
    friend void intrusive_ptr_release(const Message* message) noexcept { message->release(); }

  private:
    Message() = default;
    ~Message() = default; // destroyed by the last reference only
    void release() const noexcept;
    [[nodiscard]] const char* text() const noexcept {
        return reinterpret_cast<const char*>(this + 1); // NOLINT: the bytes follow the header
    }

    mutable std::atomic<std::uint32_t> count_{0};
    std::uint32_t data_size_ = 0;
    Position position_;
    WallMillis time_ = 0;
    MonoMicros born_ = 0; // when it was numbered; before that: received
    std::uint64_t room_hash_ = 0;
    net::Handle origin_ = 0;
    std::array<SharedBytesRef, form_count> encoded_;
    // µs from received to numbered; below zero where this reactor's turn is older than the other's.
    std::int32_t transit_ = unknown_transit;
    static constexpr std::int32_t unknown_transit = std::numeric_limits<std::int32_t>::min();
    static constexpr MonoMicros transit_max = std::numeric_limits<std::int32_t>::max();
    std::uint16_t from_size_ = 0;
    std::uint16_t id_size_ = 0;
    std::uint16_t origin_reactor_ = 0;
    std::uint8_t room_size_ = 0;
    std::uint8_t event_size_ = 0;
    bool ephemeral_ = false;
    std::uint8_t attempt_ = 0;
};
using MessageRef = boost::intrusive_ptr<const Message>;
using DraftRef = boost::intrusive_ptr<Message>; // not numbered yet

/// Why a room name is not one, as a phrase; nullptr: it is fine. 1–255 bytes of UTF-8, no control
/// characters, no `*`. Names that begin with `@` are well-formed here: reserved is another matter.
[[nodiscard]] const char* room_name_fault(std::string_view name) noexcept;
/// The same for a pattern: as a room name, with at least one `*`, not beginning with `@`.
[[nodiscard]] const char* pattern_fault(std::string_view pattern) noexcept;
/// The same for an event name: 1–64 bytes of UTF-8 without control characters, and none of the
/// gateway's own names (`ready`, `bye`, …: docs/protocol.md).
[[nodiscard]] const char* event_name_fault(std::string_view event) noexcept;
/// The same for a message id or idempotency key: 1–255 bytes of UTF-8 without control characters.
[[nodiscard]] const char* id_fault(std::string_view id) noexcept;

} // namespace fanfare::room
