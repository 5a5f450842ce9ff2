#include "log_line.hpp"

#include <fanfare/base/assert.hpp>

#include <cstdlib>

namespace fanfare {

void assertion_failed(const char* condition, const char* file, int line) noexcept {
    // An assertion that breaks while this one is being reported (in the logger, say) must not
    // report itself: the first one is the story.
    thread_local bool failing = false;
    if (!failing) {
        failing = true;
        // What led here comes first. The line itself bypasses the queue, which drops lines when it
        // is full.
        log::flush();
        log::write_now(log::Level::error, "assertion_failed",
                       {{"condition", condition}, {"file", file}, {"line", line}});
    }
    std::abort();
}

} // namespace fanfare
