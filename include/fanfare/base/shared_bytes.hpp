#pragma once
// Bytes that many connections send and nobody changes.
//
// Two counts, because an atomic per subscriber would cost more than the rest of a delivery:
//  - SharedBytes: one allocation, counted atomically; one reference per *reactor* that holds it.
//  - LocalBytes: what queues point at; counted plainly, lives on one reactor, and holds one
//    reference to the SharedBytes that it shows, or its own bytes in the same allocation.

#include <boost/smart_ptr/intrusive_ptr.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace fanfare {

/// Immutable after `seal`ing by convention: fill `data()` before the first reference is shared.
class SharedBytes {
  public:
    /// Uninitialised bytes with one reference that the returned pointer holds.
    [[nodiscard]] static boost::intrusive_ptr<SharedBytes> allocate(std::size_t size);
    [[nodiscard]] static boost::intrusive_ptr<SharedBytes> copy_of(std::string_view bytes);

    [[nodiscard]] char* data() noexcept { return reinterpret_cast<char*>(this + 1); } // NOLINT
    [[nodiscard]] const char* data() const noexcept {
        return reinterpret_cast<const char*>(this + 1); // NOLINT: the bytes follow the header
    }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] std::string_view view() const noexcept { return {data(), size_}; }

    friend void intrusive_ptr_add_ref(const SharedBytes* bytes) noexcept {
        bytes->count_.fetch_add(1, std::memory_order_relaxed);
    }
    friend void intrusive_ptr_release(const SharedBytes* bytes) noexcept { bytes->release(); }

  private:
    explicit SharedBytes(std::size_t size) : size_(static_cast<std::uint32_t>(size)) {}
    void release() const noexcept;

    mutable std::atomic<std::uint32_t> count_{0};
    std::uint32_t size_;
};
using SharedBytesRef = boost::intrusive_ptr<const SharedBytes>;

/// One reactor's hold on bytes to send.
class LocalBytes {
  public:
    /// Shows bytes of `shared`; no copy.
    [[nodiscard]] static boost::intrusive_ptr<LocalBytes> show(SharedBytesRef shared);
    /// Owns a copy.
    [[nodiscard]] static boost::intrusive_ptr<LocalBytes> copy_of(std::string_view bytes);
    /// Owns one copy of all pieces, one behind the other.
    [[nodiscard]] static boost::intrusive_ptr<LocalBytes>
    join(std::span<const std::string_view> pieces);

    [[nodiscard]] const char* data() const noexcept { return data_; }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] std::string_view view() const noexcept { return {data_, size_}; }

    /// These bytes mean nothing without the next entry of the queue they are in (an SSE id line
    /// before its shared event): a queue drops both or neither.
    void set_open_ended() noexcept { open_ended_ = true; }
    [[nodiscard]] bool open_ended() const noexcept { return open_ended_; }

    friend void intrusive_ptr_add_ref(LocalBytes* bytes) noexcept { ++bytes->count_; }
    friend void intrusive_ptr_release(LocalBytes* bytes) noexcept {
        if (--bytes->count_ == 0) bytes->destroy();
    }

  private:
    LocalBytes() = default;
    void destroy() noexcept;
    [[nodiscard]] static LocalBytes* owning(std::size_t size, char*& own);

    std::uint32_t count_ = 0;
    std::uint32_t size_ = 0;
    const char* data_ = nullptr;
    SharedBytesRef shared_; // null: the bytes follow this header
    bool open_ended_ = false;
};
using LocalBytesRef = boost::intrusive_ptr<LocalBytes>;

} // namespace fanfare
