#pragma once
// Result<T> and how a folder adds its own error codes (style: docs/architecture.md, "Errors").

#include <boost/system/error_category.hpp>
#include <boost/system/error_code.hpp>
#include <boost/system/result.hpp>

#include <string>

namespace fanfare {

using error_code = boost::system::error_code;

/// A value or the reason why there is none. The code is the one Asio gives, or an errc of ours.
template <class T>
using Result = boost::system::result<T>;

/// Base of a folder's category: `describe` turns the enumerator into one sentence.
template <class Errc>
class Category final : public boost::system::error_category {
  public:
    using Describe = const char* (*)(Errc);
    constexpr Category(const char* name, Describe describe) : name_(name), describe_(describe) {}
    const char* name() const noexcept override { return name_; }
    std::string message(int value) const override { return describe_(static_cast<Errc>(value)); }

  private:
    const char* name_;
    Describe describe_;
};

} // namespace fanfare
