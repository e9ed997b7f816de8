//! The picture for the page: what an event costs in each system, as bars on a scale of powers of ten, because the
//! differences are. It is SVG without a script, small, and readable on a light and on a dark page.

use crate::results::Row;
use crate::systems::SYSTEMS;
use std::fmt::Write as _;

const WIDTH: f64 = 860.0;
/// Where bars begin, and where the longest may end.
const LEFT: f64 = 330.0;
const RIGHT: f64 = 780.0;
const LINE: f64 = 22.0;
const BAR: f64 = 14.0;

/// One group of bars for each workload and number of series.
pub(crate) fn svg(rows: &[Row]) -> String {
    let rows: Vec<&Row> = rows.iter().filter(|row| row.runs > 0 && row.cost[0] > 0.0).collect();
    let least = rows.iter().map(|row| row.cost[0]).fold(f64::INFINITY, f64::min);
    let most = rows.iter().map(|row| row.cost[2]).fold(0.0, f64::max);
    let (low, high) = (least.log10().floor(), most.log10().ceil().max(least.log10().floor() + 1.0));
    let x = |cost: f64| LEFT + (RIGHT - LEFT) * (cost.log10() - low) / (high - low);

    let mut body = String::new();
    let mut y = 34.0;
    let same = |one: &&Row, other: &&Row| {
        (&one.workload, one.series, one.events) == (&other.workload, other.series, other.events)
    };
    for group in rows.chunk_by(same) {
        let Row { workload, series, events, .. } = group[0];
        let millions = *events as f64 / 1e6;
        y += 12.0;
        let _ = writeln!(
            body,
            r#"<text class="head" x="8" y="{:.0}">{workload}, {series} series, {millions} million readings</text>"#,
            y + 11.0
        );
        y += LINE;
        for row in group {
            let what =
                SYSTEMS.iter().find(|system| system.name == row.system).map_or(&*row.system, |system| system.what);
            let class = if row.system.starts_with("ours") { "ours" } else { "other" };
            let [median, least, most] = row.cost;
            let (end, middle) = (x(median), y + BAR / 2.0);
            let _ =
                writeln!(body, r#"<text x="{:.0}" y="{:.0}" text-anchor="end">{what}</text>"#, LEFT - 8.0, y + 11.0);
            let _ = writeln!(
                body,
                r#"<rect class="{class}" x="{LEFT}" y="{y:.0}" width="{:.1}" height="{BAR}" rx="2"/>"#,
                (end - LEFT).max(1.0)
            );
            let _ = writeln!(body, r#"<path class="span" d="M{:.1} {middle:.0}H{:.1}"/>"#, x(least), x(most));
            let _ = writeln!(
                body,
                r#"<text x="{:.0}" y="{:.0}">{}</text>"#,
                x(most).max(end) + 6.0,
                y + 11.0,
                brief(median)
            );
            y += LINE;
        }
    }
    let height = y + 8.0;
    let mut scale = String::new();
    for power in low as i32..=high as i32 {
        let at = x(10_f64.powi(power));
        let _ = writeln!(scale, r#"<path class="grid" d="M{at:.1} 30V{:.0}"/>"#, height - 6.0);
        let _ = writeln!(scale, r#"<text x="{at:.1}" y="24" text-anchor="middle">{}</text>"#, 10_f64.powi(power));
    }
    format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0}" font-family="sans-serif" font-size="12">
<style>
text {{ fill: #57606a }} .head {{ font-weight: bold }} .ours {{ fill: #1a7f64 }} .other {{ fill: #8c96a0 }}
.span {{ stroke: #24292f; stroke-width: 1.5 }} .grid {{ stroke: #8c96a0; stroke-opacity: .35 }}
@media (prefers-color-scheme: dark) {{ text {{ fill: #b1bac4 }} .ours {{ fill: #3fb68b }} .span {{ stroke: #f0f6fc }} }}
</style>
<text class="head" x="8" y="24">CPU seconds for a million events</text>
{scale}{body}</svg>
"#
    )
}

/// Three digits are what such a figure is worth.
fn brief(cost: f64) -> String {
    let digits = (2.0 - cost.log10().floor()).clamp(0.0, 4.0) as usize;
    format!("{cost:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::{brief, svg};
    use crate::results::Row;

    fn row(system: &str, runs: usize, cost: [f64; 3]) -> Row {
        let (workload, system) = ("W1".to_owned(), system.to_owned());
        Row { workload, series: 10, system, runs, failed: 0, events: 1, cost, whole: 1.0, rate: 1.0, peak_mb: 1.0 }
    }

    #[test]
    fn figures_are_brief() {
        assert_eq!([0.0831, 0.9349, 8.31, 130.2].map(brief), ["0.0831", "0.935", "8.31", "130"]);
    }

    #[test]
    fn every_system_with_figures_has_a_bar() {
        let rows = [row("ours", 3, [0.1, 0.1, 0.2]), row("flink", 3, [1.0, 0.9, 1.1]), row("streams-eos", 0, [0.0; 3])];
        let svg = svg(&rows);
        assert_eq!(svg.matches("<rect").count(), 2);
        assert!(svg.contains(r#"class="ours" x="330" y="68" width="1.0""#), "{svg}");
        assert!(svg.contains("Flink, no shuffle, at least once"));
    }
}
