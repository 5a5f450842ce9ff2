#pragma once
// A reactor's inboxes: what sessions and backends ask of notifications.
//
// It has two sides, as rooms have. The local side is called by this reactor's sessions and by the
// API. The home side owns the users whose name hashes to this reactor, as long as they have `@me`
// open: which sessions are live, and when something is due. What is kept is the store's
// (InboxLog). Design: docs/decisions/0013-inbox.md.

#include <fanfare/base/metrics.hpp>
#include <fanfare/delivery/inbox_log.hpp>
#include <fanfare/session/inboxes.hpp>
#include <fanfare/session/sessions.hpp>

#include <boost/unordered/unordered_flat_map.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace fanfare::delivery {

class Inboxes final : public session::Inboxes {
  public:
    /// One per reactor. `log` outlives it.
    Inboxes(session::Sessions& sessions, InboxLog& log, const InboxOptions& options);
    ~Inboxes() override;
    Inboxes(const Inboxes&) = delete;
    Inboxes& operator=(const Inboxes&) = delete;
    /// Once, before the reactors run: all reactors' inboxes, by index (this one included).
    void connect(std::vector<Inboxes*> all);
    /// Who is told, beside `@notifications:{id}`, which statuses moved. Once, before the reactors
    /// run.
    void on_changes(std::function<void(const std::vector<StatusChange>&)> tell) {
        tell_ = std::move(tell);
    }
    /// From now on. On this reactor.
    void reload(const InboxOptions& options) { options_ = options; }
    [[nodiscard]] const InboxOptions& options() const noexcept { return options_; }

    // --- for the API: called on this reactor, `done` too ---

    /// Accepts a notification for each user of the order; what is refused is told in the answer.
    void place(Order order, std::function<void(const Placed&)> done);
    /// All up to `offset` is read, in the name of the user; beyond the newest: all.
    void mark_read(const std::string& user, std::uint64_t offset,
                   std::function<void(const Acked&)> done);
    /// Deletes all that is kept of a user; live sessions are told by `reset`.
    void erase(const std::string& user, std::function<void(const Erased&)> done);
    /// Questions go to the store.
    [[nodiscard]] InboxLog& log() noexcept { return log_; }

    // --- session::Inboxes ---
    void subscribe(const session::InboxPlace& place, const std::optional<Position>& since,
                   std::uint32_t last, std::size_t bytes_max) override;
    void pull(const session::InboxPlace& place, std::size_t bytes_max) override;
    void unsubscribe(const session::InboxPlace& place) override;
    void acknowledge(const session::InboxPlace& place, std::uint64_t offset,
                     const std::string& device,
                     std::function<void(const Error&, std::uint64_t)> done) override;
    void history(const std::string& user, const room::HistoryQuery& query,
                 std::function<void(const room::HistoryResult&)> done) override;

    /// Tells whoever is subscribed to `@notifications:{id}`. On any reactor's inboxes.
    void announce(const std::vector<StatusChange>& changes);

  private:
    class Home;
    friend class Home;

    [[nodiscard]] std::size_t home_index(std::string_view user) const noexcept;
    [[nodiscard]] Inboxes& home_of(std::string_view user) noexcept;
    void say(const std::vector<StatusChange>& changes);

    session::Sessions& sessions_;
    InboxLog& log_;
    InboxOptions options_;
    std::function<void(const std::vector<StatusChange>&)> tell_;
    std::vector<Inboxes*> all_;
    std::unique_ptr<Home> home_;
    Counter& placed_;
    Counter& acknowledged_;
};

} // namespace fanfare::delivery
