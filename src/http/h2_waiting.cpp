#include "h2_waiting.hpp"

namespace fanfare::http {

H2Waiting::H2Waiting(const H2Request& request, H2Caller& caller, std::uint64_t tag, MonoMillis due)
    : caller_(&caller), tag_(tag), due_(due) {
    std::size_t size = request.method.size() + request.path.size() + request.body.size();
    for (const H2Header& header : request.headers) size += header.name.size() + header.value.size();
    bytes_.reserve(size); // once: views point into it
    method_ = keep(request.method);
    path_ = keep(request.path);
    body_ = keep(request.body);
    headers_.reserve(request.headers.size());
    for (const H2Header& header : request.headers)
        headers_.push_back({keep(header.name), keep(header.value), header.no_index});
}

std::string_view H2Waiting::keep(std::string_view text) {
    const std::size_t begin = bytes_.size();
    bytes_.insert(bytes_.end(), text.begin(), text.end());
    return {bytes_.data() + begin, text.size()};
}

H2Request H2Waiting::request() const noexcept {
    H2Request request;
    request.method = method_;
    request.path = path_;
    request.headers = headers_;
    request.body = body_;
    return request;
}

} // namespace fanfare::http
