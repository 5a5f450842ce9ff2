#pragma once
// What a notification says, read from the `data` that clients are sent, and from what is for push
// alone.

#include <fanfare/delivery/notification.hpp>
#include <fanfare/delivery/provider.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace fanfare::delivery {

/// Keeps the texts that a PushContent shows. A mass of notifications says the same again and again:
/// what is as the one before is not read anew.
class PushText {
  public:
    /// Views live until the next call, and as long as `notification`. What it does not say is
    /// empty; without title, body, badge and sound there is nothing to notice, and the push is
    /// silent.
    [[nodiscard]] PushContent content_of(const Notification& notification);

  private:
    void read();

    std::string json_;    // Notification::data
    std::string options_; // Notification::push_options
    std::string title_;
    std::string body_;
    std::string_view data_; // within json_
    std::string sound_;
    std::optional<std::uint32_t> badge_;
    bool silent_ = false;
};

} // namespace fanfare::delivery
