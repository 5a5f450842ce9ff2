// yaml-cpp's own tree forgets duplicate keys, whether a scalar was quoted, and the lines of keys,
// and it follows hostile nesting until the stack ends. So only its event parser is used, and this
// file builds our tree from the events. Throwing from an event also ends the parser's recursion:
// its depth is never more than ours plus one.

#include "config_yaml.hpp"

#include "config.hpp"

#include <fanfare/base/bytes.hpp>

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <map>
#include <sstream>
#include <utility>

namespace fanfare::app {
namespace {

using Source = std::shared_ptr<const std::string>;

std::size_t count_nodes(const ConfigNode& node) {
    std::size_t count = 1;
    for (const ConfigNode& item : node.items) count += count_nodes(item);
    for (const ConfigNode::Member& member : node.members) count += 1 + count_nodes(member.value);
    return count;
}

class Builder final : public YAML::EventHandler {
  public:
    explicit Builder(Source source) : source_(std::move(source)) {}

    [[nodiscard]] bool complete() const noexcept { return complete_; }
    [[nodiscard]] ConfigNode take() { return std::move(root_); }

    void OnDocumentStart(const YAML::Mark& mark) override {
        if (complete_)
            fail(at(mark), "", "a second document begins here; a configuration is one document");
    }
    void OnDocumentEnd() override { complete_ = true; }

    void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
        // The parser's mark is where the next token begins; the name's line is what people look at.
        ConfigNode node;
        node.place = !open_.empty() && open_.back().named ? open_.back().name.place : at(mark);
        add(std::move(node), anchor);
    }

    void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
        const auto found = anchors_.find(anchor);
        if (found == anchors_.end()) fail(at(mark), "", "this alias stands for what it is in");
        count(count_nodes(found->second), mark);
        add(found->second, YAML::NullAnchor);
    }

    void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  const std::string& value) override {
        count(1, mark);
        ConfigNode node;
        node.place = at(mark);
        node.text = value;
        node.kind = ConfigNode::Kind::scalar;
        if (tag == "!" || tag == "tag:yaml.org,2002:str")
            node.style = ConfigNode::Style::quoted;
        else if (tag != "?" && !tag.empty())
            fail(node.place, "", "the tag " + in_quotes(tag) + " has no meaning here; remove it");
        else if (value.empty() || value == "~" || value == "null" || value == "Null" ||
                 value == "NULL")
            node.kind = ConfigNode::Kind::null; // YAML 1.2 §10.3.2
        add(std::move(node), anchor);
    }

    void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                         YAML::EmitterStyle::value) override {
        open(ConfigNode::Kind::list, "tag:yaml.org,2002:seq", mark, tag, anchor);
    }
    void OnSequenceEnd() override { close(); }
    void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                    YAML::EmitterStyle::value) override {
        open(ConfigNode::Kind::map, "tag:yaml.org,2002:map", mark, tag, anchor);
    }
    void OnMapEnd() override { close(); }

  private:
    /// A list or map whose end has not come yet.
    struct Open {
        ConfigNode node;
        YAML::anchor_t anchor = YAML::NullAnchor;
        bool named = false; // map: `name` was read, its value comes next
        ConfigNode::Member name;
        std::vector<ConfigNode> merged; // values of `<<`
    };

    [[nodiscard]] Place at(const YAML::Mark& mark) const {
        return {source_, std::max(mark.line, 0) + 1};
    }

    void count(std::size_t nodes, const YAML::Mark& mark) {
        nodes_ += nodes;
        if (nodes_ > config_nodes_max)
            fail(at(mark), "",
                 fmt::format("more than {} values, aliases counted", config_nodes_max));
    }

    void open(ConfigNode::Kind kind, std::string_view own_tag, const YAML::Mark& mark,
              const std::string& tag, YAML::anchor_t anchor) {
        count(1, mark);
        if (open_.size() >= config_depth_max)
            fail(at(mark), "", fmt::format("nested deeper than {} levels", config_depth_max));
        if (tag != "?" && tag != "!" && !tag.empty() && tag != own_tag)
            fail(at(mark), "", "the tag " + in_quotes(tag) + " has no meaning here; remove it");
        Open& one = open_.emplace_back();
        one.node.kind = kind;
        one.node.place = at(mark);
        one.anchor = anchor;
    }

    void close() {
        Open done = std::move(open_.back());
        open_.pop_back();
        for (const ConfigNode& merged : done.merged)
            for (const ConfigNode::Member& member : merged.members)
                if (find_member(done.node, member.name) == nullptr)
                    add_member(done.node, member, "");
        add(std::move(done.node), done.anchor);
    }

    void add(ConfigNode node, YAML::anchor_t anchor) {
        if (anchor != YAML::NullAnchor) {
            nodes_ += count_nodes(node); // the copy costs memory too; checked with the next value
            anchors_[anchor] = node;
        }
        if (open_.empty()) {
            root_ = std::move(node);
        } else if (open_.back().node.kind == ConfigNode::Kind::list) {
            open_.back().node.items.push_back(std::move(node));
        } else if (!open_.back().named) {
            begin_member(node);
        } else {
            end_member(std::move(node));
        }
    }

    void begin_member(const ConfigNode& name) {
        if (name.kind != ConfigNode::Kind::scalar)
            fail(name.place, "", "the name of a key must be a plain word");
        Open& map = open_.back();
        map.name.name = name.text;
        map.name.place = name.place;
        map.named = true;
    }

    void end_member(ConfigNode value) {
        Open& map = open_.back();
        map.named = false;
        if (map.name.name == "<<") {
            merge(map, std::move(value));
            return;
        }
        map.name.value = std::move(value);
        add_member(map.node, std::move(map.name), section());
    }

    /// The merge key of YAML 1.1: what makes anchors useful between similar room rules.
    static void merge(Open& map, ConfigNode value) {
        const bool is_list = value.kind == ConfigNode::Kind::list;
        std::vector<ConfigNode> maps;
        if (is_list)
            maps = std::move(value.items);
        else
            maps.push_back(std::move(value));
        for (ConfigNode& one : maps) {
            if (one.kind != ConfigNode::Kind::map)
                fail(map.name.place, "<<", "takes an alias of a section, or a list of those");
            map.merged.push_back(std::move(one));
        }
    }

    /// Name of the innermost open map, as far as it is known, for messages.
    [[nodiscard]] std::string section() const {
        std::string path;
        for (std::size_t i = 0; i + 1 < open_.size(); ++i) {
            const Open& one = open_[i];
            if (one.node.kind == ConfigNode::Kind::list)
                path += fmt::format("[{}]", one.node.items.size());
            else
                path = join_key(path, one.name.name);
        }
        return path;
    }

    const Source source_;
    std::vector<Open> open_;
    std::map<YAML::anchor_t, ConfigNode> anchors_; // of complete values
    std::size_t nodes_ = 0;
    ConfigNode root_;
    bool complete_ = false;
};

/// Refuses what the parser would misread: it takes 0x04 for the end of the file, and guesses
/// UTF-16.
void check_text(std::string_view text, const Source& source) {
    if (text.size() > config_bytes_max)
        fail({source, 0}, "", fmt::format("is larger than {} bytes", config_bytes_max));
    int line = 1;
    for (const char c : text) {
        if (c == '\n') ++line;
        const auto byte = static_cast<unsigned char>(c);
        if ((byte < 0x20 && c != '\n' && c != '\r' && c != '\t') || byte == 0x7f)
            fail({source, line}, "", fmt::format("holds the control character 0x{:02x}", byte));
    }
    if (is_utf8(text)) return;
    line = 1;
    while (!text.empty()) {
        const std::string_view rest = text.substr(0, text.find('\n'));
        if (!is_utf8(rest)) fail({source, line}, "", "is not UTF-8");
        text.remove_prefix(std::min(text.size(), rest.size() + 1));
        ++line;
    }
}

} // namespace

ConfigNode parse_yaml(std::string_view text, const std::string& source) {
    const auto shared_source = std::make_shared<const std::string>(source);
    check_text(text, shared_source);
    Builder builder{shared_source};
    try {
        std::istringstream in{std::string{text}};
        YAML::Parser parser{in};
        while (parser.HandleNextDocument(builder)) {
        }
    } catch (const ConfigError&) {
        throw;
    } catch (const YAML::Exception& error) {
        fail({shared_source, std::max(error.mark.line, 0) + 1}, "", "no YAML: " + error.msg);
    } catch (const std::exception&) { // the parser's own containers, on input it does not expect
        fail({shared_source, 0}, "", "no YAML that could be read");
    }
    ConfigNode root = builder.take();
    if (root.kind == ConfigNode::Kind::null) root.kind = ConfigNode::Kind::map;
    if (root.kind != ConfigNode::Kind::map)
        fail(root.place, "", "must be a map of sections such as \"server:\"");
    root.place = {shared_source, 0}; // what is missing is in the file, but in none of its lines
    return root;
}

} // namespace fanfare::app
