#pragma once
// What the questions about dead letters have in common.

#include "dead_letters.hpp"

#include <fanfare/base/log.hpp>

namespace fanfare::stores {

/// All that it asks is of one moment.
class SqliteDeadLetters::Question : public net::BlockingTask {
  public:
    explicit Question(SqliteDeadLetters& letters) : letters_(letters) {}
    void run() final {
        try {
            read().begin();
            look();
        } catch (const SqliteError& error) {
            log::error("store_read_failed", {{"error", error.what()}, {"code", error.code()}});
            code_ = Code::unavailable;
            detail_ = fault_text(error.code());
        }
        read().end();
    }

  protected:
    virtual void look() = 0;
    [[nodiscard]] DeadLetterReader& read() noexcept { return letters_.read_; }

    SqliteDeadLetters& letters_;
    Code code_ = Code::ok;
    const char* detail_ = nullptr;
};

} // namespace fanfare::stores
