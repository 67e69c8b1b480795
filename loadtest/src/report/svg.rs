//! Plots as inline SVG.

use std::fmt::Write as _;

use super::html::escape;
use crate::number::whole;

/// Lines over two axes.
#[derive(Debug)]
pub(crate) struct Plot {
    pub(crate) title: &'static str,
    pub(crate) x: Scale,
    pub(crate) y: Scale,
    pub(crate) series: Vec<Series>,
    /// Points that are pointed out, with what is to be said of them.
    pub(crate) marks: Vec<((f64, f64), String)>,
}

/// One line.
#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
    /// Whether each point is a measurement of its own.
    pub(crate) dots: bool,
}

/// How an axis is divided.
#[derive(Debug)]
pub(crate) struct Scale {
    kind: Division,
    label: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Division {
    Linear,
    Logarithmic,
    /// Logarithmic in 1 / (1 - quantile), and labelled with per cents.
    Percentiles,
}

impl Scale {
    /// Equal distances for equal differences, from 0.
    pub(crate) fn linear(label: &'static str) -> Self {
        Self { kind: Division::Linear, label }
    }

    /// Equal distances for equal factors.
    pub(crate) fn logarithmic(label: &'static str) -> Self {
        Self { kind: Division::Logarithmic, label }
    }

    /// Equal distances for each nine.
    pub(crate) fn percentiles() -> Self {
        Self { kind: Division::Percentiles, label: "percentile" }
    }

    fn map(&self, value: f64) -> f64 {
        match self.kind {
            Division::Linear => value,
            // Nothing takes less than a tenth of a microsecond, which is what 0 is drawn as.
            Division::Logarithmic => value.max(1e-4).log10(),
            Division::Percentiles => value.max(1.0).log10(),
        }
    }

    /// From where to where it goes, mapped, for these values.
    fn range(&self, values: impl Iterator<Item = f64>) -> (f64, f64) {
        let (low, high) = values
            .filter(|value| value.is_finite())
            .map(|value| self.map(value))
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        match self.kind {
            _ if low > high => (0.0, 1.0),
            Division::Linear => (0.0, if high > 0.0 { high * 1.05 } else { 1.0 }),
            Division::Logarithmic | Division::Percentiles => (low.floor(), high.ceil().max(low.floor() + 1.0)),
        }
    }

    /// Where lines cross it, mapped, with their labels.
    fn ticks(&self, (low, high): (f64, f64)) -> Vec<(f64, String)> {
        if self.kind == Division::Linear {
            let rough = (high - low) / 5.0;
            let unit = 10_f64.powf(rough.log10().floor());
            let step = [1.0, 2.0, 5.0, 10.0]
                .into_iter()
                .map(|times| times * unit)
                .find(|step| *step >= rough)
                .unwrap_or(rough);
            let at = |number: i32| low + f64::from(number) * step;
            return (0..20).map(at).take_while(|at| *at <= high).map(|at| (at, short(at))).collect();
        }
        let powers = (0..20).map(|power| low + f64::from(power)).take_while(|power| *power <= high);
        let label = |power: f64| match self.kind {
            Division::Percentiles => short(100.0 - 100.0 * 10_f64.powf(-power)) + " %",
            _ => short(10_f64.powf(power)),
        };
        powers.map(|power| (power, label(power))).collect()
    }
}

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 340.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 50.0;
/// Told apart also by those who do not see all colours (Okabe and Ito, 2008).
const COLOURS: [&str; 6] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];

impl Plot {
    /// The plot as one element.
    pub(crate) fn render(&self) -> String {
        let all = || self.series.iter().flat_map(|series| &series.points);
        let (across, up) = (self.x.range(all().map(|point| point.0)), self.y.range(all().map(|point| point.1)));
        let place = |value: f64, (low, high): (f64, f64)| (value - low) / (high - low);
        let x = |mapped: f64| LEFT + place(mapped, across) * (WIDTH - LEFT - RIGHT);
        let y = |mapped: f64| HEIGHT - BOTTOM - place(mapped, up) * (HEIGHT - TOP - BOTTOM);
        let title = escape(self.title);
        let mut svg = format!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" role=\"img\" aria-label=\"{title}\">\n\
             <text x=\"{LEFT}\" y=\"18\" font-weight=\"bold\">{title}</text>\n"
        );
        let (floor, end) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
        for (at, label) in self.x.ticks(across) {
            let at = x(at);
            let _ = writeln!(svg, "<path d=\"M{at:.1} {TOP}V{floor}\" stroke=\"#eee\"/>");
            let _ =
                writeln!(svg, "<text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{label}</text>", floor + 16.0);
        }
        for (at, label) in self.y.ticks(up) {
            let at = y(at);
            let _ = writeln!(svg, "<path d=\"M{LEFT} {at:.1}H{end}\" stroke=\"#eee\"/>");
            let _ =
                writeln!(svg, "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>", LEFT - 6.0, at + 4.0);
        }
        let (middle, low) = (f64::midpoint(LEFT, end), HEIGHT - 12.0);
        let _ = writeln!(svg, "<text x=\"{middle}\" y=\"{low}\" text-anchor=\"middle\">{}</text>", self.x.label);
        let _ = writeln!(svg, "<text x=\"12\" y=\"{:.0}\">{}</text>", TOP - 8.0, self.y.label);
        for (series, colour, row) in self.coloured() {
            let points: Vec<(f64, f64)> =
                series.points.iter().map(|point| (x(self.x.map(point.0)), y(self.y.map(point.1)))).collect();
            let line: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
            let _ = writeln!(
                svg,
                "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\" points=\"{}\"/>",
                line.join(" ")
            );
            for (x, y) in points.iter().filter(|_| series.dots) {
                let _ = writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>");
            }
            let at = TOP + 14.0 + 16.0 * row;
            let name = escape(&series.name);
            let _ = writeln!(svg, "<text x=\"{:.0}\" y=\"{at:.0}\" style=\"fill:{colour}\">{name}</text>", LEFT + 10.0);
        }
        for ((across, up), text) in &self.marks {
            let (x, y) = (x(self.x.map(*across)), y(self.y.map(*up)));
            let _ = writeln!(
                svg,
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"8\" fill=\"none\" stroke=\"#222\" stroke-width=\"2\"/>"
            );
            let _ = writeln!(
                svg,
                "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                y - 14.0,
                escape(text)
            );
        }
        svg + "</svg>\n"
    }

    fn coloured(&self) -> impl Iterator<Item = (&Series, &'static str, f64)> {
        let rows = (0..).map(f64::from);
        self.series
            .iter()
            .zip(COLOURS.into_iter().cycle())
            .zip(rows)
            .map(|((series, colour), row)| (series, colour, row))
    }
}

/// A number without digits that say nothing.
fn short(number: f64) -> String {
    if number >= 1000.0 && number.fract() == 0.0 {
        return whole(number).to_string();
    }
    let text = format!("{number:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(points: Vec<(f64, f64)>) -> String {
        let marks = vec![((20.0, 1.0), "a < b".to_owned())];
        let series = vec![Series { name: "p99".to_owned(), points, dots: true }];
        Plot { title: "Latency", x: Scale::linear("answers"), y: Scale::logarithmic("ms"), series, marks }.render()
    }

    #[test]
    fn points_lie_where_the_scales_say() {
        let svg = plot(vec![(0.0, 0.1), (100.0, 10.0)]);
        // From the lower left corner, to the upper edge at 100 of 105 parts of the width.
        assert!(svg.contains("points=\"70.0,290.0 708.1,40.0\""), "{svg}");
        assert!(svg.contains("a &lt; b") && svg.matches("<circle").count() == 3);
        for label in [">0.1<", ">1<", ">10<", ">50<", ">100<"] {
            assert!(svg.contains(label), "{label}: {svg}");
        }
    }

    #[test]
    fn nothing_breaks_a_plot() {
        for points in [vec![], vec![(0.0, 0.0)], vec![(1.0, 1.0); 3], vec![(f64::NAN, f64::INFINITY), (1.0, 2.0)]] {
            let svg = plot(points);
            assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
        }
    }

    #[test]
    fn percentiles_are_labelled_by_their_nines() {
        let labels: Vec<String> = Scale::percentiles().ticks((0.0, 4.0)).into_iter().map(|(_, label)| label).collect();
        assert_eq!(labels, ["0 %", "90 %", "99 %", "99.9 %", "99.99 %"]);
    }
}
