// fanfare-load: drives a gateway with thousands of clients from one thread and checks that nothing
// is lost, doubled or out of order. See README.md beside this file.
#include "options.hpp"
#include "report.hpp"
#include "run.hpp"

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <exception>
#include <stdexcept>

namespace {

volatile bool interrupted = false;
volatile bool enough = false;

void on_signal(int /*signal*/) {
    interrupted = true;
}

void on_enough(int /*signal*/) {
    enough = true;
}

int run(const load::Options& options) {
    load::Run the_run{options};
    const load::Outcome outcome = the_run.execute(interrupted, enough);
    const auto checks = load::check(options, the_run.tally(), the_run.rooms(), outcome);
    if (!options.samples_file.empty()) load::write_samples(options.samples_file, the_run.tally());
    const std::string json = load::to_json(options, the_run.tally(), outcome, checks);
    std::fwrite(json.data(), 1, json.size(), stdout);
    const bool ok =
        std::all_of(checks.begin(), checks.end(), [](const auto& check) { return check.holds; });
    return ok ? 0 : 1;
}

} // namespace

int main(int argc, char** argv) {
    const load::Parsed parsed = load::parse_options(argc, argv);
    if (!parsed.options) return parsed.exit_status;
    // The result is reported also when the run is cut short.
    std::signal(SIGINT, on_signal);
    std::signal(SIGTERM, on_signal);
    // Publishing or holding is over; everything after it happens as usual.
    std::signal(SIGUSR1, on_enough);
    try {
        return run(*parsed.options);
    } catch (const std::invalid_argument& error) {
        std::fprintf(stderr, "fanfare-load: %s\n", error.what());
        return 2;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "fanfare-load: %s\n", error.what());
        return 1;
    }
}
