#pragma once
// What a notification says, read from the `data` that clients are sent.

#include <fanfare/delivery/notification.hpp>
#include <fanfare/delivery/provider.hpp>

#include <string>

namespace fanfare::delivery {

/// Keeps the texts that a PushContent shows.
class PushText {
  public:
    /// `notification` lives longer. What it does not say is empty; without title and body there is
    /// nothing to show, and the push is silent.
    explicit PushText(const Notification& notification);
    [[nodiscard]] PushContent content() const;

  private:
    const Notification& notification_;
    std::string title_;
    std::string body_;
    std::string_view data_;
};

} // namespace fanfare::delivery
