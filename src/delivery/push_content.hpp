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

/// Keeps the texts that a PushContent shows.
class PushText {
  public:
    /// `notification` lives longer. What it does not say is empty; without title, body, badge and
    /// sound there is nothing to notice, and the push is silent.
    explicit PushText(const Notification& notification);
    [[nodiscard]] PushContent content() const;

  private:
    const Notification& notification_;
    std::string title_;
    std::string body_;
    std::string_view data_;
    std::string sound_;
    std::optional<std::uint32_t> badge_;
    bool silent_ = false;
};

} // namespace fanfare::delivery
