#include "dead_letters.hpp"

#include "dead_letter_tasks.hpp"

#include <utility>
#include <variant>

namespace fanfare::stores {

using delivery::DeadLetter;
using delivery::FoundLetter;
using delivery::LetterEdit;
using delivery::LetterPage;
using delivery::LetterQuery;

namespace {

Gauge& cell(Metrics& metrics) {
    return metrics.gauge("dead_letters", "Pushes that were given up, and are kept.");
}

constexpr const char* no_such_letter = "there is no dead letter of this id";

} // namespace

SqliteDeadLetters::SqliteDeadLetters(Writer& writer, net::BlockingThread& reader,
                                     Database& reader_database, SqliteInbox& inbox,
                                     const SqliteOptions& options, Metrics& metrics)
    : writer_(writer), reader_(reader), inbox_(inbox), read_(reader_database),
      rows_(writer.database(), inbox.push()), letters_(cell(metrics)),
      // All of them count alike.
      counted_(options.path, options.vfs, "dead_letters", "0", {&cell(metrics)}) {}

void SqliteDeadLetters::settled(bool committed) noexcept {
    const std::int64_t letters = std::exchange(inbox_.push().letters, 0);
    if (committed) letters_.add(letters);
}

// --- reading ---

/// As many tasks as it takes: each looks at a bounded number of rows.
class SqliteDeadLetters::List final : public Question {
  public:
    List(SqliteDeadLetters& letters, DeadLetterReader::Range range, std::size_t limit,
         LetterPage page, std::function<void(LetterPage)> tell)
        : Question(letters), range_(std::move(range)), limit_(limit), page_(std::move(page)),
          tell_(std::move(tell)) {}

    void done() override {
        if (code_ != Code::ok) {
            page_ = {};
            page_.code = code_;
            page_.detail = detail_;
        } else if (!seen_.end && !page_.more) {
            letters_.reader_.post(std::make_unique<List>(letters_, std::move(range_), limit_,
                                                         std::move(page_), std::move(tell_)));
            return;
        }
        tell_(std::move(page_));
    }

  private:
    void look() override {
        seen_ = read().walk(range_, [this](const Statement& row) {
            page_.more = page_.letters.size() == limit_;
            if (page_.more) return false;
            if (std::optional<DeadLetter> letter = read().letter(row)) {
                letter->content.clear();
                page_.letters.push_back(*std::move(letter));
            }
            return true;
        });
    }

    DeadLetterReader::Range range_;
    const std::size_t limit_;
    LetterPage page_;
    std::function<void(LetterPage)> tell_;
    DeadLetterReader::Seen seen_;
};

class SqliteDeadLetters::Find final : public Question {
  public:
    Find(SqliteDeadLetters& letters, std::int64_t id, std::function<void(FoundLetter)> tell)
        : Question(letters), id_(id), tell_(std::move(tell)) {}

    void done() override {
        FoundLetter found;
        found.code = code_;
        found.detail = detail_;
        if (letter_) {
            found.letter = *std::move(letter_);
        } else if (code_ == Code::ok) {
            found.code = Code::not_found;
            found.detail = no_such_letter;
        }
        tell_(std::move(found));
    }

  private:
    void look() override { letter_ = read().find(id_); }

    const std::int64_t id_;
    std::function<void(FoundLetter)> tell_;
    std::optional<DeadLetter> letter_;
};

void SqliteDeadLetters::list(LetterQuery query, std::function<void(LetterPage)> done) {
    constexpr std::int64_t last = std::numeric_limits<std::int64_t>::max();
    DeadLetterReader::Range range;
    range.filter = std::move(query.filter);
    range.upwards = query.oldest_first;
    range.after = query.after.value_or(query.oldest_first ? 0 : last);
    range.upto = last;
    reader_.post(std::make_unique<List>(*this, std::move(range), query.limit, LetterPage{},
                                        std::move(done)));
}

void SqliteDeadLetters::find(std::int64_t id, std::function<void(FoundLetter)> done) {
    reader_.post(std::make_unique<Find>(*this, id, std::move(done)));
}

// --- editing ---

class SqliteDeadLetters::Edit final : public WriteTask {
  public:
    Edit(SqliteDeadLetters& letters, std::int64_t id, LetterEdit edit, std::size_t bytes_max,
         std::function<void(Error)> tell)
        : letters_(letters), id_(id), edit_(std::move(edit)), bytes_max_(bytes_max),
          tell_(std::move(tell)) {}

    [[nodiscard]] std::size_t bytes() const noexcept override {
        std::size_t bytes = 512;
        for (const auto* member : {&edit_.title, &edit_.body, &edit_.data})
            bytes += *member ? (*member)->size() : 0;
        return bytes;
    }
    void apply() override { error_ = change(); }
    void done() override {
        if (code != Code::ok) error_ = {code, detail, {}};
        tell_(std::move(error_));
    }

  private:
    Error change() {
        const std::optional<DeadLetterRow> letter = letters_.rows_.find(id_);
        const std::optional<std::string> content =
            letter ? letters_.rows_.content_of(*letter) : std::nullopt;
        if (!content) return {Code::not_found, no_such_letter, {}};
        const std::int64_t ttl = edit_.ttl ? edit_.ttl->count() : letter->ttl;
        if (!edit_.title && !edit_.body && !edit_.data) {
            letters_.rows_.set(*letter, letter->content, ttl);
            return {};
        }
        auto edited = delivery::edited_content(*content, edit_, bytes_max_);
        if (auto* const error = std::get_if<Error>(&edited)) return std::move(*error);
        letters_.rows_.set(*letter, std::get<std::string>(edited), ttl);
        return {};
    }

    SqliteDeadLetters& letters_;
    const std::int64_t id_;
    const LetterEdit edit_;
    const std::size_t bytes_max_;
    std::function<void(Error)> tell_;
    Error error_;
};

bool SqliteDeadLetters::edit(std::int64_t id, LetterEdit edit, std::size_t bytes_max,
                             std::function<void(Error)> done) {
    return writer_.post(
        std::make_unique<Edit>(*this, id, std::move(edit), bytes_max, std::move(done)));
}

} // namespace fanfare::stores
