//! A record whose like was seen before is decoded without asking for memory.

use codec::{Decoded, Format, LabelSetting, Settings};

mod common;
use common::capture;

#[global_allocator]
static METER: meter::Meter = meter::Meter;

/// Decodes a capture twice into the same buffer, and looks at the second time.
fn check(name: &str, format: &str, settings: &Settings, good: impl Fn(&Decoded) -> bool) {
    let format = Format::new(format, settings).expect("a plan");
    let batch = capture(name);
    let mut decoded = Decoded::default();
    let (mut samples, mut allocations) = (0, 0);
    for round in 0..2 {
        for place in 0..batch.records.len() {
            let record = batch.record(place);
            decoded.clear();
            let before = meter::allocations();
            format.decode(&batch.topic, &record, &mut decoded);
            if round == 1 && good(&decoded) {
                samples += decoded.samples.len();
                allocations += meter::allocations() - before;
            }
        }
    }
    assert!(samples > 500, "{name}: {samples}");
    assert_eq!(allocations, 0, "{name}");
    let before = meter::allocations();
    drop(vec![0_u8; 100]);
    assert_eq!(meter::allocations() - before, 1, "the meter counts");
}

#[test]
fn good_records_allocate_nothing() {
    let good = |decoded: &Decoded| decoded.rejects.is_empty();
    check("telegraf-influx", "influx", &Settings::default(), good);
    check("otel-host-proto", "otlp_proto", &Settings::default(), good);
    let settings = Settings {
        value: Some("/fields/*".to_owned()),
        name: Some("{/name}.{*}".to_owned()),
        labels: vec![("*".to_owned(), LabelSetting::Template("/tags".to_owned()))],
        time: Some("/timestamp".to_owned()),
        time_unit: Some("s".to_owned()),
        ..Settings::default()
    };
    check("telegraf-json", "json", &settings, good);
    let settings = Settings {
        value: Some("/0/values/0".to_owned()),
        name: Some("{/0/plugin}.{/0/type}".to_owned()),
        labels: vec![("host".to_owned(), LabelSetting::Template("/0/host".to_owned()))],
        time: Some("/0/time".to_owned()),
        time_unit: Some("s".to_owned()),
        ..Settings::default()
    };
    check("collectd-json-raw", "json", &settings, good);
}
