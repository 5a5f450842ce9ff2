#include <fanfare/net/mailbox.hpp>

#include <catch2/catch.hpp>

#include <array>
#include <chrono>
#include <memory>
#include <poll.h>
#include <random>
#include <stdexcept>
#include <thread>
#include <vector>

using namespace fanfare;
using net::Mailbox;
using net::MailChunk;
using net::MailEntry;

namespace {

struct Note {
    std::vector<int>* to;
    int value;
    void operator()() const { to->push_back(value); }
};

/// One chunk of notes `first` … `first + count - 1`.
std::unique_ptr<MailChunk> notes(std::vector<int>& to, int first, std::uint32_t count) {
    auto chunk = std::make_unique<MailChunk>();
    for (std::uint32_t i = 0; i < count; ++i)
        chunk->entries[chunk->count++].emplace(Note{&to, first + static_cast<int>(i)});
    return chunk;
}

template <class Command>
std::unique_ptr<MailChunk> only(Command command) {
    auto chunk = std::make_unique<MailChunk>();
    chunk->entries[chunk->count++].emplace(std::move(command));
    return chunk;
}

bool readable(int fd, std::chrono::milliseconds wait = {}) {
    pollfd one{fd, POLLIN, 0};
    return ::poll(&one, 1, static_cast<int>(wait.count())) == 1;
}

std::vector<int> numbers(int first, int count) {
    std::vector<int> all;
    for (int i = 0; i < count; ++i) all.push_back(first + i);
    return all;
}

/// A command that counts how many of it exist.
struct Counted {
    std::shared_ptr<int> alive;
    int* runs;
    void operator()() const { ++*runs; }
};

} // namespace

TEST_CASE("mailbox: an entry runs its command once and destroys it", "[net][mailbox]") {
    const auto alive = std::make_shared<int>(0);
    int runs = 0;
    MailEntry entry;
    entry.emplace(Counted{alive, &runs});
    CHECK(alive.use_count() == 2);
    entry.run();
    CHECK(runs == 1);
    CHECK(alive.use_count() == 1);
}

TEST_CASE("mailbox: a dropped entry destroys its command without running it", "[net][mailbox]") {
    const auto alive = std::make_shared<int>(0);
    int runs = 0;
    MailEntry entry;
    entry.emplace(Counted{alive, &runs});
    entry.drop();
    CHECK(runs == 0);
    CHECK(alive.use_count() == 1);
}

TEST_CASE("mailbox: a command that throws is destroyed all the same", "[net][mailbox]") {
    const auto alive = std::make_shared<int>(0);
    MailEntry entry;
    entry.emplace([alive] { throw std::runtime_error{"as expected"}; });
    CHECK_THROWS_AS(entry.run(), std::runtime_error);
    CHECK(alive.use_count() == 1);
}

TEST_CASE("mailbox: an entry is 64 bytes and holds a command of 56", "[net][mailbox]") {
    STATIC_REQUIRE(sizeof(MailEntry) == 64);
    struct Full {
        std::array<std::uint64_t, 6> payload;
        std::uint64_t* sum;
        void operator()() const {
            for (const std::uint64_t n : payload) *sum += n;
        }
    };
    STATIC_REQUIRE(sizeof(Full) == MailEntry::command_bytes_max);
    std::uint64_t sum = 0;
    MailEntry entry;
    entry.emplace(Full{{1, 2, 3, 4, 5, 1ULL << 60}, &sum});
    entry.run();
    CHECK(sum == 15 + (1ULL << 60));
}

TEST_CASE("mailbox: chunks run in the order they were pushed", "[net][mailbox]") {
    Mailbox mailbox;
    std::vector<int> ran;
    mailbox.push(notes(ran, 0, MailChunk::capacity));
    mailbox.push(notes(ran, 31, 1));
    mailbox.push(notes(ran, 32, 7));
    CHECK(mailbox.drain() == 39);
    CHECK(ran == numbers(0, 39));
    CHECK(mailbox.drain() == 0);
}

TEST_CASE("mailbox: what a command pushes waits for the next drain", "[net][mailbox]") {
    Mailbox mailbox;
    std::vector<int> ran;
    mailbox.push(only([&] {
        ran.push_back(1);
        mailbox.push(only([&] { ran.push_back(3); }));
    }));
    mailbox.push(only([&] { ran.push_back(2); }));
    CHECK(mailbox.drain() == 2);
    CHECK(ran == numbers(1, 2));
    CHECK(mailbox.drain() == 1);
    CHECK(ran == numbers(1, 3));
}

TEST_CASE("mailbox: the backlog counts entries that have not run", "[net][mailbox]") {
    Mailbox mailbox;
    std::vector<int> ran;
    mailbox.push(notes(ran, 0, 5));
    mailbox.push(notes(ran, 5, 3));
    CHECK(mailbox.backlog() == 8);
    mailbox.drain();
    CHECK(mailbox.backlog() == 0);
}

TEST_CASE("mailbox: a reader that is awake is not woken", "[net][mailbox]") {
    Mailbox mailbox;
    std::vector<int> ran;
    mailbox.push(notes(ran, 0, 1));
    CHECK_FALSE(readable(mailbox.wake_fd()));
    CHECK(mailbox.wakes() == 0);
}

TEST_CASE("mailbox: a sleeper is woken once, however much comes", "[net][mailbox]") {
    Mailbox mailbox;
    std::vector<int> ran;
    REQUIRE(mailbox.prepare_sleep());
    CHECK_FALSE(readable(mailbox.wake_fd()));
    for (int i = 0; i < 3; ++i) mailbox.push(notes(ran, i, 1));
    CHECK(readable(mailbox.wake_fd()));
    CHECK(mailbox.wakes() == 1);
    mailbox.awake();
    mailbox.clear_wake();
    CHECK_FALSE(readable(mailbox.wake_fd()));
    CHECK(mailbox.drain() == 3);
    // It can sleep again, and is woken again.
    REQUIRE(mailbox.prepare_sleep());
    mailbox.push(notes(ran, 3, 1));
    CHECK(mailbox.wakes() == 2);
}

TEST_CASE("mailbox: with mail there is no sleep, and so no wake", "[net][mailbox]") {
    Mailbox mailbox;
    std::vector<int> ran;
    mailbox.push(notes(ran, 0, 1));
    CHECK_FALSE(mailbox.prepare_sleep());
    mailbox.push(notes(ran, 1, 1));
    CHECK(mailbox.wakes() == 0);
    mailbox.drain();
    REQUIRE(mailbox.prepare_sleep());
    mailbox.awake(); // something else woke the reader
    mailbox.push(notes(ran, 2, 1));
    CHECK(mailbox.wakes() == 0);
}

TEST_CASE("mailbox: commands that never ran are destroyed with it", "[net][mailbox]") {
    const auto alive = std::make_shared<int>(0);
    int runs = 0;
    {
        Mailbox mailbox;
        for (int chunk = 0; chunk < 3; ++chunk) {
            auto full = std::make_unique<MailChunk>();
            while (full->count < MailChunk::capacity)
                full->entries[full->count++].emplace(Counted{alive, &runs});
            mailbox.push(std::move(full));
        }
        CHECK(alive.use_count() == 1 + 3 * static_cast<int>(MailChunk::capacity));
    }
    CHECK(alive.use_count() == 1);
    CHECK(runs == 0);
}

TEST_CASE("mailbox: the reader fills again what it has emptied", "[net][mailbox]") {
    Mailbox mailbox;
    std::vector<int> ran;
    auto chunk = mailbox.empty_chunk();
    MailChunk* const first = chunk.get();
    CHECK(mailbox.spare_chunks() == 0);
    for (int i = 0; i < 3; ++i) chunk->entries[chunk->count++].emplace(Note{&ran, i});
    mailbox.push(std::move(chunk));
    mailbox.drain();
    CHECK(mailbox.spare_chunks() == 1);
    chunk = mailbox.empty_chunk();
    CHECK(chunk.get() == first);
    CHECK(chunk->count == 0);
    CHECK(chunk->next == nullptr);
    CHECK(mailbox.spare_chunks() == 0);
}

TEST_CASE("mailbox: emptied chunks are kept up to a bound", "[net][mailbox]") {
    Mailbox mailbox;
    std::vector<int> ran;
    const int chunks = static_cast<int>(Mailbox::spare_chunks_max) + 10;
    for (int i = 0; i < chunks; ++i) mailbox.push(notes(ran, i, 1));
    mailbox.drain();
    CHECK(ran == numbers(0, chunks));
    CHECK(mailbox.spare_chunks() == Mailbox::spare_chunks_max);
    for (std::size_t i = 0; i < Mailbox::spare_chunks_max; ++i) {
        const auto chunk = mailbox.empty_chunk();
        CHECK(chunk->count == 0);
    }
    CHECK(mailbox.spare_chunks() == 0);
    CHECK(mailbox.empty_chunk() != nullptr);
}

TEST_CASE("mailbox: many posters, one reader that sleeps: nothing is lost or reordered",
          "[net][mailbox][threads]") {
    constexpr std::size_t posters = 4;
    constexpr std::uint32_t each = 20'000;
    Mailbox mailbox;
    struct Seen {
        std::array<std::uint32_t, posters> next{};
        std::size_t total = 0;
        bool in_order = true;
    } seen;
    struct Post {
        Seen* seen;
        std::size_t poster;
        std::uint32_t number;
        void operator()() const {
            seen->in_order = seen->in_order && number == seen->next[poster];
            ++seen->next[poster];
            ++seen->total;
        }
    };
    std::vector<std::thread> threads;
    for (std::size_t poster = 0; poster < posters; ++poster)
        threads.emplace_back([&, poster] {
            std::mt19937 random{static_cast<std::mt19937::result_type>(poster)};
            for (std::uint32_t number = 0; number < each;) {
                auto chunk = std::make_unique<MailChunk>();
                const auto size = static_cast<std::uint32_t>(1 + random() % MailChunk::capacity);
                while (chunk->count < size && number < each)
                    chunk->entries[chunk->count++].emplace(Post{&seen, poster, number++});
                mailbox.push(std::move(chunk));
                if (random() % 64 == 0) std::this_thread::yield();
            }
        });
    bool woken = true;
    while (seen.total < posters * each && woken) {
        if (mailbox.drain() != 0 || !mailbox.prepare_sleep()) continue;
        // A wake that was forgotten shows as a timeout.
        woken = readable(mailbox.wake_fd(), std::chrono::seconds{20});
        mailbox.awake();
        mailbox.clear_wake();
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(woken);
    CHECK(seen.in_order);
    CHECK(seen.total == posters * each);
    CHECK(mailbox.backlog() == 0);
}
