//! Windows and downsamplings, as they are written: `sliding 5m every 30s`, `batching 1d in Europe/Amsterdam`, `p95`.

use crate::fields::{items, text, wrong};
use crate::problem::{Problems, suggest};
use crate::raw::Node;
use jiff::tz::TimeZoneDatabase;
use model::Span;
use model::definition::{Downsampling, Window};
use std::sync::Arc;

const SECOND: i64 = 1_000_000_000;
pub(crate) const DAY: Span = Span::from_secs(86_400);
/// A window is made of panes; more of them than this would cost more than anybody wants to pay.
const MOST_SLIDES: i64 = 10_000;

/// Reads a window; `zone` is that of batches without one.
pub(crate) fn window(node: &Node, zone: &Arc<str>, problems: &mut Problems) -> Option<Window> {
    const WANTED: &str = "a window such as `sliding 5m every 30s` or `batching 1h`";
    let written = text(node, WANTED, problems)?;
    let (kind, rest) = written.trim().split_once(' ').unwrap_or((&written, ""));
    let read = match kind {
        "sliding" => sliding(rest),
        "batching" => batching(rest, zone),
        _ => {
            let problem = wrong(node, WANTED, problems);
            if let Some(kind) = crate::problem::nearest(kind, ["sliding", "batching"]) {
                problem.help(format!("did you mean `{kind} {rest}`?"));
            }
            return None;
        }
    };
    match read {
        Ok(window) => Some(window),
        Err((message, help)) => {
            let problem = problems.error(&node.place, format!("{}: {message}", node.path));
            problem.help = help;
            None
        }
    }
}

type Refusal = (String, Option<String>);

/// What stands after `sliding`: the width, and how often a window ends.
fn sliding(rest: &str) -> Result<Window, Refusal> {
    let (width, every) = match rest.split_once(" every ") {
        Some((width, every)) => (size(width)?, Some(size(every)?)),
        None => (size(rest)?, None),
    };
    let slide = match every {
        Some(slide) => slide,
        None if width.nanos() % SECOND == 0 => default_slide(width),
        None => {
            let message = format!("a width of {width} has no slide in whole seconds");
            return Err((message, Some("write how often it ends: `every 500ms`".into())));
        }
    };
    if width.nanos() % slide.nanos() != 0 {
        let below = Span::from_nanos(width.nanos() / slide.nanos() * slide.nanos());
        let message = format!("a width of {width} is no multiple of {slide}");
        let near = if below > Span::ZERO { below } else { slide };
        return Err((message, Some(format!("`sliding {near} every {slide}` is one"))));
    }
    if width.nanos() / slide.nanos() > MOST_SLIDES {
        return Err((format!("{width} is more than {MOST_SLIDES} times {slide}"), None));
    }
    Ok(Window::Sliding { width, slide })
}

/// The least divisor of the width in whole seconds that is at least a sixth of it.
fn default_slide(width: Span) -> Span {
    let seconds = width.nanos() / SECOND;
    // A sixth, a fifth and so on down to the whole: the first that comes out in whole seconds.
    let parts = (1..=6).rev().find(|parts| seconds % parts == 0).unwrap_or(1);
    Span::from_secs(seconds / parts)
}

/// What stands after `batching`: the size, and the zone whose clock bounds it.
fn batching(rest: &str, zone: &Arc<str>) -> Result<Window, Refusal> {
    let (size_text, zone) = match rest.split_once(" in ") {
        Some((size, name)) => {
            let zone = self::zone(name.trim());
            (size, zone.map_err(|help| (format!("`{}` is no time zone that is known", name.trim()), Some(help)))?)
        }
        None => (rest, zone.clone()),
    };
    let size = size(size_text)?;
    if size > DAY && size.nanos() % DAY.nanos() != 0 {
        let days = size.nanos() / DAY.nanos();
        let message = format!("a batch of {size} is longer than a day, and no whole days");
        return Err((message, Some(format!("write `batching {days}d` or `batching {}d`", days + 1))));
    }
    Ok(Window::Batching { size, zone })
}

fn size(text: &str) -> Result<Span, Refusal> {
    let text = text.trim();
    match text.parse::<Span>() {
        Ok(span) if span >= Span::from_secs(1) => Ok(span),
        Ok(span) => Err((format!("{span} found, at least 1s wanted"), None)),
        Err(_) if text.is_empty() => Err(("a size such as 5m is missing".into(), None)),
        Err(_) => {
            let help = text.parse::<f64>().is_ok().then(|| format!("write the unit: `{text}s` or `{text}m`"));
            Err((format!("`{text}` found, a duration such as 30s or 1h wanted"), help))
        }
    }
}

/// A time zone by its IANA name, as the database spells it; else what was perhaps meant. The database that is
/// built in is the same everywhere, so a configuration means the same on every machine.
pub(crate) fn zone(name: &str) -> Result<Arc<str>, String> {
    let database = TimeZoneDatabase::bundled();
    if let Ok(zone) = database.get(name) {
        return Ok(zone.iana_name().unwrap_or(name).into());
    }
    let known: Vec<String> = database.available().map(|zone| zone.to_string()).collect();
    match crate::problem::nearest(name, known.iter().map(String::as_str)) {
        Some(near) => Err(format!("did you mean `{near}`?")),
        None => Err("zones have IANA names, such as Europe/Amsterdam".into()),
    }
}

/// Reads a time zone.
pub(crate) fn zone_setting(node: &Node, problems: &mut Problems) -> Option<Arc<str>> {
    let name = text(node, "a time zone such as Europe/Amsterdam", problems)?;
    zone(&name)
        .map_err(|help| {
            problems.error(&node.place, format!("{}: `{name}` is no time zone that is known", node.path)).help(help);
        })
        .ok()
}

/// A window as it is written where `zone` is that of batches which name none.
pub(crate) fn as_written(window: &Window, zone: &str) -> String {
    match window {
        Window::Batching { size, zone: own } if **own == *zone => format!("batching {size}"),
        Window::Batching { size, zone: own } => format!("batching {size} in {own}"),
        Window::Sliding { .. } => window.to_string(),
    }
}

/// The longest time that one window of this kind takes. A local day is an hour longer when clocks go back.
pub(crate) fn width(window: &Window) -> Span {
    match window {
        Window::Sliding { width, .. } => *width,
        Window::Batching { size, zone } if &**zone == "UTC" => *size,
        Window::Batching { size, .. } => *size + Span::from_secs(3600),
    }
}

const WORDS: [(&str, Downsampling); 7] = [
    ("average", Downsampling::Average),
    ("minimum", Downsampling::Minimum),
    ("maximum", Downsampling::Maximum),
    ("sum", Downsampling::Sum),
    ("count", Downsampling::Count),
    ("last", Downsampling::Last),
    ("rate", Downsampling::Rate),
];

/// Reads one downsampling or several.
pub(crate) fn downsampling(node: &Node, problems: &mut Problems) -> Vec<Downsampling> {
    const WANTED: &str = "a downsampling such as average or p95";
    let mut all = Vec::new();
    if items(node).is_empty() {
        wrong(node, WANTED, problems);
    }
    for item in items(node) {
        let Some(word) = text(item, WANTED, problems) else { continue };
        let known = WORDS.iter().find(|(name, _)| *name == word).map(|(_, downsampling)| *downsampling);
        match known.or_else(|| percentile(&word)) {
            Some(downsampling) if all.contains(&downsampling) => {
                problems.error(&item.place, format!("{}: `{word}` is written twice", item.path));
            }
            Some(downsampling) => all.push(downsampling),
            None => {
                let short = [("min", "minimum"), ("max", "maximum"), ("avg", "average"), ("mean", "average")];
                let help = match short.iter().find(|(short, _)| *short == word) {
                    Some((_, name)) => format!("did you mean `{name}`?"),
                    None if word == "median" => "did you mean `p50`?".into(),
                    None => suggest(&word, WORDS.iter().map(|(name, _)| *name).chain(["p95"])),
                };
                wrong(item, WANTED, problems).help(help);
            }
        }
    }
    all
}

/// `p95`, `p99.9`: at most three decimals, above 0 and at most 100.
fn percentile(word: &str) -> Option<Downsampling> {
    let digits = word.strip_prefix('p')?;
    let (whole, decimals) = digits.split_once('.').unwrap_or((digits, "0"));
    let plain = |text: &str| !text.is_empty() && text.len() <= 3 && text.bytes().all(|byte| byte.is_ascii_digit());
    if !plain(whole) || !plain(decimals) {
        return None;
    }
    let thousandths = whole.parse::<u32>().ok()? * 1000 + format!("{decimals:0<3}").parse::<u32>().ok()?;
    (1..=100_000).contains(&thousandths).then_some(Downsampling::Percentile(thousandths))
}
