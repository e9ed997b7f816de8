//! A plot as SVG: self-contained, light or dark as its reader's system is.

use super::{Plot, Point, Scale, brief, cut, time_ticks, value_ticks};
use std::fmt::Write as _;

const WIDTH: f64 = 1120.0;
const HEIGHT: f64 = 440.0;
const LEFT: f64 = 72.0;
const RIGHT: f64 = WIDTH - 24.0;
const TOP: f64 = 84.0;
const BOTTOM: f64 = HEIGHT - 44.0;

const STYLE: &str = "
  svg { background: #ffffff; font: 13px system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif; }
  .title { font-size: 17px; font-weight: 600; fill: #1b1f24; }
  .words { fill: #59636e; }
  .grid { stroke: #e4e8ec; }
  .axis { stroke: #8c959f; }
  .band { fill: #0969da; fill-opacity: 0.16; stroke: #0969da; stroke-opacity: 0.35; stroke-width: 1; }
  .average { fill: none; stroke: #0969da; stroke-opacity: 0.7; stroke-dasharray: 4 3; }
  .series { fill: none; stroke: #1b1f24; stroke-width: 1.5; stroke-linejoin: round; stroke-linecap: round; }
  .mark { fill: #cf222e; stroke: #ffffff; stroke-width: 1; }
  @media (prefers-color-scheme: dark) {
    svg { background: #0d1117; }
    .title { fill: #f0f3f6; }
    .words { fill: #9ea7b3; }
    .grid { stroke: #262c36; }
    .axis { stroke: #656d78; }
    .band { fill: #58a6ff; fill-opacity: 0.2; stroke: #58a6ff; }
    .average { stroke: #58a6ff; }
    .series { stroke: #f0f3f6; }
    .mark { fill: #ff6a61; stroke: #0d1117; }
  }
";

pub(crate) fn draw(plot: &Plot) -> String {
    let range = plot.values();
    let times = Scale::of_times(plot.times(), (LEFT, RIGHT));
    let values = Scale::new(range, (BOTTOM, TOP));
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
         viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">\n<title>{}</title>\n<desc>{}</desc>\n<style>{STYLE}</style>\n",
        escaped(&plot.title),
        escaped(&plot.subtitle)
    );
    let _ = writeln!(svg, "<text class=\"title\" x=\"{LEFT}\" y=\"30\">{}</text>", escaped(&plot.title));
    let _ = writeln!(svg, "<text class=\"words\" x=\"{LEFT}\" y=\"51\">{}</text>", escaped(&cut(&plot.subtitle, 150)));
    axes(&mut svg, plot, &times, &values);
    for run in plot.runs() {
        let few = fewer(run, &times);
        for banded in few.chunk_by(|a, b| a.band.is_some() == b.band.is_some()) {
            band(&mut svg, banded, &times, &values);
        }
        let line: Vec<(f64, f64)> = few.iter().map(|point| (times.time(point.at), values.place(point.value))).collect();
        path(&mut svg, "series", &line);
    }
    for (point, words) in plot.points.iter().filter_map(|point| Some((point, point.mark.as_ref()?))) {
        let (x, y) = (times.time(point.at), values.place(point.value));
        let _ = writeln!(
            svg,
            "<circle class=\"mark\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"><title>{}</title></circle>",
            escaped(words)
        );
    }
    legend(&mut svg, plot);
    svg.push_str("</svg>\n");
    svg
}

fn axes(svg: &mut String, plot: &Plot, times: &Scale, values: &Scale) {
    for (value, label) in value_ticks(plot.values(), 6) {
        let y = values.place(value);
        let _ = writeln!(svg, "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{RIGHT}\"/>");
        let _ = writeln!(
            svg,
            "<text class=\"words\" x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
            LEFT - 9.0,
            y + 4.5
        );
    }
    for (time, label) in time_ticks(plot.times(), &plot.zone, 11) {
        let x = times.time(time);
        let _ = writeln!(svg, "<path class=\"axis\" d=\"M{x:.1} {BOTTOM}v5\"/>");
        let _ = writeln!(
            svg,
            "<text class=\"words\" x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{label}</text>",
            BOTTOM + 20.0
        );
    }
    let _ = writeln!(svg, "<path class=\"axis\" d=\"M{LEFT} {BOTTOM}H{RIGHT}\"/>");
    if !plot.unit.is_empty() {
        let x = LEFT - 9.0;
        let unit = escaped(&plot.unit);
        let _ = writeln!(svg, "<text class=\"words\" x=\"{x}\" y=\"{}\" text-anchor=\"end\">{unit}</text>", TOP - 10.0);
    }
}

/// The band of points that all have one, or nothing.
fn band(svg: &mut String, run: &[&Point], times: &Scale, values: &Scale) {
    let bands = || run.iter().filter_map(|point| Some((times.time(point.at), point.band?)));
    if bands().next().is_none() {
        return;
    }
    let higher = bands().map(|(x, band)| (x, values.place(band.higher)));
    let lower = bands().collect::<Vec<_>>().into_iter().rev().map(|(x, band)| (x, values.place(band.lower)));
    let corners: Vec<String> = higher.chain(lower).map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let _ = writeln!(svg, "<polygon class=\"band\" points=\"{}\"/>", corners.join(" "));
    let average: Vec<(f64, f64)> = bands().map(|(x, band)| (x, values.place(band.average))).collect();
    path(svg, "average", &average);
}

fn path(svg: &mut String, class: &str, line: &[(f64, f64)]) {
    let mut way = String::new();
    for (place, (x, y)) in line.iter().enumerate() {
        let _ = write!(way, "{}{x:.1} {y:.1}", if place == 0 { "M" } else { "L" });
    }
    // One point by itself is a dot.
    let dot = if line.len() == 1 { "h0" } else { "" };
    let _ = writeln!(svg, "<path class=\"{class}\" d=\"{way}{dot}\"/>");
}

fn legend(svg: &mut String, plot: &Plot) {
    let marked = plot.points.iter().filter(|point| point.mark.is_some()).count();
    let _ = writeln!(
        svg,
        "<g transform=\"translate({:.1} 26)\">\
         <path class=\"series\" d=\"M0 0h22\"/><text class=\"words\" x=\"28\" y=\"4.5\">value</text>\
         <path class=\"band\" d=\"M82 -6h22v12h-22z\"/><path class=\"average\" d=\"M82 0h22\"/>\
         <text class=\"words\" x=\"110\" y=\"4.5\">expected</text>\
         <circle class=\"mark\" cx=\"188\" cy=\"0\" r=\"4\"/>\
         <text class=\"words\" x=\"198\" y=\"4.5\">deviates ({})</text></g>",
        RIGHT - 290.0,
        brief(marked as f64)
    );
}

/// No more points than can be seen: of those that fall on one place the first, the least and the greatest.
fn fewer<'a>(run: &'a [Point], times: &Scale) -> Vec<&'a Point> {
    let place = |point: &Point| times.time(point.at).floor() as i64;
    let mut few: Vec<&Point> = Vec::new();
    for column in run.chunk_by(|a, b| place(a) == place(b) && a.band.is_some() == b.band.is_some()) {
        let least = column.iter().min_by(|a, b| a.value.total_cmp(&b.value));
        let greatest = column.iter().max_by(|a, b| a.value.total_cmp(&b.value));
        let mut kept: Vec<&Point> = column.first().into_iter().chain(least).chain(greatest).collect();
        kept.sort_by_key(|point| point.at);
        kept.dedup_by_key(|point| point.at);
        few.append(&mut kept);
    }
    few
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
