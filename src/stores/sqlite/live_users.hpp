#pragma once
// Which users have a session that has caught up with their inbox, as the writer knows it: that
// decides whether an attempt is counted. It changes with tasks, in their order, and goes back with
// their transaction. Design: docs/decisions/0013-inbox.md, "Who is live".

#include <fanfare/base/ids.hpp>

#include <boost/unordered/unordered_flat_map.hpp>

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace fanfare::stores {

/// The writer's thread only.
class LiveUsers {
  public:
    struct User {
        std::vector<std::string> sessions; // public ids, at least one
        /// Of the inbox's row when it comes: clients know it already.
        Epoch fresh;
    };

    /// Null: the user is not live. Valid until the next change.
    [[nodiscard]] const User* find(const std::string& user) const;
    /// `epoch`: the inbox's. A session that is live already stays.
    void join(const std::string& user, const std::string& session, const Epoch& epoch);
    /// True: it was the user's last.
    bool leave(const std::string& user, const std::string& session);
    /// The inbox's next life, if the user is live.
    void renew(const std::string& user, const Epoch& epoch);
    /// What changed since the last time stays, or is undone.
    void settled(bool committed);
    /// As timelines say it. Some, if there are very many.
    [[nodiscard]] static std::string names(const User& user);

  private:
    void remember(const std::string& user);

    boost::unordered_flat_map<std::string, User> users_;
    std::vector<std::pair<std::string, std::optional<User>>> before_; // of the changes, in order
};

} // namespace fanfare::stores
