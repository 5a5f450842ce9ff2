#pragma once
// One change, as the writer takes it.

#include <fanfare/base/error.hpp>
#include <fanfare/net/blocking_thread.hpp>

#include <cstddef>
#include <cstdint>

namespace fanfare::stores {

/// Who comes first (write_lanes.hpp). What must keep an order goes in one lane.
enum class Lane : std::uint8_t { critical, high, normal, low };
inline constexpr std::size_t lane_count = 4;

/// `done` finds in `code` and `detail` what became of the batch it was in.
class WriteTask : public net::BlockingTask {
  public:
    /// In the transaction, on the writer's thread. Throws SqliteError.
    virtual void apply() = 0;
    /// The transaction was rolled back: what `apply` changed in memory is undone, in reverse order.
    virtual void undo() noexcept {}
    /// Nothing of its batch has happened, and what was to be undone is undone. Before `done`, on
    /// the writer's thread; also if `apply` was not reached.
    virtual void refused() noexcept {}
    [[nodiscard]] virtual std::size_t bytes() const noexcept { return 0; }
    [[nodiscard]] virtual Lane lane() const noexcept { return Lane::normal; }
    /// How many operations it counts for, at least one.
    [[nodiscard]] virtual std::size_t operations() const noexcept { return 1; }
    /// The writer's time that it takes, in that of one plain insert: what a batch is measured by.
    [[nodiscard]] virtual std::size_t cost() const noexcept { return operations(); }

    Code code = Code::ok;
    const char* detail = nullptr;

  private:
    void run() final {}
};

} // namespace fanfare::stores
