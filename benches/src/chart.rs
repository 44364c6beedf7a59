//! Charts as SVG: rows of panels, with logarithmic axes in both directions. The panels of a row have the same axes.

use std::fmt::{self, Display, Formatter};

const PANEL_WIDTH: f64 = 240.0;
const PANEL_HEIGHT: f64 = 180.0;
/// The room for labels beside, above and below a panel.
const LEFT: f64 = 62.0;
const TOP: f64 = 46.0;
const BOTTOM: f64 = 26.0;
/// Of the lines in a panel, in their order; distinguishable also for people who do not see red and green as different.
const COLOURS: [&str; 5] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#7f7f7f"];

pub(crate) struct Line {
    pub(crate) name: &'static str,
    /// Numbers above 0.
    pub(crate) points: Vec<(f64, f64)>,
}

pub(crate) struct Panel {
    pub(crate) title: String,
    pub(crate) lines: Vec<Line>,
}

pub(crate) struct Chart {
    /// Each row with the label of its vertical axis.
    pub(crate) rows: Vec<(String, Vec<Panel>)>,
}

/// An axis: whole powers of ten from the first to the second, drawn from one position to another.
struct Axis {
    powers: (i32, i32),
    drawn: (f64, f64),
}

impl Axis {
    fn new(values: impl Iterator<Item = f64>, drawn: (f64, f64)) -> Self {
        let values = values.filter(|value| *value > 0.0);
        let (low, high) = values.fold((f64::MAX, 0.0_f64), |(low, high), value| {
            (low.min(value), high.max(value))
        });
        let (first, last) = match high > 0.0 {
            true => (low.log10().floor() as i32, high.log10().ceil() as i32),
            false => (0, 1),
        };
        Self {
            powers: (first, last.max(first + 1)),
            drawn,
        }
    }

    fn position(&self, value: f64) -> f64 {
        self.at_power(value.log10().max(f64::from(self.powers.0)))
    }

    fn at_power(&self, power: f64) -> f64 {
        let (first, last) = (f64::from(self.powers.0), f64::from(self.powers.1));
        let (from, to) = self.drawn;
        from + (power - first) / (last - first) * (to - from)
    }

    /// The powers of ten, with their positions.
    fn ticks(&self) -> impl Iterator<Item = (String, f64)> {
        let tick = |power: i32| (short(10_f64.powi(power)), self.at_power(f64::from(power)));
        (self.powers.0..=self.powers.1).map(tick)
    }
}

/// A power of ten as it is written beside an axis.
fn short(value: f64) -> String {
    match value {
        value if value >= 1e6 => format!("{}M", value / 1e6),
        value if value >= 1e3 => format!("{}k", value / 1e3),
        value => value.to_string(),
    }
}

impl Display for Chart {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let columns = self.rows.iter().map(|(_, panels)| panels.len()).max().unwrap_or(0);
        let (column, row) = (LEFT + PANEL_WIDTH, TOP + PANEL_HEIGHT + BOTTOM);
        let (width, height) = (columns as f64 * column + 20.0, self.rows.len() as f64 * row + 10.0);
        writeln!(
            f,
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="11">"#
        )?;
        writeln!(f, r##"<rect width="{width}" height="{height}" fill="#ffffff"/>"##)?;
        for (at, (label, panels)) in self.rows.iter().enumerate() {
            let points = || {
                panels
                    .iter()
                    .flat_map(|panel| panel.lines.iter().flat_map(|line| &line.points))
            };
            let top = at as f64 * row + TOP;
            let y = Axis::new(points().map(|point| point.1), (top + PANEL_HEIGHT, top));
            for (at, panel) in panels.iter().enumerate() {
                let left = at as f64 * column + LEFT;
                let x = Axis::new(points().map(|point| point.0), (left, left + PANEL_WIDTH));
                text(f, left, top - 26.0, "start", &format!("{}: {label}", panel.title))?;
                panel.draw(f, &x, &y)?;
            }
        }
        writeln!(f, "</svg>")
    }
}

impl Panel {
    fn draw(&self, f: &mut Formatter<'_>, x: &Axis, y: &Axis) -> fmt::Result {
        let ((left, right), (bottom, top)) = (x.drawn, y.drawn);
        let grid = |f: &mut Formatter<'_>, [x1, y1, x2, y2]: [f64; 4]| {
            writeln!(f, r##"<path d="M{x1:.1} {y1:.1}L{x2:.1} {y2:.1}" stroke="#dddddd"/>"##)
        };
        for (value, x) in x.ticks() {
            grid(f, [x, bottom, x, top])?;
            text(f, x, bottom + 15.0, "middle", &value)?;
        }
        for (value, y) in y.ticks() {
            grid(f, [left, y, right, y])?;
            text(f, left - 6.0, y + 4.0, "end", &value)?;
        }
        for (at, (line, colour)) in self.lines.iter().zip(COLOURS.iter().cycle()).enumerate() {
            let points: Vec<(f64, f64)> = line
                .points
                .iter()
                .map(|(a, b)| (x.position(*a), y.position(*b)))
                .collect();
            let path: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
            let path = path.join(" ");
            writeln!(
                f,
                r#"<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>"#
            )?;
            for (x, y) in points {
                writeln!(f, r#"<circle cx="{x:.1}" cy="{y:.1}" r="3" fill="{colour}"/>"#)?;
            }
            let key = left + at as f64 * 70.0;
            writeln!(
                f,
                r#"<rect x="{key:.1}" y="{:.1}" width="12" height="4" fill="{colour}"/>"#,
                top - 14.0
            )?;
            text(f, key + 16.0, top - 8.0, "start", line.name)?;
        }
        Ok(())
    }
}

fn text(f: &mut Formatter<'_>, x: f64, y: f64, anchor: &str, text: &str) -> fmt::Result {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    writeln!(
        f,
        r##"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}" fill="#222222">{text}</text>"##
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_has_whole_powers_of_ten() {
        let axis = Axis::new([20.0, 3000.0].into_iter(), (0.0, 300.0));
        let ticks: Vec<(String, f64)> = axis.ticks().collect();
        let expected = [("10", 0.0), ("100", 100.0), ("1k", 200.0), ("10k", 300.0)];
        assert_eq!(ticks, expected.map(|(text, at)| (text.to_owned(), at)));
        // One value, and none.
        assert_eq!(Axis::new([1e6].into_iter(), (0.0, 1.0)).powers, (6, 7));
        assert_eq!(Axis::new([].into_iter(), (0.0, 1.0)).powers, (0, 1));
    }

    #[test]
    fn a_chart_draws_each_point_of_each_line() {
        let line = |name, points: &[(f64, f64)]| Line {
            name,
            points: points.to_vec(),
        };
        let panel = Panel {
            title: "a < b".into(),
            lines: vec![
                line("Lunatic", &[(10.0, 1.0), (100.0, 10.0)]),
                line("Go", &[(10.0, 10.0)]),
            ],
        };
        let svg = Chart {
            rows: vec![("ns".into(), vec![panel])],
        }
        .to_string();
        assert!(svg.contains(r#"points="62.0,226.0 302.0,46.0""#), "{svg}");
        assert!(svg.contains("a &lt; b: ns") && svg.contains(">Lunatic<") && svg.contains(">Go<"));
        assert_eq!(svg.matches("<circle").count(), 3);
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
    }
}
