//! Whatever the bytes are, decoding gives samples, events and refusals, and never fails.

use codec::{Decoded, FORMATS, Format, LabelSetting, Settings};
use model::Time;
use model::record::Batch;
use proptest::prelude::*;
use std::sync::LazyLock;

mod common;
use common::{capture, decode, show};

/// One plan at least for each format.
static PLANS: LazyLock<Vec<Format>> = LazyLock::new(|| {
    let json = Settings {
        value: Some("/*/*".to_owned()),
        name: Some("{/*/name}{*}".to_owned()),
        labels: vec![
            ("*".to_owned(), LabelSetting::Template("/*/tags".to_owned())),
            ("beside".to_owned(), LabelSetting::Template("/0/*".to_owned())),
            ("key".to_owned(), LabelSetting::Key),
        ],
        time: Some("/timestamp".to_owned()),
        time_unit: Some("s".to_owned()),
        ..Settings::default()
    };
    let fields = Settings { value: Some("/fields/*".to_owned()), name: Some("{/name}.{*}".to_owned()), ..json.clone() };
    let fields = Settings { labels: Vec::new(), ..fields };
    let events = Settings { each: Some("".to_owned()), event_type: Some("/type".to_owned()), ..Settings::default() };
    let mut plans = vec![
        Format::new("json", &json).expect("a plan"),
        Format::new("json", &fields).expect("a plan"),
        Format::new("events", &events).expect("a plan"),
    ];
    for entry in FORMATS.iter().filter(|entry| entry.name != "json") {
        plans.push(Format::new(entry.name, &Settings::default()).expect("a plan"));
    }
    plans
});

static CAPTURES: LazyLock<Vec<Batch>> = LazyLock::new(|| {
    ["telegraf-influx", "telegraf-json", "otel-host-proto", "otel-sdk-proto", "collectd-json-raw", "icinga2-events"]
        .map(capture)
        .to_vec()
});

fn batch(value: &[u8]) -> Batch {
    let mut batch = Batch::new(0, "topic".into(), 0, Time::from_nanos(0));
    batch.push(0, Some(1_000), false, Some(b"\xFFkey"), Some(value), []);
    batch
}

/// Decodes with every plan, and looks at everything that comes out.
fn check(value: &[u8]) {
    let batch = batch(value);
    for plan in PLANS.iter() {
        let decoded: Decoded = decode(plan, &batch);
        assert!(decoded.samples.len() + decoded.events.len() + decoded.rejects.len() > 0, "{plan:?} says nothing");
        for sample in &decoded.samples {
            assert!(sample.value.is_finite());
            let key = decoded.slice(&sample.series);
            let valid = key.split(|byte| *byte == 0xFF).all(|part| std::str::from_utf8(part).is_ok());
            assert!(valid, "{plan:?}: {}", show(key));
            assert_eq!(key.iter().filter(|byte| **byte == 0xFF).count() % 2, 0, "{plan:?}: {}", show(key));
        }
        for event in &decoded.events {
            let body = decoded.slice(&event.body);
            let parsed: Result<serde_json::Value, _> = serde_json::from_slice(body);
            let too_large = |error: &serde_json::Error| error.to_string().contains("number out of range");
            assert!(parsed.as_ref().is_ok_and(|body| body.is_object()) || parsed.is_err_and(|e| too_large(&e)));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_bytes(value in proptest::collection::vec(any::<u8>(), 1..200)) {
        check(&value);
    }

    #[test]
    fn any_text_with_much_punctuation(value in r#"([a-z0-9.,=\\ \n"\[\]{}:/#-]|"[a-z]*"){1,80}"#) {
        check(value.as_bytes());
    }

    #[test]
    fn captured_records_with_wrong_bytes(
        which in any::<prop::sample::Index>(),
        place in any::<prop::sample::Index>(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
        shorter in any::<bool>(),
    ) {
        let batch = which.get(&CAPTURES);
        let mut value = batch.record(place.index(batch.records.len())).value.expect("a value").to_vec();
        for (at, byte) in changes {
            let at = at.index(value.len());
            value[at] = byte;
        }
        if shorter {
            value.truncate(1 + cut.index(value.len()));
        }
        check(&value);
    }

    #[test]
    fn line_protocol_escapes_round_trip(
        measurement in "[^\\\\\r\n\u{0}#\" ][^\\\\\r\n]{0,8}",
        tag in ("[^\\\\\r\n]{1,8}", "[^\\\\\r\n]{1,8}"),
        field in "[^\\\\\r\n]{1,8}",
        value in any::<f64>().prop_filter("finite", |value| value.is_finite()),
    ) {
        let escape = |text: &str, special: &[char]| {
            let mut escaped = String::new();
            for character in text.chars() {
                if special.contains(&character) {
                    escaped.push('\\');
                }
                escaped.push(character);
            }
            escaped
        };
        let (all, name) = ([',', '=', ' '], [',', ' ']);
        let line = format!(
            "{},{}={} {}={value} 7\n",
            escape(&measurement, &name), escape(&tag.0, &all), escape(&tag.1, &all), escape(&field, &all)
        );
        let decoded = decode(&Format::new("influx", &Settings::default()).expect("a plan"), &batch(line.as_bytes()));
        prop_assert_eq!(decoded.rejects, vec![], "{}", line);
        let sample = &decoded.samples[0];
        let (found, labels) = codec::series(&decoded.bytes[sample.series.start as usize..sample.series.end as usize], |name| name.into());
        prop_assert_eq!(&*found, format!("{measurement}.{field}"));
        prop_assert_eq!(labels, model::Labels::new([(tag.0, tag.1)]));
        prop_assert_eq!((sample.value.to_bits(), sample.time.nanos()), (value.to_bits(), 7));
    }
}
