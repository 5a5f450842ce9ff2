#include <fanfare/net/admission.hpp>

#include <catch2/catch.hpp>

#include <algorithm>
#include <atomic>
#include <sys/resource.h>
#include <thread>
#include <vector>

using fanfare::net::Admission;
using Verdict = Admission::Verdict;

namespace {

/// Another descriptor limit while it lives.
class DescriptorLimit {
  public:
    explicit DescriptorLimit(rlim_t limit) {
        ::getrlimit(RLIMIT_NOFILE, &before_);
        rlimit changed = before_;
        changed.rlim_cur = limit;
        REQUIRE(::setrlimit(RLIMIT_NOFILE, &changed) == 0);
    }
    ~DescriptorLimit() { ::setrlimit(RLIMIT_NOFILE, &before_); }
    DescriptorLimit(const DescriptorLimit&) = delete;
    DescriptorLimit& operator=(const DescriptorLimit&) = delete;

  private:
    rlimit before_{};
};

/// Enters until refused; returns how many were accepted and shed.
struct Entered {
    std::size_t accepted = 0;
    std::size_t shed = 0;
};
Entered fill(Admission& admission) {
    Entered entered;
    while (true) {
        switch (admission.enter()) {
        case Verdict::accept:
            ++entered.accepted;
            break;
        case Verdict::shed:
            ++entered.shed;
            break;
        case Verdict::refuse:
            return entered;
        }
    }
}

} // namespace

TEST_CASE("admission: accepts up to its limit, then sheds a slice, then refuses",
          "[net][admission]") {
    const DescriptorLimit limit{1'024};
    Admission admission{3};
    CHECK(admission.soft_limit() == 3);
    const Entered entered = fill(admission);
    CHECK(entered.accepted == 3);
    CHECK(entered.shed > 0);
    CHECK(entered.shed <= 512);
    CHECK(admission.open() == entered.accepted + entered.shed); // a refusal does not count
    CHECK(admission.enter() == Verdict::refuse);
}

TEST_CASE("admission: one that leaves makes room for one", "[net][admission]") {
    const DescriptorLimit limit{1'024};
    Admission admission{2};
    CHECK(admission.enter() == Verdict::accept);
    CHECK(admission.enter() == Verdict::accept);
    CHECK(admission.enter() == Verdict::shed);
    admission.leave();
    CHECK(admission.enter() == Verdict::shed); // two are inside still
    admission.leave();
    admission.leave();
    CHECK(admission.enter() == Verdict::accept);
    CHECK(admission.open() == 2);
}

TEST_CASE("admission: stays below the descriptor limit, whatever was asked for",
          "[net][admission]") {
    const rlim_t descriptors = GENERATE(as<rlim_t>{}, 16, 64, 256, 257, 300, 1'024);
    const std::size_t asked = GENERATE(as<std::size_t>{}, 0, 1, 100, 1'000'000);
    CAPTURE(descriptors, asked);
    const DescriptorLimit limit{descriptors};
    Admission admission{asked};
    const Entered entered = fill(admission);
    CHECK(entered.accepted == admission.soft_limit());
    CHECK(entered.accepted >= 1);
    if (asked != 0) CHECK(entered.accepted <= asked);
    CHECK(entered.shed >= 1);
    // Files, logs, epoll and event descriptors need some too.
    CHECK(entered.accepted + entered.shed <= descriptors - std::min<rlim_t>(128, descriptors / 2));
}

TEST_CASE("admission: reactors that enter and leave at once keep the count",
          "[net][admission][threads]") {
    const DescriptorLimit limit{1'024};
    Admission admission{8};
    std::atomic<bool> go{false};
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i)
        threads.emplace_back([&] {
            while (!go.load()) std::this_thread::yield();
            for (int round = 0; round < 5'000; ++round)
                if (admission.enter() != Verdict::refuse) admission.leave();
        });
    go.store(true);
    for (std::thread& thread : threads) thread.join();
    CHECK(admission.open() == 0);
    CHECK(fill(admission).accepted == 8);
}
