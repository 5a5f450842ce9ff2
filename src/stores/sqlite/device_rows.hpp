#pragma once
// The steps of which a change of devices consists: in a transaction, on the writer's thread. A
// device and its topics come and go together, and every one that does is in the figures.

#include "database.hpp"

#include <fanfare/base/clock.hpp>
#include <fanfare/delivery/devices.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

namespace fanfare::stores {

inline constexpr std::size_t platform_count = 3;

class DeviceRows {
  public:
    explicit DeviceRows(Database& database);

    /// What this transaction does to the number of devices; its owner clears it.
    std::array<std::int64_t, platform_count> tally{};

    /// Which row it is, and whose.
    struct Row {
        std::int64_t id = 0;
        bool same_user = false; // as it was asked for
    };
    [[nodiscard]] std::optional<Row> find(std::string_view user, std::string_view name);
    [[nodiscard]] std::optional<Row> owner(delivery::Platform platform, std::string_view token,
                                           std::string_view user);
    [[nodiscard]] std::size_t count(std::string_view user);
    /// `id` 0: a new one. No other row may have its name or its token.
    void put(std::int64_t id, const delivery::PushDevice& device);

    // These return how many went.
    std::uint64_t remove(std::int64_t id);
    std::uint64_t remove(std::string_view user, std::string_view name);
    std::uint64_t remove_all(std::string_view user);
    /// `dead_since` 0: whenever it was registered.
    std::uint64_t remove_dead(delivery::Platform platform, std::string_view token,
                              WallMillis dead_since);
    std::uint64_t remove_expired(std::string_view user, WallMillis now);
    std::uint64_t remove_expired(WallMillis now, std::size_t limit);
    [[nodiscard]] std::optional<WallMillis> next_expiry();

  private:
    struct Statements;
    struct Delete {
        void operator()(Statements* statements) const noexcept;
    };
    void count_out(std::int64_t platform) noexcept;
    std::uint64_t remove_found(Statement& found);

    std::unique_ptr<Statements, Delete> sql_;
    /// The newest id that a device has, or had: what is still kept for one that is no more (jobs)
    /// must never be taken for another's.
    std::int64_t last_id_ = 0;
};

} // namespace fanfare::stores
