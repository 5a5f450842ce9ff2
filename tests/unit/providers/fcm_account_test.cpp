#include "fcm_account.hpp"
#include "push_keys.hpp"

#include <fanfare/base/json_writer.hpp>

#include <catch2/catch.hpp>

#include <map>
#include <stdexcept>

using namespace fanfare;
using namespace fanfare::providers;
using namespace fanfare::test;

namespace {

using Members = std::map<std::string, std::string>;

Members good() {
    return {{"type", "service_account"},
            {"project_id", "demo-1"},
            {"private_key_id", "k1"},
            {"private_key", rsa_pem()},
            {"client_email", "push@demo-1.iam.gserviceaccount.com"},
            {"client_id", "123"},
            {"token_uri", "https://oauth2.googleapis.com/token"}};
}
std::string json_of(const Members& members) {
    std::string out;
    JsonWriter json{out};
    json.begin_object();
    for (const auto& [name, value] : members) json.field(name, std::string_view{value});
    json.end_object();
    return out;
}
std::string refusal(const std::string& json) {
    try {
        static_cast<void>(read_fcm_account(json, "sa.json"));
    } catch (const std::runtime_error& error) {
        return error.what();
    }
    return "accepted";
}

} // namespace

TEST_CASE("fcm account: as Google gives it", "[providers]") {
    const FcmAccount account = read_fcm_account(json_of(good()), "sa.json");
    CHECK(account.project_id == "demo-1");
    CHECK(account.private_key_id == "k1");
    CHECK(account.client_email == "push@demo-1.iam.gserviceaccount.com");
    CHECK(account.token_uri == "https://oauth2.googleapis.com/token");
    CHECK(verified_claims(account.key.sign_token(R"({"alg":"RS256"})", "{}"), rsa_pem()) == "{}");
    Members without_id = good();
    without_id.erase("private_key_id");
    CHECK(read_fcm_account(json_of(without_id), "sa.json").private_key_id.empty());
}

TEST_CASE("fcm account: what is wrong is named", "[providers]") {
    for (const char* member : {"type", "project_id", "private_key", "client_email", "token_uri"}) {
        const std::string sentence = std::string{"sa.json: `"} + member + "` is missing or empty";
        Members members = good();
        members[member] = "";
        CHECK(refusal(json_of(members)) == sentence);
        members.erase(member);
        CHECK(refusal(json_of(members)) == sentence);
        std::string json = json_of(members);
        json.insert(1, std::string{"\""} + member + "\":7,");
        CHECK(refusal(json) == std::string{"sa.json: `"} + member + "` must be a text");
    }
    struct Case {
        const char* member;
        const char* value;
        const char* sentence;
    };
    const auto c = GENERATE(values<Case>({
        {"type", "authorized_user",
         "sa.json: `type` must be \"service_account\": create a key for a service account"},
        {"project_id", "a/b", "sa.json: `project_id` is not the id of a project"},
        {"client_email", "nobody", "sa.json: `client_email` is not an address"},
        {"token_uri", "http://example.com/token", "sa.json: `token_uri` must be an https URL"},
        {"private_key", "x",
         "sa.json: `private_key` holds no private key in PEM form (-----BEGIN PRIVATE KEY-----)"},
    }));
    Members members = good();
    members[c.member] = c.value;
    CHECK(refusal(json_of(members)) == c.sentence);
    members = good();
    members["private_key"] = ec_key_pem();
    CHECK(refusal(json_of(members)) ==
          "sa.json: `private_key` is not an RSA key, which RS256 needs");
    for (const char* json : {"", "[]", "{", "7", "{\"type\":}"})
        CHECK(refusal(json) == "sa.json: is not a JSON object");
}
