#pragma once
// Which store a gateway has: the configured file, a passing one for the embedded default, or none.

#include "config.hpp"

#include <fanfare/base/metrics.hpp>
#include <fanfare/net/reactor.hpp>
#include <fanfare/room/idempotency.hpp>
#include <fanfare/room/rules.hpp>
#include <fanfare/stores/stores.hpp>

#include <memory>
#include <string>

namespace fanfare::app {

class ServerStore {
  public:
    /// Throws with one sentence if the store cannot be used.
    ServerStore(const Config& config, net::Reactors& reactors, Metrics& metrics);
    ~ServerStore();
    ServerStore(const ServerStore&) = delete;
    ServerStore& operator=(const ServerStore&) = delete;

    /// Null: nothing is durable here.
    [[nodiscard]] stores::Store* get() const noexcept { return store_.get(); }
    [[nodiscard]] room::IdempotencyLog& idempotency() const noexcept {
        return store_ ? store_->idempotency() : *memory_;
    }

  private:
    std::string passing_folder_; // removed at the end; empty: none
    std::unique_ptr<stores::Store> store_;
    std::unique_ptr<room::IdempotencyLog> memory_; // without a store
};

} // namespace fanfare::app
