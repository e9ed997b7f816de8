//! OpenTelemetry: each service tells its requests and their durations through a Collector, which writes
//! unframed `ExportMetricsServiceRequest`s without a key. Only the parts of the protocol that are written stand here.

use crate::{Fault, Moment, Output, random::Random};
use model::{Span, Time};
use prost::Message;

pub(crate) const TOPIC: &str = "otlp_metrics";

/// Services, how many requests each gets in a second, and how many milliseconds an answer takes.
const SERVICES: [(&str, f64, f64); 8] = [
    ("web", 40.0, 60.0),
    ("checkout", 12.0, 110.0),
    ("payments", 12.0, 80.0),
    ("cart", 12.0, 15.0),
    ("catalogue", 25.0, 25.0),
    ("search", 10.0, 45.0),
    ("recommendation", 15.0, 35.0),
    ("shipping", 3.0, 50.0),
];

/// Who asks whom, by name; how often follows from the one that is asked.
const CALLS: [(&str, &str); 5] = [
    ("web", "catalogue"),
    ("web", "checkout"),
    ("checkout", "payments"),
    ("checkout", "cart"),
    ("payments", "card gateway"),
];

const CLASSES: [&str; 3] = ["2xx", "4xx", "5xx"];

/// Upper bounds of the buckets of durations, in milliseconds.
const BOUNDS: [f64; 8] = [5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0];

/// What the services have counted since they were started.
pub(crate) struct Services {
    started: Time,
    served: [Served; SERVICES.len()],
    asked: [[u64; CLASSES.len()]; CALLS.len()],
}

#[derive(Clone, Copy, Default)]
struct Served {
    by_class: [u64; CLASSES.len()],
    count: u64,
    sum_ms: f64,
    buckets: [u64; BOUNDS.len() + 1],
}

impl Services {
    pub(crate) fn new(started: Time) -> Services {
        Services { started, served: [Served::default(); SERVICES.len()], asked: [[0; CLASSES.len()]; CALLS.len()] }
    }

    /// Serves a second, and writes what is exported in it: each service every two seconds.
    pub(crate) fn write(&mut self, moment: &Moment, random: &mut Random, outputs: &mut Vec<Output>) {
        for (served, (service, rate, duration_ms)) in self.served.iter_mut().zip(SERVICES) {
            serve(served, service, rate, duration_ms, moment, random);
        }
        for (asked, (_, to)) in self.asked.iter_mut().zip(CALLS) {
            let rate = SERVICES.iter().find(|service| service.0 == to).map_or(12.0, |service| service.1);
            count(asked, random.around(rate, 0.2).round() as u64, failing(to, moment), random);
        }
        for place in 0..SERVICES.len() {
            if (moment.second + place as i64) % 2 == 0 {
                let time = moment.time - Span::from_millis(random.below(400) as i64);
                let value = self.export(place, time).encode_to_vec();
                outputs.push(Output { topic: TOPIC, key: None, value, headers: Vec::new(), time: moment.time });
            }
        }
    }

    fn export(&self, place: usize, time: Time) -> ExportMetricsServiceRequest {
        let (service, served) = (SERVICES[place].0, &self.served[place]);
        let window = (self.started, time);
        let requests = CLASSES
            .iter()
            .zip(served.by_class)
            .map(|(class, count)| number(window, count, vec![text("http.route", "/"), text("status_class", class)]));
        let mut metrics = vec![
            sum("http.server.requests", requests.collect()),
            Metric {
                name: "http.server.duration".into(),
                unit: "ms".into(),
                data: Some(Data::Histogram(Histogram {
                    data_points: vec![HistogramDataPoint {
                        start_time_unix_nano: nanos(window.0),
                        time_unix_nano: nanos(time),
                        count: served.count,
                        sum: Some(served.sum_ms),
                        bucket_counts: served.buckets.to_vec(),
                        explicit_bounds: BOUNDS.to_vec(),
                        attributes: vec![text("http.route", "/")],
                    }],
                    aggregation_temporality: CUMULATIVE,
                })),
            },
        ];
        let calls: Vec<NumberDataPoint> = CALLS
            .iter()
            .zip(&self.asked)
            .filter(|((from, _), _)| *from == service)
            .flat_map(|((_, to), asked)| CLASSES.iter().zip(asked).map(move |(class, count)| (to, class, *count)))
            .map(|(to, class, count)| {
                number(window, count, vec![text("peer.service", to), text("status_class", class)])
            })
            .collect();
        if !calls.is_empty() {
            metrics.push(sum("http.client.requests", calls));
        }
        let attributes = vec![text("service.name", service), text("telemetry.sdk.language", "java")];
        let scope = Some(Scope { name: "shop.http".into(), version: "1.4.2".into() });
        ExportMetricsServiceRequest {
            resource_metrics: vec![ResourceMetrics {
                resource: Some(Resource { attributes }),
                scope_metrics: vec![ScopeMetrics { scope, metrics }],
            }],
        }
    }
}

/// The share of requests that the service fails.
fn failing(service: &str, moment: &Moment) -> f64 {
    match service {
        "payments" if moment.broken(Fault::FailingRelation) => 0.4,
        "catalogue" if moment.broken(Fault::ErrorBurst) => 0.05,
        _ => 0.002,
    }
}

fn serve(served: &mut Served, service: &str, rate: f64, duration_ms: f64, moment: &Moment, random: &mut Random) {
    let requests = random.around(rate, 0.2).round() as u64;
    count(&mut served.by_class, requests, failing(service, moment), random);
    let waits = service == "checkout" && moment.broken(Fault::SlowDatabase);
    for _ in 0..requests {
        let took = random.around(if waits { 1400.0 } else { duration_ms }, 0.6);
        served.count += 1;
        served.sum_ms += took;
        let bucket = BOUNDS.iter().position(|bound| took <= *bound).unwrap_or(BOUNDS.len());
        served.buckets[bucket] += 1;
    }
}

fn count(by_class: &mut [u64; CLASSES.len()], requests: u64, failing: f64, random: &mut Random) {
    let failed = random.share(requests, failing);
    let refused = random.share(requests - failed, 0.01);
    by_class[0] += requests - failed - refused;
    by_class[1] += refused;
    by_class[2] += failed;
}

fn nanos(time: Time) -> u64 {
    time.nanos().unsigned_abs()
}

fn text(key: &str, value: &str) -> KeyValue {
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(Any::Text(value.into())) }) }
}

fn number((started, time): (Time, Time), value: u64, attributes: Vec<KeyValue>) -> NumberDataPoint {
    NumberDataPoint {
        start_time_unix_nano: nanos(started),
        time_unix_nano: nanos(time),
        value: Some(Number::Int(value as i64)),
        attributes,
    }
}

fn sum(name: &str, data_points: Vec<NumberDataPoint>) -> Metric {
    let sum = Sum { data_points, aggregation_temporality: CUMULATIVE, is_monotonic: true };
    Metric { name: name.into(), unit: "1".into(), data: Some(Data::Sum(sum)) }
}

/// `AGGREGATION_TEMPORALITY_CUMULATIVE`.
const CUMULATIVE: i32 = 2;

#[derive(Clone, PartialEq, Message)]
struct ExportMetricsServiceRequest {
    #[prost(message, repeated, tag = "1")]
    resource_metrics: Vec<ResourceMetrics>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceMetrics {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scope_metrics: Vec<ScopeMetrics>,
}

#[derive(Clone, PartialEq, Message)]
struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeMetrics {
    #[prost(message, optional, tag = "1")]
    scope: Option<Scope>,
    #[prost(message, repeated, tag = "2")]
    metrics: Vec<Metric>,
}

#[derive(Clone, PartialEq, Message)]
struct Scope {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    version: String,
}

#[derive(Clone, PartialEq, Message)]
struct Metric {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "3")]
    unit: String,
    #[prost(oneof = "Data", tags = "7, 9")]
    data: Option<Data>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Data {
    #[prost(message, tag = "7")]
    Sum(Sum),
    #[prost(message, tag = "9")]
    Histogram(Histogram),
}

#[derive(Clone, PartialEq, Message)]
struct Sum {
    #[prost(message, repeated, tag = "1")]
    data_points: Vec<NumberDataPoint>,
    #[prost(int32, tag = "2")]
    aggregation_temporality: i32,
    #[prost(bool, tag = "3")]
    is_monotonic: bool,
}

#[derive(Clone, PartialEq, Message)]
struct NumberDataPoint {
    #[prost(fixed64, tag = "2")]
    start_time_unix_nano: u64,
    #[prost(fixed64, tag = "3")]
    time_unix_nano: u64,
    #[prost(oneof = "Number", tags = "6")]
    value: Option<Number>,
    #[prost(message, repeated, tag = "7")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Number {
    #[prost(sfixed64, tag = "6")]
    Int(i64),
}

#[derive(Clone, PartialEq, Message)]
struct Histogram {
    #[prost(message, repeated, tag = "1")]
    data_points: Vec<HistogramDataPoint>,
    #[prost(int32, tag = "2")]
    aggregation_temporality: i32,
}

#[derive(Clone, PartialEq, Message)]
struct HistogramDataPoint {
    #[prost(fixed64, tag = "2")]
    start_time_unix_nano: u64,
    #[prost(fixed64, tag = "3")]
    time_unix_nano: u64,
    #[prost(fixed64, tag = "4")]
    count: u64,
    #[prost(double, optional, tag = "5")]
    sum: Option<f64>,
    #[prost(fixed64, repeated, tag = "6")]
    bucket_counts: Vec<u64>,
    #[prost(double, repeated, tag = "7")]
    explicit_bounds: Vec<f64>,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct AnyValue {
    #[prost(oneof = "Any", tags = "1")]
    value: Option<Any>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Any {
    #[prost(string, tag = "1")]
    Text(String),
}
