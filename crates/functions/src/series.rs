//! Points, series and tables of points as scripts see them. All are views into one block of numbers that
//! is shared, so that passing them around copies nothing.

use crate::baseline::Expected;
use crate::host::{error, worked};
use crate::statistics::{self, Line};
use crate::values::{NEVER, brief, incomparable, printable};
use model::definition::Downsampling;
use model::{Labels, Point, Reading, Span, Time};
use rhai::{Dynamic, Engine, EvalAltResult, ImmutableString, Map};
use std::sync::Arc;

type Result<T> = std::result::Result<T, Box<EvalAltResult>>;

/// Several points: of a series, oldest first; of a list, in the order of labels.
#[derive(Clone, Debug)]
pub(crate) struct Series(Arc<Block>);

/// One of the points of a series.
#[derive(Clone, Debug)]
pub(crate) struct PointView {
    block: Arc<Block>,
    place: usize,
}

/// Points by key.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    points: Series,
    rows: Arc<[(Labels, Arc<str>)]>,
}

/// One row of a table.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    table: Table,
    place: usize,
}

#[derive(Debug)]
struct Block {
    points: Vec<Bounds>,
    /// The values of all points, those of one side by side.
    values: Vec<f64>,
    /// What the values of one point are.
    downsample: Arc<[Downsampling]>,
}

#[derive(Debug)]
struct Bounds {
    start: Time,
    end: Time,
    count: u64,
    incomplete: bool,
    reading: Option<Reading>,
}

impl Series {
    /// Of these points, which are of one input.
    pub(crate) fn new<'a>(points: impl ExactSizeIterator<Item = &'a Point> + Clone) -> Series {
        let downsample = points.clone().next().map_or_else(|| Arc::new([]) as Arc<_>, |point| point.downsample.clone());
        let mut values = Vec::with_capacity(points.len() * downsample.len());
        let points = points.map(|point| {
            values.extend_from_slice(&point.values);
            Bounds {
                start: point.start,
                end: point.end,
                count: point.count,
                incomplete: point.incomplete,
                reading: point.baseline,
            }
        });
        Series(Arc::new(Block { points: points.collect(), values, downsample }))
    }

    /// The point at a place that is there.
    pub(crate) fn point(&self, place: usize) -> PointView {
        PointView { block: self.0.clone(), place }
    }

    fn len(&self) -> usize {
        self.0.points.len()
    }

    /// The values of all points; an error where there is none.
    fn values(&self) -> Result<Vec<f64>> {
        if self.len() == 0 {
            return Err(error("there are no points to reckon with"));
        }
        Ok(self.numbers())
    }

    fn numbers(&self) -> Vec<f64> {
        worked(self.len());
        self.0.values.iter().step_by(self.0.downsample.len().max(1)).copied().collect()
    }

    /// The point at an index that counts from the end where it is negative.
    fn at(&self, index: i64) -> Result<PointView> {
        match place_of(index, self.len()) {
            Some(place) => Ok(self.point(place)),
            None => Err(error(format!("there is no point {index}: there are {}", self.len()))),
        }
    }

    /// The line of least squares through the points' ends, in seconds before the last one.
    fn line(&self) -> Result<Line> {
        let values = self.values()?;
        let end = self.0.points[values.len() - 1].end;
        let seconds = self.0.points.iter().map(|point| (point.end - end).as_secs_f64());
        Ok(statistics::line(&seconds.zip(values).collect::<Vec<_>>()))
    }

    fn time_until(&self, limit: f64) -> Result<Span> {
        let Line { first, last, slope } = self.line()?;
        let crossed = (first <= limit && last >= limit) || (first >= limit && last <= limit);
        if crossed && (slope != 0.0 || last == limit) {
            return Ok(Span::ZERO);
        }
        let seconds = (limit - last) / slope;
        // Whole seconds: the line is not as exact as nanoseconds would look.
        Ok(if seconds >= 0.0 { Span::from_secs_f64(seconds.floor()).unwrap_or(NEVER) } else { NEVER })
    }
}

/// The place of an index that counts from the end where it is negative, among so many.
pub(crate) fn place_of(index: i64, len: usize) -> Option<usize> {
    let place = if index < 0 { index.checked_add(len as i64)? } else { index };
    usize::try_from(place).ok().filter(|place| *place < len)
}

impl PointView {
    fn value(&self) -> f64 {
        self.block.values[self.place * self.block.downsample.len()]
    }

    fn bounds(&self) -> &Bounds {
        &self.block.points[self.place]
    }

    /// What a script sees of the point's baseline; nothing where there is none.
    fn of_baseline<T: Clone + Send + Sync + 'static>(&self, read: impl FnOnce(Reading) -> Option<T>) -> Dynamic {
        self.bounds().reading.and_then(read).map_or(Dynamic::UNIT, Dynamic::from)
    }

    /// The number of this downsampling; `p99_9` stands for p99.9.
    fn downsampled(&self, name: &str) -> Result<f64> {
        let downsample = &self.block.downsample;
        let known = downsample.iter().map(Downsampling::to_string).collect::<Vec<_>>();
        let wanted = name.replace('_', ".");
        match known.iter().position(|known| *known == wanted) {
            Some(column) => Ok(self.block.values[self.place * downsample.len() + column]),
            None => Err(error(format!(
                "the point has no `{name}`: it has value, start, end, count, incomplete, baseline, deviation, score, {}; \
                 what else it should have stands under `downsample` of the input",
                known.join(", ")
            ))),
        }
    }
}

impl IntoIterator for Series {
    type Item = PointView;
    type IntoIter = Box<dyn Iterator<Item = PointView>>;
    fn into_iter(self) -> Self::IntoIter {
        Box::new((0..self.len()).map(move |place| self.point(place)))
    }
}

impl Table {
    /// Of these rows.
    pub(crate) fn new(rows: &[(Labels, Arc<str>, Point)]) -> Table {
        Table {
            points: Series::new(rows.iter().map(|(_, _, point)| point)),
            rows: rows.iter().map(|(labels, key, _)| (labels.clone(), key.clone())).collect(),
        }
    }

    fn get(&self, key: &str) -> Option<PointView> {
        self.rows.iter().position(|(_, known)| &**known == key).map(|place| self.points.point(place))
    }
}

impl IntoIterator for Table {
    type Item = Row;
    type IntoIter = Box<dyn Iterator<Item = Row>>;
    fn into_iter(self) -> Self::IntoIter {
        Box::new((0..self.rows.len()).map(move |place| Row { table: self.clone(), place }))
    }
}

/// What this module offers to scripts: as written there, and what it means.
pub(crate) const REFERENCE: &[(&str, &str)] = &[
    ("point.value", "the number that stands for the window: the first downsampling of the input"),
    (
        "point.average, point.p95, point.p99_9, ..",
        "each downsampling of the input by its name (average, minimum, maximum, sum, last, rate, percentiles); \
         one that the input does not name is an error",
    ),
    ("point.start, point.end, point.count", "the window's bounds, and how many samples lie in it"),
    (
        "point.baseline.average, point.baseline.lower, point.baseline.higher",
        "what the input's baseline expected of this window before it learned from it, with bounds in the metric's own \
         unit. `point.baseline` is `()` without a baseline, and while it has not learned enough",
    ),
    (
        "point.baseline.stale",
        "whether the baseline function failed, so that this is the last baseline that it gave for an earlier batch",
    ),
    (
        "point.deviation",
        "how far the value lies from the average: 0 there, 1 at the upper bound, -1 at the lower one; infinite beyond \
         a bound that is the average. `()` where there is no baseline",
    ),
    (
        "point.score",
        "how strongly an online model takes the value for an anomaly, 1 where it would alert; `()` where there is no \
         such model, and while it has not learned enough",
    ),
    ("point.incomplete", "whether records of this window were lost before they could be read"),
    ("series.len(), series.is_empty()", "how many points there are"),
    ("series[0], series[-1], series.first, series.last", "one point; negative indexes count from the end"),
    ("for point in series { .. }", "all points, oldest first"),
    ("series.values()", "the values as an array"),
    ("series.minimum(), series.maximum(), series.sum(), series.mean()", "of the points' values"),
    ("series.stddev()", "the standard deviation of the sample (divisor n - 1)"),
    ("series.median(), series.percentile(90)", "the median; a percentile by nearest rank"),
    ("series.mad()", "the median absolute deviation from the median, unscaled (Hampel 1974)"),
    ("series.slope()", "the rise in each second of the line of least squares through the ends of the windows"),
    ("series.forecast(d)", "the value of that line at the duration `d` after the last point"),
    (
        "series.time_until(limit)",
        "the duration until that line meets the limit, in whole seconds; 0s where it crossed it within the series, \
         never where it does not go there",
    ),
    ("table.len(), table.is_empty()", "how many rows a table has"),
    ("table.keys(), table.values()", "its keys as an array; its points as a series, with all statistics"),
    ("table.get(key), table[key]", "the point of a key, `()` where there is none"),
    ("for row in table { row.key, row.labels, row.value, row.point }", "all rows, in the order of their labels"),
];

/// A number of all values of a series, which has at least one.
type Statistic = fn(&[f64]) -> f64;

/// Registers the types and functions of this module.
pub(crate) fn register(engine: &mut Engine) {
    register_points(engine);
    register_series(engine);
    register_tables(engine);
}

fn register_points(engine: &mut Engine) {
    engine
        .register_type_with_name::<PointView>("point")
        .register_get("value", |point: &mut PointView| point.value())
        .register_get("start", |point: &mut PointView| point.bounds().start)
        .register_get("end", |point: &mut PointView| point.bounds().end)
        .register_get("count", |point: &mut PointView| point.bounds().count as i64)
        .register_get("incomplete", |point: &mut PointView| point.bounds().incomplete)
        .register_get("baseline", |point: &mut PointView| {
            point.of_baseline(|reading| Some(Expected { band: reading.band, stale: reading.stale }))
        })
        .register_get("deviation", |point: &mut PointView| {
            point.of_baseline(|reading| Some(reading.band.deviation(point.value())))
        })
        .register_get("score", |point: &mut PointView| point.of_baseline(|reading| reading.score))
        .register_indexer_get(|point: &mut PointView, name: ImmutableString| point.downsampled(&name));
    for name in ["average", "minimum", "maximum", "sum", "last", "rate", "p50", "p90", "p95", "p99", "p99_9"] {
        engine.register_get(name, move |point: &mut PointView| point.downsampled(name));
    }
    incomparable::<PointView>(engine, "; `.value` is the point's number");
    printable(engine, |point: &PointView| brief(point.value()));
}

fn register_series(engine: &mut Engine) {
    engine
        .register_type_with_name::<Series>("series")
        .register_get("len", |series: &mut Series| series.len() as i64)
        .register_fn("len", |series: &mut Series| series.len() as i64)
        .register_get("is_empty", |series: &mut Series| series.len() == 0)
        .register_fn("is_empty", |series: &mut Series| series.len() == 0)
        .register_get("first", |series: &mut Series| series.at(0))
        .register_fn("first", |series: &mut Series| series.at(0))
        .register_get("last", |series: &mut Series| series.at(-1))
        .register_fn("last", |series: &mut Series| series.at(-1))
        .register_indexer_get(|series: &mut Series, index: i64| series.at(index))
        .register_iterator::<Series>()
        .register_fn("forecast", |series: &mut Series, after: Span| {
            series.line().map(|line| line.last + line.slope * after.as_secs_f64())
        })
        .register_fn("slope", |series: &mut Series| series.line().map(|line| line.slope))
        .register_fn("time_until", |series: &mut Series, limit: f64| series.time_until(limit))
        .register_fn("time_until", |series: &mut Series, limit: i64| series.time_until(limit as f64));
    register_statistics(engine, Series::values, Series::numbers);
    incomparable::<Series>(engine, "; `.last.value` is its newest number");
    printable(engine, |series: &Series| format!("{} points", series.len()));
}

/// Registers statistics for a type with values: `values` gives them and is an error where there is none, `numbers`
/// gives none then.
pub(crate) fn register_statistics<T: Clone + Send + Sync + 'static>(
    engine: &mut Engine,
    values: fn(&T) -> Result<Vec<f64>>,
    numbers: fn(&T) -> Vec<f64>,
) {
    let of_values: [(&str, Statistic); 7] = [
        ("mean", statistics::mean),
        ("stddev", statistics::stddev),
        ("median", statistics::median),
        ("mad", statistics::mad),
        ("minimum", statistics::minimum),
        ("maximum", statistics::maximum),
        ("sum", |values| values.iter().sum()),
    ];
    for (name, statistic) in of_values {
        engine.register_fn(name, move |of: &mut T| values(of).map(|values| statistic(&values)));
    }
    let percentile = move |of: &T, percent: f64| match percent > 0.0 && percent <= 100.0 {
        true => Ok(statistics::percentile(&values(of)?, percent)),
        false => Err(error(format!("percentile({percent}) lies outside 0 to 100"))),
    };
    engine
        .register_fn("percentile", move |of: &mut T, percent: f64| percentile(of, percent))
        .register_fn("percentile", move |of: &mut T, percent: i64| percentile(of, percent as f64))
        .register_fn("values", move |of: &mut T| -> rhai::Array {
            numbers(of).into_iter().map(Dynamic::from).collect()
        });
}

fn register_tables(engine: &mut Engine) {
    let find = |table: &mut Table, key: ImmutableString| table.get(&key).map_or(Dynamic::UNIT, Dynamic::from);
    engine
        .register_type_with_name::<Table>("table")
        .register_get("len", |table: &mut Table| table.rows.len() as i64)
        .register_fn("len", |table: &mut Table| table.rows.len() as i64)
        .register_get("is_empty", |table: &mut Table| table.rows.is_empty())
        .register_fn("is_empty", |table: &mut Table| table.rows.is_empty())
        .register_fn("keys", |table: &mut Table| -> rhai::Array {
            table.rows.iter().map(|(_, key)| key.as_ref().into()).collect()
        })
        .register_fn("values", |table: &mut Table| table.points.clone())
        .register_fn("get", find)
        .register_indexer_get(find)
        .register_iterator::<Table>();
    incomparable::<Table>(engine, "");
    printable(engine, |table: &Table| format!("{} rows", table.rows.len()));
    engine
        .register_type_with_name::<Row>("row")
        .register_get("key", |row: &mut Row| ImmutableString::from(row.table.rows[row.place].1.as_ref()))
        .register_get("labels", |row: &mut Row| label_map(&row.table.rows[row.place].0))
        .register_get("point", |row: &mut Row| row.table.points.point(row.place))
        .register_get("value", |row: &mut Row| row.table.points.point(row.place).value());
    incomparable::<Row>(engine, "; `.value` is the row's number");
    printable(engine, |row: &Row| {
        format!("{}: {}", row.table.rows[row.place].1, brief(row.table.points.point(row.place).value()))
    });
}

/// Labels as a script's map.
pub(crate) fn label_map(labels: &Labels) -> Map {
    labels.iter().map(|(name, value)| (name.as_ref().into(), value.as_ref().into())).collect()
}

/// The name of the kind, for values of this module.
pub(crate) fn kind(value: &Dynamic) -> Option<&'static str> {
    match value {
        _ if value.is::<PointView>() => Some("point"),
        _ if value.is::<Series>() => Some("series"),
        _ if value.is::<Table>() => Some("table of points"),
        _ if value.is::<Row>() => Some("row"),
        _ => None,
    }
}

/// The number that a value of this module stands for.
pub(crate) fn number(value: &Dynamic) -> Option<f64> {
    match value.read_lock::<PointView>() {
        Some(point) => Some(point.value()),
        None => value.read_lock::<Row>().map(|row| row.table.points.point(row.place).value()),
    }
}

/// The numbers that a value of this module stands for.
pub(crate) fn numbers(value: &Dynamic) -> Option<Vec<f64>> {
    match value.read_lock::<Series>() {
        Some(series) => Some(series.numbers()),
        None => value.read_lock::<Table>().map(|table| table.points.numbers()),
    }
}
