// What was asked and what became of it, for GET /requests. Bounded by count and bytes: the oldest
// records make room.
#pragma once

#include "exchange.hpp"

#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

namespace sim {

struct Record {
    std::uint64_t number = 0; // from 1, without holes
    std::int64_t time_ms = 0;
    ServiceId service{};
    std::uint64_t connection = 0;
    std::int32_t stream = 0;
    std::string target, id;
    std::string method, path, authority;
    HeaderList headers;
    std::string body;
    std::optional<std::string> plaintext;
    int status = 0;   // 0: there was no answer
    std::string fate; // why there was none
    bool rehearsal = false;
};

class Recorder {
  public:
    Recorder(bool enabled, std::size_t count_max, std::size_t bytes_max)
        : enabled_(enabled), count_max_(count_max), bytes_max_(bytes_max) {}

    [[nodiscard]] bool enabled() const { return enabled_; }

    /// Copies the exchange. `fate` is empty for one that was answered.
    void add(ServiceId service, std::uint64_t connection, const Exchange& exchange,
             std::string_view fate);
    void clear();

    struct Query {
        std::uint64_t since = 0; // records above this number
        std::string target;      // empty: any
        std::string service;
        std::size_t limit = 1000;
    };
    /// {"requests": […], "next": N}; N is the `since` that goes on where this answer ends.
    [[nodiscard]] std::string to_json(const Query& query);

    /// Delivered records whose id was delivered before, since the last clear().
    [[nodiscard]] std::uint64_t duplicates();
    [[nodiscard]] std::uint64_t forgotten();

  private:
    void forget_oldest();

    const bool enabled_;
    const std::size_t count_max_;
    const std::size_t bytes_max_;
    std::mutex mutex_;
    std::deque<Record> records_;
    std::unordered_map<std::string, std::uint32_t> ids_; // of the delivered records kept
    std::size_t bytes_ = 0;
    std::uint64_t last_ = 0;
    std::uint64_t duplicates_ = 0;
    std::uint64_t forgotten_ = 0;
};

} // namespace sim
