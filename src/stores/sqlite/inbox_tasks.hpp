#pragma once
// What the tasks of inboxes have in common.

#include "inbox_log.hpp"

#include <fanfare/room/message.hpp>

#include <functional>
#include <string>
#include <utility>

namespace fanfare::stores {

/// Tasks on one user's inbox keep their order: all in one lane.
class SqliteInbox::UserTask : public WriteTask {
  public:
    UserTask(SqliteInbox& inbox, std::string user) : inbox_(inbox), user_(std::move(user)) {}
    [[nodiscard]] Lane lane() const noexcept final { return Lane::high; }
    [[nodiscard]] std::size_t bytes() const noexcept override { return user_.size() + 256; }

  protected:
    [[nodiscard]] InboxRows& rows() noexcept { return inbox_.rows_; }
    [[nodiscard]] LiveUsers& live() noexcept { return inbox_.live_; }
    /// The answer if the transaction failed: that, and nothing of what `apply` thought.
    template <class Answer>
    [[nodiscard]] Answer settled(Answer answer) const {
        if (code == Code::ok) return answer;
        Answer refused;
        refused.code = code;
        refused.detail = detail;
        return refused;
    }

    SqliteInbox& inbox_;
    const std::string user_;
};

/// As clients are sent it. `attempt` 0: not counted.
[[nodiscard]] room::MessageRef inbox_message(const NotificationRow& row, const Epoch& epoch,
                                             std::uint32_t attempt);

} // namespace fanfare::stores
