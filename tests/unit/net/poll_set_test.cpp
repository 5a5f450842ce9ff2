#include <fanfare/net/poll_set.hpp>

#include <catch2/catch.hpp>

#include <functional>
#include <memory>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>
#include <vector>

using fanfare::net::PollHandler;
using fanfare::net::PollSet;

namespace {

/// An eventfd with a handler.
struct Bell final : PollHandler {
    Bell() : fd(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) { REQUIRE(fd >= 0); }
    ~Bell() { ::close(fd); }
    Bell(const Bell&) = delete;
    Bell& operator=(const Bell&) = delete;
    void ring() const { REQUIRE(::eventfd_write(fd, 1) == 0); }
    void silence() const {
        eventfd_t value = 0;
        REQUIRE(::eventfd_read(fd, &value) == 0);
    }
    void on_events(std::uint32_t events) override {
        ++calls;
        last = events;
        if (act) act();
    }
    int fd;
    int calls = 0;
    std::uint32_t last = 0;
    std::function<void()> act;
};

} // namespace

TEST_CASE("poll set: reports what is ready, without waiting", "[net][poll_set]") {
    PollSet set;
    Bell bell;
    REQUIRE(set.add(bell.fd, bell, EPOLLIN));
    CHECK(set.dispatch() == 0);
    bell.ring();
    CHECK(set.dispatch() == 1);
    CHECK(bell.calls == 1);
    CHECK(bell.last == EPOLLIN);
}

TEST_CASE("poll set: what is left unread is reported again", "[net][poll_set]") {
    PollSet set;
    Bell bell;
    REQUIRE(set.add(bell.fd, bell, EPOLLIN));
    bell.ring();
    set.dispatch();
    set.dispatch();
    CHECK(bell.calls == 2);
    bell.silence();
    CHECK(set.dispatch() == 0);
}

TEST_CASE("poll set: interest and handler can change", "[net][poll_set]") {
    PollSet set;
    Bell bell;
    Bell other;
    REQUIRE(set.add(bell.fd, bell, 0));
    bell.ring();
    CHECK(set.dispatch() == 0);
    set.modify(bell.fd, other, EPOLLIN | EPOLLOUT);
    CHECK(set.dispatch() == 1);
    CHECK(bell.calls == 0);
    CHECK(other.last == (EPOLLIN | EPOLLOUT));
}

TEST_CASE("poll set: a descriptor that was removed or closed is silent", "[net][poll_set]") {
    PollSet set;
    Bell removed;
    auto closed = std::make_unique<Bell>();
    REQUIRE(set.add(removed.fd, removed, EPOLLIN));
    REQUIRE(set.add(closed->fd, *closed, EPOLLIN));
    removed.ring();
    closed->ring();
    set.remove(removed.fd);
    closed.reset();
    CHECK(set.dispatch() == 0);
}

TEST_CASE("poll set: says when the kernel refuses", "[net][poll_set]") {
    PollSet set;
    Bell bell;
    CHECK_FALSE(set.add(-1, bell, EPOLLIN));
    REQUIRE(set.add(bell.fd, bell, EPOLLIN));
    CHECK_FALSE(set.add(bell.fd, bell, EPOLLIN)); // is in the set
}

TEST_CASE("poll set: a handler may remove another one of the same batch", "[net][poll_set]") {
    PollSet set;
    Bell a;
    Bell b;
    a.act = [&] { set.remove(b.fd); };
    b.act = [&] { set.remove(a.fd); };
    REQUIRE(set.add(a.fd, a, EPOLLIN));
    REQUIRE(set.add(b.fd, b, EPOLLIN));
    a.ring();
    b.ring();
    CHECK(set.dispatch() == 2); // the batch was taken before: the second call must do nothing
    CHECK(set.dispatch() == 0);
}

TEST_CASE("poll set: a batch is bounded, and nothing beyond it is forgotten", "[net][poll_set]") {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < 700) return; // not enough descriptors for more than one batch
    PollSet set;
    std::vector<std::unique_ptr<Bell>> bells;
    for (std::size_t i = 0; i < PollSet::batch_max + 50; ++i) {
        Bell& bell = *bells.emplace_back(std::make_unique<Bell>());
        bell.act = [&bell] { bell.silence(); };
        REQUIRE(set.add(bell.fd, bell, EPOLLIN));
        bell.ring();
    }
    CHECK(set.dispatch() == PollSet::batch_max);
    CHECK(set.dispatch() == 50);
    CHECK(set.dispatch() == 0);
    for (const auto& bell : bells) REQUIRE(bell->calls == 1);
}
