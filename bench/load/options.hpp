// What the command line asks for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

namespace load {

enum class Mode {
    idle,      // connect, hold, leave
    broadcast, // connect, publish, check
    publish,   // publishers only
    resume,    // broadcast, while a part of the clients drops out and resumes
    slow,      // broadcast, while a part of the clients does not read
    churn,     // broadcast, while clients leave and new ones come
    storm,     // all clients leave, miss the messages, and return at once
};

[[nodiscard]] const char* to_string(Mode mode);

/// Whose protocol is spoken. nchan knows no offsets: the publisher writes them into its messages.
enum class Dialect { fanfare, nchan };

/// Defaults are those of the command line; times in seconds, as their names say.
struct Options {
    std::string url = "http://127.0.0.1:8080";
    Mode mode = Mode::broadcast;
    Dialect dialect = Dialect::fanfare;
    std::size_t ws = 0;
    std::size_t sse = 0;
    std::size_t rooms = 1;
    bool all_rooms = false; // mode idle: every client is in all rooms instead of one
    std::string room_prefix = "load";
    std::string token;
    std::string api_key;
    std::vector<std::string> source_addresses;
    bool deflate = false;

    std::size_t publishers = 1;
    double rate = 0;            // messages per second in total; 0: as fast as answers come
    std::uint64_t messages = 0; // 0: until duration_s is over
    double duration_s = 0;      // 0: until `messages` are sent
    std::size_t payload_bytes = 128;
    /// Not messages into rooms but notifications, one for each user of that many (`rooms`), named
    /// by `room_prefix` and index: their channel. Empty: messages.
    std::string notify;
    std::string data_file; // JSON to send as "p" instead of a text of payload_bytes
    std::size_t batch = 0; // messages per request, mode publish; 0: one by POST …/publish
    bool ndjson = false;   // a batch is lines, not an array
    bool allow_publish_failures = false;

    double connect_rate = 2000; // per second; 0: as fast as answers come
    double connect_max_s = 10;
    std::size_t connecting_max = 256; // attempts under way at a time
    double settle_s = 1;              // between the last connect and the plateau's sample
    double hold_s = 10;               // mode idle
    double fraction = 0.2;            // of the clients that mode resume or slow affects
    double every_s = 1;               // mode resume: time between two drops
    // modes resume and churn: time until a dropped client comes back; storm: from the last publish
    // to the return
    double away_s = 0.3;
    double pause_s = 3; // mode slow: time without reading
    double churn_rate = 100;
    bool reconnect = false; // resume after unexpected closes in every mode
    bool allow_unrecovered = false;
    double drain_s = 5; // without a delivery, until missing messages count as lost

    double timeout_s = 120;
    bool spin = false;
    bool quiet = false;
    bool kernel_timestamps = false; // when a message arrived is what the kernel says
    std::string samples_file;       // where each latency goes, with its time
    std::vector<pid_t> pids;

    [[nodiscard]] bool publishes() const { return mode != Mode::idle; }
};

/// What parse_options() found: options to run with, or the status to exit with at once (0 after
/// --help, 2 after a usage error that was printed).
struct Parsed {
    std::optional<Options> options;
    int exit_status = 0;
};

[[nodiscard]] Parsed parse_options(int argc, char** argv);

} // namespace load
