// The verdict on a run, and its JSON.
#pragma once

#include "options.hpp"
#include "room.hpp"
#include "run.hpp"
#include "tally.hpp"

#include <string>
#include <vector>

namespace load {

/// One condition of success.
struct Check {
    const char* name;
    bool holds;
};

/// The conditions that apply to the mode.
[[nodiscard]] std::vector<Check> check(const Options& options, const Tally& tally,
                                       const Rooms& rooms, const Outcome& outcome);

/// Writes one line per sample: the send's time and the latency, in nanoseconds. Throws
/// std::system_error.
void write_samples(const std::string& path, const Tally& tally);

/// The whole result as a JSON document. Secrets are left out. The fields: README.md.
[[nodiscard]] std::string to_json(const Options& options, const Tally& tally,
                                  const Outcome& outcome, const std::vector<Check>& checks);

} // namespace load
