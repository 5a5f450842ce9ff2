#pragma once
// delivery::DeadLetters on SQLite: questions on the reader's thread, changes on the writer's.

#include "dead_letter_reader.hpp"
#include "dead_letter_rows.hpp"
#include "inbox_log.hpp"
#include "row_counter.hpp"
#include "writer.hpp"

#include <fanfare/base/metrics.hpp>
#include <fanfare/delivery/dead_letters.hpp>
#include <fanfare/net/blocking_thread.hpp>

#include <functional>
#include <memory>

namespace fanfare::stores {

class SqliteDeadLetters final : public delivery::DeadLetters, public Chores {
  public:
    /// Before the writer starts.
    SqliteDeadLetters(Writer& writer, net::BlockingThread& reader, Database& reader_database,
                      SqliteInbox& inbox, const SqliteOptions& options, Metrics& metrics);

    void list(delivery::LetterQuery query, std::function<void(delivery::LetterPage)> done) override;
    void find(std::int64_t id, std::function<void(delivery::FoundLetter)> done) override;
    [[nodiscard]] bool edit(std::int64_t id, delivery::LetterEdit edit, std::size_t bytes_max,
                            std::function<void(Error)> done) override;
    void carry_out(delivery::LetterOrder order,
                   std::function<void(delivery::LettersDone)> done) override;

    // Chores: none, but what a transaction did to the letters is counted.
    void settled(bool committed) noexcept override;

  private:
    class Question;
    class List;
    class Find;
    class Edit;
    struct Course;
    class Select;
    class Step;

    /// What is next for an order.
    void go_on(std::unique_ptr<Course> course);
    void go_on_with_named(std::unique_ptr<Course> course);

    Writer& writer_;
    net::BlockingThread& reader_;
    SqliteInbox& inbox_;
    DeadLetterReader read_; // the reader's thread
    DeadLetterRows rows_;   // the writer's thread
    Gauge& letters_;        // written by the writer's thread
    RowCounter counted_;    // what was there before
};

} // namespace fanfare::stores
