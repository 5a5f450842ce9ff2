#pragma once
// What `fanfare top` shows, without a terminal or a network: two scrapes in, lines of text out.

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fanfare::app {

/// One scrape of /metrics, as `name{labels}` to number.
class Sample {
  public:
    /// Nothing if the text is not an exposition of a gateway (no `fanfare_` series in it).
    [[nodiscard]] static std::optional<Sample> parse(std::string_view exposition, double at);

    /// When it was taken, in seconds of any clock.
    [[nodiscard]] double at() const noexcept { return at_; }
    /// Sum of the series of that name (without `fanfare_`) that have `label`, written as
    /// `name="value"`; empty: all of them.
    [[nodiscard]] double sum(std::string_view name, std::string_view label = {}) const;
    /// The value of a label in the first series of that name; empty: there is none.
    [[nodiscard]] std::string label(std::string_view name, std::string_view label) const;
    /// Names and values of all series of that name.
    [[nodiscard]] std::vector<std::pair<std::string, double>> series(std::string_view name) const;
    /// Cumulative buckets by upper bound, summed over all label sets.
    [[nodiscard]] std::map<double, double> buckets(std::string_view name) const;

  private:
    double at_ = 0;
    std::map<std::string, double, std::less<>> series_;
};

/// The value below which the share `q` of what came between two scrapes lies, interpolated within
/// its bucket; nothing if nothing came.
[[nodiscard]] std::optional<double> quantile(const Sample& before, const Sample& now,
                                             std::string_view histogram, double q);

struct View {
    std::string url;
    std::string fault; // why the newest scrape failed; empty: it did not
    unsigned width = 80;
    unsigned height = 24; // lines below it are left out
    bool colours = false;
};
/// `before` is null at the first scrape: rates are not known then.
[[nodiscard]] std::vector<std::string> render(const Sample* before, const Sample& now,
                                              const View& view);

} // namespace fanfare::app
