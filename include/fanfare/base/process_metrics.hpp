#pragma once
// What the kernel knows of this process: memory, processor time, descriptors, threads.

#include <cstddef>

namespace fanfare {

class Metrics;

/// Registers `process_*`. All are asked for at scrape and cost a few small reads of /proc.
void register_process_metrics(Metrics& metrics);

/// Descriptors that are open, 0 if the kernel does not tell. On Linux before 6.2 every one of them
/// is listed, which takes long where there are many: then only up to about 50,000 are counted.
[[nodiscard]] std::size_t open_descriptors() noexcept;

} // namespace fanfare
