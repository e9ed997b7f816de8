//! Labelled series as files: `timestamp`, `value` and, where known, `label`.

use model::Time;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// A point and whether people called it anomalous.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// When.
    pub at: Time,
    /// What was measured.
    pub value: f64,
    /// Whether it is labelled as an anomaly.
    pub label: bool,
}

/// A series. Its points are in the order of the file; one that goes back in time is late, as it would be on a stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Its path below the folder it was read from.
    pub name: String,
    /// Its points.
    pub rows: Vec<Row>,
    /// Whether the file has a column `label`.
    pub labelled: bool,
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum SeriesError {
    /// It cannot be read or written.
    #[error("{path}: {error}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// A line is not what is wanted.
    #[error("{path}:{line}: {what}")]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What was found and what is wanted.
        what: String,
    },
    /// A folder without series.
    #[error("{path}: no .csv file with the columns `timestamp` and `value` is in this folder")]
    Empty {
        /// The folder.
        path: PathBuf,
    },
}

/// All series of a folder and the folders in it, by name.
///
/// # Errors
/// Where a file cannot be read, a line is not what is wanted, or there is no series.
pub fn read_folder(folder: &Path) -> Result<Vec<Series>, SeriesError> {
    let mut files = Vec::new();
    find(folder, &mut files)?;
    files.sort();
    if files.is_empty() {
        return Err(SeriesError::Empty { path: folder.to_owned() });
    }
    files.iter().map(|file| read_file(folder, file)).collect()
}

fn find(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), SeriesError> {
    let failed = |error| SeriesError::Io { path: folder.to_owned(), error };
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() {
            find(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "csv") {
            files.push(path);
        }
    }
    Ok(())
}

fn read_file(folder: &Path, path: &Path) -> Result<Series, SeriesError> {
    let text = std::fs::read_to_string(path).map_err(|error| SeriesError::Io { path: path.to_owned(), error })?;
    let name = path.strip_prefix(folder).unwrap_or(path).display().to_string();
    parse(name, &text).map_err(|(line, what)| SeriesError::Line { path: path.to_owned(), line, what })
}

/// The series of a file's text; otherwise the line, and what was found there and is wanted.
///
/// # Errors
/// Where a column is missing or a cell is not what is wanted.
pub fn parse(name: String, text: &str) -> Result<Series, (usize, String)> {
    let mut lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim_end_matches('\r')));
    let (_, head) =
        lines.next().ok_or((1, "the file is empty; a line `timestamp,value` is wanted first".to_owned()))?;
    let column = |wanted: &str| head.split(',').position(|name| name.trim().trim_matches('"') == wanted);
    let missing = |wanted: &str| {
        (
            1,
            format!(
                "there is no column `{wanted}` in `{head}`; `timestamp,value` or \
        `timestamp,value,label` is wanted"
            ),
        )
    };
    let timestamp = column("timestamp").ok_or_else(|| missing("timestamp"))?;
    let value = column("value").ok_or_else(|| missing("value"))?;
    let label = column("label");
    let mut rows: Vec<Row> = Vec::new();
    for (number, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
        let cell = |place: usize| line.split(',').nth(place).unwrap_or_default().trim().trim_matches('"');
        let row = row(cell(timestamp), cell(value), label.map(cell)).map_err(|what| (number, what))?;
        rows.push(row);
    }
    Ok(Series { name, rows, labelled: label.is_some() })
}

fn row(timestamp: &str, value: &str, label: Option<&str>) -> Result<Row, String> {
    let at = instant(timestamp).ok_or_else(|| {
        format!("`{timestamp}` is no time; epoch seconds, 2026-03-01T12:00:00Z or 2026-03-01 12:00:00 is wanted")
    })?;
    let number = value.parse().ok().filter(|number: &f64| number.is_finite());
    let value = number.ok_or_else(|| format!("`{value}` is no value; a finite number is wanted"))?;
    let label = match label {
        None | Some("0" | "0.0") => false,
        Some("1" | "1.0") => true,
        Some(other) => return Err(format!("`{other}` is no label; 0 or 1 is wanted")),
    };
    Ok(Row { at, value, label })
}

/// Epoch seconds, RFC 3339, or `2014-04-01 12:00:00` with or without decimals, which is taken as UTC.
pub fn instant(text: &str) -> Option<Time> {
    if let Ok(seconds) = text.parse::<i64>() {
        return seconds.checked_mul(1_000_000_000).map(Time::from_nanos);
    }
    if let Ok(seconds) = text.parse::<f64>() {
        let nanos = (seconds * 1e9).round();
        return (nanos.abs() < 9e18).then_some(Time::from_nanos(nanos as i64));
    }
    if let Ok(time) = text.parse() {
        return Some(time);
    }
    let civil: jiff::civil::DateTime = text.parse().ok()?;
    let instant = jiff::tz::TimeZone::UTC.to_timestamp(civil).ok()?;
    i64::try_from(instant.as_nanosecond()).ok().map(Time::from_nanos)
}

/// A series as the text of a file that [`parse`] reads.
pub fn print(series: &Series) -> String {
    let mut text = String::from("timestamp,value,label\n");
    for row in &series.rows {
        let _ = writeln!(text, "{},{},{}", row.at.nanos().div_euclid(1_000_000_000), row.value, u8::from(row.label));
    }
    text
}
