//! A plot for a terminal: the series as dots of Braille, the band as shading, deviations as bullets.

use super::{Plot, Point, Scale, cut, time_ticks, value_ticks};
use std::fmt::Write as _;

const ROWS: usize = 18;
const SHADE: char = '░';
const MARK: char = '●';
/// Bits of a Braille character's dots, by column and row.
const DOTS: [[u8; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];

#[derive(Clone, Copy, Default)]
struct Cell {
    dots: u8,
    shaded: bool,
    marked: bool,
}

pub(crate) fn draw(plot: &Plot, width: usize, colour: bool) -> String {
    let range = plot.values();
    let labels = value_ticks(range, ROWS / 3);
    let gutter = labels.iter().map(|(_, text)| text.chars().count()).max().unwrap_or(1).max(1);
    let columns = width.saturating_sub(gutter + 3).max(16);
    let times = Scale::of_times(plot.times(), (0.0, columns as f64));
    let rows = Scale::new(range, (ROWS as f64, 0.0));
    let cells = cells(plot, columns, &times, &rows);

    let mut text = format!("{}\n", cut(&plot.title, width));
    let paint = |text: &str, code: &str| if colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() };
    let _ = writeln!(text, "{}", paint(&cut(&plot.subtitle, width), "2"));
    let row_of = |value: f64| (rows.place(value).floor().max(0.0) as usize).min(ROWS - 1);
    for (number, row) in cells.iter().enumerate() {
        let label = labels.iter().find(|(value, _)| row_of(*value) == number);
        let (label, tick) = label.map_or(("", '│'), |(_, label)| (label.as_str(), '┤'));
        let mut line = format!("{label:>gutter$} {tick}");
        for cell in row {
            match cell {
                Cell { marked: true, .. } => line.push_str(&paint(&MARK.to_string(), "1;31")),
                Cell { dots: 1.., .. } => {
                    let dots = char::from_u32(0x2800 + u32::from(cell.dots)).unwrap_or(' ');
                    line.push_str(&paint(&dots.to_string(), "1"));
                }
                Cell { shaded: true, .. } => line.push_str(&paint(&SHADE.to_string(), "34")),
                _ => line.push(' '),
            }
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text.push_str(&time_axis(plot, gutter, columns, &times));
    let unit = if plot.unit.is_empty() { String::new() } else { format!(", {}", plot.unit) };
    let (shade, mark) = (paint(&SHADE.to_string().repeat(2), "34"), paint(&MARK.to_string(), "1;31"));
    let _ = writeln!(text, "{:gutter$}  {} value{unit}   {shade} expected   {mark} deviates", "", paint("⣀⡠", "1"));
    text
}

fn cells(plot: &Plot, columns: usize, times: &Scale, rows: &Scale) -> Vec<Vec<Cell>> {
    let mut cells = vec![vec![Cell::default(); columns]; ROWS];
    let column_of = |point: &Point| (times.time(point.at).max(0.0) as usize).min(columns - 1);
    for run in plot.runs() {
        shade(&mut cells, run, times, rows);
        line(&mut cells, run, times, rows);
        for point in run.iter().filter(|point| point.mark.is_some()) {
            let row = (rows.place(point.value).max(0.0) as usize).min(ROWS - 1);
            cells[row][column_of(point)].marked = true;
        }
    }
    cells
}

/// The band of each column: from the least lower to the greatest upper bound of its points; between two points a
/// straight line.
fn shade(cells: &mut [Vec<Cell>], run: &[Point], times: &Scale, rows: &Scale) {
    let columns = cells[0].len();
    let mut bounds: Vec<Option<(f64, f64)>> = vec![None; columns];
    let mut widen = |column: f64, lower: f64, higher: f64| {
        let known = &mut bounds[(column.max(0.0) as usize).min(columns - 1)];
        let (low, high) = known.unwrap_or((lower, higher));
        *known = Some((low.min(lower), high.max(higher)));
    };
    for (place, point) in run.iter().enumerate() {
        let Some(band) = point.band else { continue };
        let column = times.time(point.at);
        widen(column, band.lower, band.higher);
        let next = run.get(place + 1).and_then(|next| Some((times.time(next.at), next.band?)));
        let Some((beyond, next)) = next else { continue };
        let mut between = column.floor() + 1.5;
        while between < beyond.floor() {
            let share = (between - column) / (beyond - column);
            let mix = |from: f64, upto: f64| from + (upto - from) * share;
            widen(between, mix(band.lower, next.lower), mix(band.higher, next.higher));
            between += 1.0;
        }
    }
    for (column, bound) in bounds.into_iter().enumerate() {
        let Some((lower, higher)) = bound else { continue };
        let (top, bottom) = (rows.place(higher), rows.place(lower));
        for (row, cells) in cells.iter_mut().enumerate() {
            let (from, upto) = (row as f64, row as f64 + 1.0);
            let covered = bottom.min(upto) - top.max(from);
            // A band thinner than a row is seen all the same.
            let holds_all = top >= from && bottom < upto;
            cells[column].shaded |= covered >= 0.5 || holds_all;
        }
    }
}

/// The series as a line of dots, two to a column and four to a row.
fn line(cells: &mut [Vec<Cell>], run: &[Point], times: &Scale, rows: &Scale) {
    let (across, down) = (cells[0].len() as i64 * 2, ROWS as i64 * 4);
    let place = |point: &Point| {
        let column = (times.time(point.at) * 2.0).floor() as i64;
        let row = (rows.place(point.value) * 4.0).floor() as i64;
        (column.clamp(0, across - 1), row.clamp(0, down - 1))
    };
    let mut dot = |(column, row): (i64, i64)| {
        cells[(row / 4) as usize][(column / 2) as usize].dots |= DOTS[(column % 2) as usize][(row % 4) as usize];
    };
    run.iter().take(1).for_each(|point| dot(place(point)));
    for pair in run.windows(2) {
        let (from, upto) = (place(&pair[0]), place(&pair[1]));
        let steps = (upto.0 - from.0).abs().max((upto.1 - from.1).abs()).max(1);
        for step in 1..=steps {
            let mix = |from: i64, upto: i64| from + ((upto - from) as f64 * step as f64 / steps as f64).round() as i64;
            dot((mix(from.0, upto.0), mix(from.1, upto.1)));
        }
    }
}

fn time_axis(plot: &Plot, gutter: usize, columns: usize, times: &Scale) -> String {
    let mut axis: Vec<char> = std::iter::repeat_n('─', columns).collect();
    let mut labels = vec![' '; gutter + 2 + columns];
    let mut free = 0;
    for (time, label) in time_ticks(plot.times(), &plot.zone, columns / 12) {
        let column = (times.time(time).max(0.0) as usize).min(columns - 1);
        let length = label.chars().count();
        let begin = (gutter + 2 + column).saturating_sub(length / 2).min(labels.len() - length);
        axis[column] = '┬';
        if begin >= free {
            labels[begin..begin + length].iter_mut().zip(label.chars()).for_each(|(place, letter)| *place = letter);
            free = begin + length + 1;
        }
    }
    let (axis, labels): (String, String) = (axis.into_iter().collect(), labels.into_iter().collect());
    format!("{:gutter$} └{axis}\n{}\n", "", labels.trim_end())
}
