#pragma once
// delivery::DeadLetters that write down what they are asked and answer what the test wants, on the
// reactor that called.

#include <fanfare/delivery/dead_letters.hpp>
#include <fanfare/net/reactor.hpp>

#include <functional>
#include <optional>
#include <utility>

namespace fanfare::test {

class MemoryDeadLetters final : public delivery::DeadLetters {
  public:
    void list(delivery::LetterQuery query,
              std::function<void(delivery::LetterPage)> done) override {
        asked = std::move(query);
        answer(page, std::move(done));
    }
    void find(std::int64_t id, std::function<void(delivery::FoundLetter)> done) override {
        named = id;
        answer(found, std::move(done));
    }
    bool edit(std::int64_t id, delivery::LetterEdit change, std::size_t bytes,
              std::function<void(Error)> done) override {
        if (full) return false;
        named = id;
        edited = std::move(change);
        bytes_max = bytes;
        answer(error, std::move(done));
        return true;
    }
    void carry_out(delivery::LetterOrder wanted,
                   std::function<void(delivery::LettersDone)> done) override {
        order = std::move(wanted);
        answer(outcome, std::move(done));
    }

    // What was asked last.
    std::optional<delivery::LetterQuery> asked;
    std::optional<delivery::LetterEdit> edited;
    std::optional<delivery::LetterOrder> order;
    std::int64_t named = 0;
    std::size_t bytes_max = 0;
    // What is answered.
    delivery::LetterPage page;
    delivery::FoundLetter found;
    delivery::LettersDone outcome;
    Error error;
    bool full = false; // too much waits: edits are refused

  private:
    template <class Answer>
    static void answer(const Answer& value, std::function<void(Answer)> tell) {
        net::Reactor::current()->post(
            std::function<void()>{[value, tell = std::move(tell)] { tell(value); }});
    }
};

} // namespace fanfare::test
