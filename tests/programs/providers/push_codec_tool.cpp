// What the codecs of providers make, for tests in other languages. One command a line on stdin, its
// words separated by blanks, binary ones as base64url; one line of answer each:
//
//   encrypt P256DH AUTH PLAINTEXT     the body of a Web Push request
//   vapid KEY_FILE SUBJECT ORIGIN     the value of Authorization
//   apns KEY_FILE KEY_ID TEAM_ID      the value of authorization
//   fcm ACCOUNT_FILE                  the body of the request for an access token

#include "apns_token.hpp"
#include "fcm_grant.hpp"
#include "vapid.hpp"
#include "webpush_encrypt.hpp"

#include <fanfare/base/bytes.hpp>

#include <exception>
#include <fstream>
#include <iostream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

using namespace fanfare;
using namespace fanfare::providers;

namespace {

std::vector<std::string> words_of(const std::string& line) {
    std::istringstream in{line};
    std::vector<std::string> words;
    // Words may be empty: an empty text is one.
    for (std::string word; std::getline(in, word, ' ');) words.push_back(word);
    words.resize(4);
    return words;
}

std::string file(const std::string& path) {
    std::ifstream in{path};
    std::ostringstream text;
    text << in.rdbuf();
    if (!in) throw std::runtime_error{"cannot read " + path};
    return text.str();
}

std::string bytes(const std::string& base64) {
    const auto raw = from_base64url(base64);
    if (!raw) throw std::runtime_error{"not base64url"};
    return *raw;
}

std::string encrypt(const std::vector<std::string>& words) {
    static WebPushEncryptor encryptor;
    const auto body = encryptor.encrypt(bytes(words[1]), bytes(words[2]), bytes(words[3]));
    if (!body) throw std::runtime_error{body.error().message()};
    return to_base64url(as_byte_view(*body));
}

std::string answer(const std::vector<std::string>& words) {
    const Clock& clock = system_clock();
    if (words[0] == "encrypt") return encrypt(words);
    if (words[0] == "vapid")
        return *Vapid{file(words[1]), words[1], words[2], clock}.authorization(words[3]);
    if (words[0] == "apns") {
        SigningKey key{JoseAlgorithm::es256, file(words[1]), words[1]};
        return ApnsToken{std::move(key), words[2], words[3], clock}.current()->authorization;
    }
    if (words[0] == "fcm")
        return fcm_grant_request(read_fcm_account(file(words[1]), words[1]), clock.wall());
    throw std::runtime_error{"no such command: " + words[0]};
}

} // namespace

int main() {
    for (std::string line; std::getline(std::cin, line);) {
        try {
            std::cout << answer(words_of(line)) << std::endl;
        } catch (const std::exception& error) {
            std::cout << "error: " << error.what() << std::endl;
        }
    }
}
