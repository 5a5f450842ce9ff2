// One service at one worker: its judge, its settings, its counters, its spare exchanges. Here
// scripts, limits, errors by chance and latency are laid over what the service would answer.
#pragma once

#include "counters.hpp"
#include "service.hpp"
#include "world.hpp"

#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

namespace sim {

class Desk {
  public:
    Desk(ServiceId id, World& world, std::unique_ptr<Service> service, std::uint64_t seed);

    /// Fills the answer of a complete request.
    void decide(Exchange& exchange, Peer& peer);

    /// The answer is on its way; or (`fate`) there will be none.
    void answered(const Peer& peer, const Exchange& exchange);
    void unanswered(const Peer& peer, const Exchange& exchange, std::string_view fate);

    /// Whether Settings::drop_at strikes at this point, with drops left.
    [[nodiscard]] bool drops(DropAt point);

    [[nodiscard]] std::unique_ptr<Exchange> take_exchange();
    void give_back(std::unique_ptr<Exchange> exchange);

    /// Settings and counters as at the start.
    void reset();

    [[nodiscard]] ServiceId id() const { return id_; }
    [[nodiscard]] Service& service() { return *service_; }

    Settings settings;
    Counters counters;

  private:
    void count_credential(std::string_view value);
    void play(const Step& step, Exchange& exchange, Peer& peer);

    const ServiceId id_;
    World& world_;
    std::unique_ptr<Service> service_;
    Dice dice_;
    std::vector<std::unique_ptr<Exchange>> spare_;
    std::string last_credential_;
    std::unordered_set<std::size_t> credentials_; // hashes: secrets are not kept for counting
};

} // namespace sim
