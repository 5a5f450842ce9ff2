#pragma once
// Whether a push says what the one before said: of a mass nearly all do, to other devices.

#include <fanfare/delivery/provider.hpp>

#include <cstdint>
#include <optional>
#include <string>

namespace fanfare::providers {

class SaidBefore {
  public:
    /// True: all that a payload is made of, but for times, is as at the last call.
    [[nodiscard]] bool is(const delivery::PushContent& content) {
        if (known_ && silent_ == content.silent && badge_ == content.badge &&
            priority_ == content.priority && title_ == content.title && body_ == content.body &&
            data_ == content.data && category_ == content.category && sound_ == content.sound &&
            collapse_key_ == content.collapse_key)
            return true;
        known_ = true;
        silent_ = content.silent;
        badge_ = content.badge;
        priority_ = content.priority;
        title_ = content.title;
        body_ = content.body;
        data_ = content.data;
        category_ = content.category;
        sound_ = content.sound;
        collapse_key_ = content.collapse_key;
        return false;
    }

  private:
    bool known_ = false;
    bool silent_ = false;
    std::optional<std::uint32_t> badge_;
    delivery::Priority priority_ = delivery::Priority::normal;
    std::string title_;
    std::string body_;
    std::string data_;
    std::string category_;
    std::string sound_;
    std::string collapse_key_;
};

} // namespace fanfare::providers
