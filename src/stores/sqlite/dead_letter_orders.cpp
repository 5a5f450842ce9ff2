// Redriving and discarding: which letters fit is read beside the writer, and what is done to them
// is done in transactions of a bounded number of letters, in which each is looked at again. A crash
// in the middle leaves some of them done and the others as they were; nothing is both a letter and
// a job, or neither.

#include "dead_letter_tasks.hpp"
#include "dead_letters.hpp"

#include <fanfare/base/json_writer.hpp>

#include <algorithm>
#include <utility>
#include <vector>

namespace fanfare::stores {

using delivery::Event;
using delivery::LetterOrder;
using delivery::LettersDone;
using delivery::LetterSkip;
using delivery::Status;
using Act = delivery::LetterOrder::Act;

namespace {

/// Letters of one transaction: what else waits for the writer waits for so many.
constexpr std::size_t step_max = 100;

std::string detail_of(const DeadLetterRow& letter, bool with_fate) {
    std::string text;
    JsonWriter json{text};
    json.begin_object().field("device", letter.device).field("provider", letter.provider);
    if (with_fate && letter.status != 0)
        json.field("status", static_cast<std::uint64_t>(letter.status));
    if (with_fate && !letter.reason.empty()) json.field("reason", letter.reason);
    json.key("letter").integer(letter.id);
    if (!letter.content.empty()) json.field_bool("edited", true);
    json.end_object();
    return text;
}

} // namespace

/// How far an order is.
struct SqliteDeadLetters::Course {
    LetterOrder order;
    std::function<void(LettersDone)> tell;
    LettersDone so_far;
    std::size_t next = 0; // of `order.ids`
    // without ids:
    DeadLetterReader::Range range;
    bool begun = false; // `range.upto` is known
    bool end = false;   // nothing is behind `range.after`

    [[nodiscard]] std::size_t left() const noexcept {
        return order.limit - static_cast<std::size_t>(so_far.done);
    }
    void fail(Code code, const char* detail) {
        so_far.code = code;
        so_far.detail = detail;
    }
};

/// The next letters that fit; once the limit is reached, how many there are.
class SqliteDeadLetters::Select final : public Question {
  public:
    Select(SqliteDeadLetters& letters, std::unique_ptr<Course> course)
        : Question(letters), course_(std::move(course)) {}
    void done() override;

  private:
    void look() override {
        Course& course = *course_;
        if (!std::exchange(course.begun, true)) course.range.upto = read().newest();
        const std::size_t wanted = std::min(course.left(), step_max);
        std::uint64_t remaining = 0;
        const auto take = [&](const Statement& row) {
            if (course.left() == 0) {
                ++remaining;
                return true;
            }
            if (ids_.size() == wanted) return false;
            ids_.push_back(row.integer(0));
            return true;
        };
        course.end = read().walk(course.range, take).end;
        course.so_far.remaining += remaining;
    }

    std::unique_ptr<Course> course_;
    std::vector<std::int64_t> ids_;
};

/// One transaction.
class SqliteDeadLetters::Step final : public WriteTask {
  public:
    Step(SqliteDeadLetters& letters, std::unique_ptr<Course> course, std::vector<std::int64_t> ids)
        : letters_(letters), course_(std::move(course)), ids_(std::move(ids)) {}

    [[nodiscard]] Lane lane() const noexcept override { return Lane::low; }
    [[nodiscard]] std::size_t bytes() const noexcept override { return ids_.size() * 512; }
    [[nodiscard]] std::size_t operations() const noexcept override { return ids_.size(); }
    [[nodiscard]] std::size_t cost() const noexcept override { return ids_.size() * 8; }
    void apply() override {
        done_ = {};
        const Moment moment = letters_.inbox_.moment();
        for (const std::int64_t id : ids_) carry_out(id, moment);
    }
    void done() override {
        LettersDone& so_far = course_->so_far;
        if (code == Code::ok) {
            so_far.done += done_.done;
            for (std::size_t i = 0; i < done_.skipped.size(); ++i)
                so_far.skipped[i] += done_.skipped[i];
        } else {
            course_->fail(code, detail);
        }
        letters_.go_on(std::move(course_));
    }

  private:
    void skip(LetterSkip why) { ++done_.skipped[static_cast<std::size_t>(why)]; }

    void carry_out(std::int64_t id, const Moment& moment) {
        const std::optional<DeadLetterRow> letter = letters_.rows_.find(id);
        if (!letter) {
            // One that was found by a filter has gone since, and whoever did that knows of it.
            if (!course_->order.ids.empty()) skip(LetterSkip::not_found);
            return;
        }
        InboxRows& rows = letters_.inbox_.rows();
        std::optional<NotificationRow> row = rows.at(letter->inbox, letter->offset);
        if (course_->order.act == Act::discard) {
            letters_.rows_.remove(*letter);
            if (row)
                rows.note_push(*row, moment, Event::discarded, letter->attempts,
                               detail_of(*letter, true));
            ++done_.done;
        } else if (!row) {
            // Nothing of it is left that could be sent, now or later.
            letters_.rows_.remove(*letter);
            skip(LetterSkip::notification_gone);
        } else if (const std::optional<LetterSkip> why = redrive(*letter, *row, moment)) {
            skip(*why);
        } else {
            ++done_.done;
        }
    }

    std::optional<LetterSkip> redrive(const DeadLetterRow& letter, NotificationRow& row,
                                      const Moment& moment) {
        if (row.status == Status::delivered) return LetterSkip::acknowledged;
        if (row.status == Status::cancelled || row.status == Status::suppressed)
            return LetterSkip::over;
        const bool expired = row.status == Status::expired || row.expires <= moment.now;
        if (expired && letter.ttl == 0) return LetterSkip::expired;
        InboxRows& rows = letters_.inbox_.rows();
        const auto device =
            letters_.rows_.device(rows.user_of(row.inbox), letter.device, moment.now);
        if (!device) return LetterSkip::device_gone;
        if (!moment.options.pushes_to.serves(device->platform, device->app))
            return LetterSkip::no_provider;
        if (letter.ttl != 0) rows.prolong(row, moment.now + letter.ttl * 1'000);
        letters_.rows_.remove(letter);
        letters_.inbox_.push().add_one(row.inbox, row.offset,
                                       static_cast<std::size_t>(row.priority), device->id,
                                       letter.content, moment.now);
        rows.redriven(row, moment, detail_of(letter, false));
        letters_.inbox_.sweep_by(row.expires);
        return std::nullopt;
    }

    SqliteDeadLetters& letters_;
    std::unique_ptr<Course> course_;
    const std::vector<std::int64_t> ids_;
    LettersDone done_; // by this transaction
};

void SqliteDeadLetters::Select::done() {
    if (code_ != Code::ok) course_->fail(code_, detail_);
    if (code_ != Code::ok || ids_.empty()) return letters_.go_on(std::move(course_));
    letters_.writer_.post_always(
        std::make_unique<Step>(letters_, std::move(course_), std::move(ids_)));
}

void SqliteDeadLetters::go_on_with_named(std::unique_ptr<Course> course) {
    const std::vector<std::int64_t>& all = course->order.ids;
    const std::size_t rest = all.size() - course->next;
    const std::size_t count = std::min({rest, course->left(), step_max});
    if (count == 0) {
        course->so_far.remaining = rest;
        return course->tell(std::move(course->so_far));
    }
    const auto from = all.begin() + static_cast<std::ptrdiff_t>(course->next);
    std::vector<std::int64_t> ids(from, from + static_cast<std::ptrdiff_t>(count));
    course->next += count;
    writer_.post_always(std::make_unique<Step>(*this, std::move(course), std::move(ids)));
}

void SqliteDeadLetters::go_on(std::unique_ptr<Course> course) {
    if (course->so_far.code != Code::ok || course->end)
        return course->tell(std::move(course->so_far));
    if (!course->order.ids.empty()) return go_on_with_named(std::move(course));
    reader_.post(std::make_unique<Select>(*this, std::move(course)));
}

void SqliteDeadLetters::carry_out(LetterOrder order, std::function<void(LettersDone)> done) {
    auto course = std::make_unique<Course>();
    course->range.filter = order.filter;
    course->order = std::move(order);
    course->tell = std::move(done);
    go_on(std::move(course));
}

} // namespace fanfare::stores
