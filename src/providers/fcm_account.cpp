#include "fcm_account.hpp"

#include <fanfare/base/bytes.hpp>

#include <simdjson.h>

#include <algorithm>
#include <stdexcept>

namespace fanfare::providers {
namespace {

[[noreturn]] void fail(std::string_view name, const std::string& sentence) {
    throw std::runtime_error{std::string{name} + ": " + sentence};
}

/// The parser keeps a copy of the text and of every string in it, the key included.
class SecretDocument {
  public:
    explicit SecretDocument(std::string_view json) : size_(json.size()), text_(json) {
        text_.resize(size_ + simdjson::SIMDJSON_PADDING);
    }
    ~SecretDocument() {
        OPENSSL_cleanse(text_.data(), text_.size());
        // As much of the parser's own buffer as strings of such a text can take: four bytes of
        // length and an end each.
        if (parser_.doc.string_buf)
            OPENSSL_cleanse(parser_.doc.string_buf.get(), 5 * parser_.doc.capacity() / 3);
    }
    SecretDocument(const SecretDocument&) = delete;
    SecretDocument& operator=(const SecretDocument&) = delete;

    [[nodiscard]] bool read(simdjson::dom::object& object) {
        return parser_.parse(text_.data(), size_, false).get(object) == simdjson::SUCCESS;
    }

  private:
    std::size_t size_;
    std::string text_;
    simdjson::dom::parser parser_;
};

class Members {
  public:
    Members(simdjson::dom::object object, std::string_view name) : object_(object), name_(name) {}

    /// A text that is not empty and can stand in a header or a URL; lives as long as the document.
    [[nodiscard]] std::string_view required(const char* member) const {
        const std::string_view value = optional(member);
        if (value.empty()) fail(name_, std::string{"`"} + member + "` is missing or empty");
        return value;
    }
    [[nodiscard]] std::string_view optional(const char* member) const {
        simdjson::dom::element element;
        std::string_view value;
        if (object_[member].get(element) != simdjson::SUCCESS) return {};
        if (element.get(value) != simdjson::SUCCESS)
            fail(name_, std::string{"`"} + member + "` must be a text");
        return value;
    }

  private:
    simdjson::dom::object object_;
    std::string_view name_;
};

/// In the path of each request.
bool is_project_id(std::string_view id) {
    return std::all_of(id.begin(), id.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == ':' || c == '.';
    });
}

bool is_url(std::string_view text) {
    return text.starts_with("https://") && text.size() > 8 &&
           text.find(' ') == std::string_view::npos && !has_control(text);
}

} // namespace

FcmAccount read_fcm_account(std::string_view json, std::string_view name) {
    SecretDocument document{json};
    simdjson::dom::object object;
    if (!document.read(object)) fail(name, "is not a JSON object");
    const Members members{object, name};
    if (members.required("type") != "service_account")
        fail(name, "`type` must be \"service_account\": create a key for a service account");
    const std::string_view project = members.required("project_id");
    if (!is_project_id(project)) fail(name, "`project_id` is not the id of a project");
    const std::string_view email = members.required("client_email");
    if (email.find('@') == std::string_view::npos) fail(name, "`client_email` is not an address");
    const std::string_view token_uri = members.required("token_uri");
    if (!is_url(token_uri)) fail(name, "`token_uri` must be an https URL");
    return {std::string{project}, std::string{email},
            std::string{members.optional("private_key_id")}, std::string{token_uri},
            SigningKey{JoseAlgorithm::rs256, members.required("private_key"),
                       std::string{name} + ": `private_key`"}};
}

} // namespace fanfare::providers
