#pragma once
// Fetches Google's access token and keeps it fresh: the control path beside the pushes, with its
// own connection, to the origin that the service account names.

#include "fcm_token.hpp"
#include "service_url.hpp"

#include <fanfare/http/h2_client.hpp>
#include <fanfare/net/timer_wheel.hpp>
#include <fanfare/providers/providers.hpp>

#include <functional>
#include <string>

namespace fanfare::providers {

/// On one reactor. Begins by itself.
class FcmTokenSource final : http::H2PoolOwner, http::H2Caller, net::TimerWheel::Timer {
  public:
    /// `fresh`: there is a new token. Throws as H2Pool does, and if the
    /// account's `token_uri` leads nowhere.
    FcmTokenSource(net::Reactor& reactor, net::BlockingThread& resolver, FcmAccount account,
                   const CredentialOptions& options, std::function<void()> fresh);

    [[nodiscard]] FcmToken::ValueRef current() const { return token_.current(); }
    /// Google did not take the token of this generation.
    void refused(std::uint64_t generation);
    [[nodiscard]] const std::string& project_id() const noexcept { return account_.project_id; }

  private:
    void on_answer(std::uint64_t tag, const http::H2Answer& answer) override;
    void on_timer() override;
    void look();
    [[nodiscard]] bool ask();
    void take(const FcmGrant& grant);
    void give_up(const FcmGrantFault& fault);

    net::Reactor& reactor_;
    const FcmAccount account_;
    const ServiceUrl url_;
    const std::function<void()> fresh_;
    const std::string app_;
    FcmToken token_;
    std::string fault_; // the last one's reason; empty: none since the last token
    http::H2Pool pool_;
};

} // namespace fanfare::providers
