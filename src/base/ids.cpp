// Randomness is fetched 512 bytes at a time into a buffer per thread: a call of RAND_bytes costs
// about a microsecond however little it gives, and an epoch needs 8 bytes of it.

#include "base64url.hpp"

#include <fanfare/base/assert.hpp>
#include <fanfare/base/ids.hpp>

#include <climits>
#include <openssl/crypto.h>
#include <openssl/rand.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <pthread.h>

namespace fanfare {
namespace {

/// Ids and keys that can be guessed are worse than no gateway, so failure ends the process.
void fill(unsigned char* to, std::size_t size) {
    while (size > 0) {
        const std::size_t step = std::min<std::size_t>(size, INT_MAX);
        const int done = RAND_bytes(to, static_cast<int>(step));
        FANFARE_ASSERT(done == 1);
        to += step;
        size -= step;
    }
}

// A forked child has a copy of its parent's buffer and would give out the same "random" bytes.
// OpenSSL guards its own state against that; this count guards ours.
std::atomic<unsigned> forks{0};

struct RandomBuffer {
    std::array<unsigned char, 512> bytes{};
    std::size_t used = 512; // all of it: nothing was fetched yet
    unsigned fork = 0;      // the count of forks when it was fetched
};

RandomBuffer& buffer() {
    [[maybe_unused]] static const int registered =
        pthread_atfork(nullptr, nullptr, [] { forks.fetch_add(1, std::memory_order_relaxed); });
    thread_local RandomBuffer local;
    return local;
}

} // namespace

void random_bytes(void* to, std::size_t size) {
    RandomBuffer& random = buffer();
    if (size > random.bytes.size() / 4) { // rare and large: buffering would only copy it
        fill(static_cast<unsigned char*>(to), size);
        return;
    }
    const unsigned fork = forks.load(std::memory_order_relaxed);
    if (random.used + size > random.bytes.size() || random.fork != fork) {
        fill(random.bytes.data(), random.bytes.size());
        random.used = 0;
        random.fork = fork;
    }
    unsigned char* from = random.bytes.data() + random.used;
    std::memcpy(to, from, size);
    // What was given out may be a key: it must not be found here later.
    OPENSSL_cleanse(from, size);
    random.used += size;
}

std::uint64_t random_u64() {
    std::uint64_t value = 0;
    random_bytes(&value, sizeof value);
    return value;
}

std::string random_text(std::size_t characters) {
    std::string text(characters, '\0');
    random_bytes(text.data(), text.size());
    // 64 divides 256, so each character is equally likely.
    for (char& c : text) c = base64url_alphabet[static_cast<unsigned char>(c) & 63];
    return text;
}

Epoch Epoch::fresh() {
    Epoch epoch;
    random_bytes(epoch.text_.data(), epoch.text_.size());
    for (char& c : epoch.text_) c = base64url_alphabet[static_cast<unsigned char>(c) & 63];
    return epoch;
}

Epoch Epoch::parse(std::string_view text) noexcept {
    Epoch epoch;
    const auto foreign = [](char c) {
        return base64url_values[static_cast<unsigned char>(c)] == not_base64url;
    };
    if (text.size() != epoch.text_.size() || std::ranges::any_of(text, foreign)) return epoch;
    std::ranges::copy(text, epoch.text_.begin());
    return epoch;
}

Epoch Epoch::abridged(const std::array<std::uint8_t, 5>& leading) noexcept {
    // 40 bits are six characters and the upper four bits of a seventh.
    std::uint64_t bits = 0;
    for (const std::uint8_t byte : leading) bits = (bits << 8) | byte;
    bits <<= 2;
    Epoch epoch;
    for (std::size_t i = 0; i < 7; ++i)
        epoch.text_[i] = base64url_alphabet[(bits >> (36 - 6 * i)) & 63];
    return epoch;
}

bool Epoch::stands_for(const Epoch& full) const noexcept {
    if (none() || full.none()) return false;
    if (text_[7] != '\0') return *this == full;
    const auto upper = [](char c) {
        return base64url_values[static_cast<unsigned char>(c)] & 0x3c;
    };
    return std::equal(text_.begin(), text_.begin() + 6, full.text_.begin()) &&
           upper(text_[6]) == upper(full.text_[6]);
}

} // namespace fanfare
