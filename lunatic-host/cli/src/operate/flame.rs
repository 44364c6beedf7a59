//! A flame graph: the width of a function is the time spent in it and its callees; each function stands on its caller.

use std::collections::BTreeMap;
use std::fmt::Write as _;

const WIDTH: f64 = 1_200.0;
const ROW: f64 = 17.0;
/// Narrower functions are not drawn.
const WIDTH_MIN: f64 = 0.3;
/// The width of a letter.
const LETTER: f64 = 6.6;
/// The most levels that are drawn.
const DEPTH_MAX: usize = 512;

/// A function and its callees.
#[derive(Default)]
struct Call<'a> {
    count: u64,
    calls: BTreeMap<&'a str, Call<'a>>,
}

/// Draws folded stacks. Each line holds functions, the outermost first, separated by `;`, then a count.
pub(super) fn graph(folded: &str) -> String {
    let mut all = Call::default();
    let mut depth = 0;
    for line in folded.lines() {
        let Some((stack, count)) = line.rsplit_once(' ') else {
            continue;
        };
        let count = count.parse().unwrap_or(0);
        all.count += count;
        let mut call = &mut all;
        for (level, function) in (1..=DEPTH_MAX).zip(stack.split(';')) {
            call = call.calls.entry(function).or_default();
            call.count += count;
            depth = depth.max(level);
        }
    }
    let height = ROW * (depth + 2) as f64;
    let mut svg = format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="monospace" font-size="11">
<rect width="100%" height="100%" fill="#fff"/>
"##
    );
    let scale = WIDTH / all.count.max(1) as f64;
    draw(&mut svg, ("all", &all), (0.0, height - ROW), (scale, all.count));
    svg += "</svg>\n";
    svg
}

/// Draws a call at its lower left corner, with its callees above it. One count is `scale` wide; `all` is the count of
/// the whole graph.
fn draw(svg: &mut String, (name, call): (&str, &Call<'_>), (x, y): (f64, f64), (scale, all): (f64, u64)) {
    let width = call.count as f64 * scale;
    if width < WIDTH_MIN {
        return;
    }
    let share = 100.0 * call.count as f64 / all.max(1) as f64;
    let letters = (width / LETTER) as usize;
    let shown: String = if letters < 3 {
        String::new()
    } else {
        name.chars().take(letters).collect()
    };
    let hue = 20
        + name
            .bytes()
            .fold(7_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()))
            % 35;
    // Time in the host is blue, and waiting is grey.
    let colour = match name {
        name if name.starts_with("[host]") => format!("hsl({},70%,72%)", 190 + hue),
        name if name.starts_with("[waits]") => "#ccc".to_owned(),
        _ => format!("hsl({hue},85%,65%)"),
    };
    let (name, shown) = (escaped(name), escaped(&shown));
    let _ = writeln!(
        svg,
        r#"<g><title>{name}: {} samples, {share:.2} %</title><rect x="{x:.2}" y="{y:.2}" width="{:.2}" height="{:.2}" fill="{colour}"/><text x="{:.2}" y="{:.2}">{shown}</text></g>"#,
        call.count,
        width - 0.2,
        ROW - 1.0,
        x + 2.0,
        y + 12.0,
    );
    let mut x = x;
    for (name, inner) in &call.calls {
        draw(svg, (name, inner), (x, y - ROW), (scale, all));
        x += inner.count as f64 * scale;
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_as_wide_as_their_time() {
        let svg = graph("a;b<T> 3\na;c 1\n");
        assert!(svg.contains("<title>a: 4 samples, 100.00 %</title>"), "{svg}");
        assert!(
            svg.contains(r#"<title>b&lt;T&gt;: 3 samples, 75.00 %</title><rect x="0.00" y="17.00" width="899.80""#),
            "{svg}"
        );
        assert!(
            svg.contains(r#"<title>c: 1 samples, 25.00 %</title><rect x="900.00" y="17.00""#),
            "{svg}"
        );
        let svg = graph("a;[host] channel_receive 3\na;[waits] mail 1\n");
        let colour = |name| {
            let line = svg.lines().find(|line| line.contains(name)).unwrap();
            line.split_once("fill=\"").unwrap().1.split_once('"').unwrap().0
        };
        assert!(
            colour("[host]").starts_with("hsl(2") && colour("[waits]") == "#ccc",
            "{svg}"
        );
        assert!(graph("").ends_with("</svg>\n"));
    }
}
