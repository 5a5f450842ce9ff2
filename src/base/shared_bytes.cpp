// Header and bytes share one malloc: half the allocations per message, and the first cache line of
// the bytes comes with the header.

#include <fanfare/base/assert.hpp>
#include <fanfare/base/shared_bytes.hpp>

#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>
#include <utility>

namespace fanfare {
namespace {

void* allocate_with(std::size_t header, std::size_t size) {
    // Callers are bounded by message_bytes_max, far below what 32 bits hold.
    FANFARE_ASSERT(size <= std::numeric_limits<std::uint32_t>::max());
    void* memory = std::malloc(header + size);
    if (memory == nullptr) throw std::bad_alloc{};
    return memory;
}

} // namespace

boost::intrusive_ptr<SharedBytes> SharedBytes::allocate(std::size_t size) {
    void* memory = allocate_with(sizeof(SharedBytes), size);
    return boost::intrusive_ptr<SharedBytes>{::new (memory) SharedBytes{size}};
}

boost::intrusive_ptr<SharedBytes> SharedBytes::copy_of(std::string_view bytes) {
    auto copy = allocate(bytes.size());
    if (!bytes.empty()) std::memcpy(copy->data(), bytes.data(), bytes.size());
    return copy;
}

void SharedBytes::release() const noexcept {
    // Release: what this reactor did with the bytes comes before their end. Acquire: the last one
    // sees what all others did. A fence for the last one alone would be cheaper on ARM, but the
    // thread sanitizer does not understand fences.
    if (count_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
    auto* self = const_cast<SharedBytes*>(this); // NOLINT: references to const may be the last ones
    self->~SharedBytes();
    std::free(self);
}

boost::intrusive_ptr<LocalBytes> LocalBytes::show(SharedBytesRef shared) {
    FANFARE_ASSERT(shared != nullptr);
    void* memory = allocate_with(sizeof(LocalBytes), 0);
    boost::intrusive_ptr<LocalBytes> local{::new (memory) LocalBytes};
    local->data_ = shared->data();
    local->size_ = static_cast<std::uint32_t>(shared->size());
    local->shared_ = std::move(shared);
    return local;
}

LocalBytes* LocalBytes::owning(std::size_t size, char*& own) {
    void* memory = allocate_with(sizeof(LocalBytes), size);
    auto* const local = ::new (memory) LocalBytes;
    own = static_cast<char*>(memory) + sizeof(LocalBytes);
    local->data_ = own;
    local->size_ = static_cast<std::uint32_t>(size);
    return local;
}

boost::intrusive_ptr<LocalBytes> LocalBytes::copy_of(std::string_view bytes) {
    return join({&bytes, 1});
}

boost::intrusive_ptr<LocalBytes> LocalBytes::join(std::span<const std::string_view> pieces) {
    std::size_t size = 0;
    for (const std::string_view piece : pieces) size += piece.size();
    char* to = nullptr;
    boost::intrusive_ptr<LocalBytes> local{owning(size, to)};
    for (const std::string_view piece : pieces) {
        if (!piece.empty()) std::memcpy(to, piece.data(), piece.size());
        to += piece.size();
    }
    return local;
}

void LocalBytes::destroy() noexcept {
    this->~LocalBytes();
    std::free(this);
}

} // namespace fanfare
