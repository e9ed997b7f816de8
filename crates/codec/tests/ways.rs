//! Plans of format `json` that go the short way say the same of every record as those that go over the tape.
//! A `*` in a label sends a plan the long way; it points to what no document has.

use codec::{Decoded, Format, LabelSetting, Sample, Settings};
use model::Time;
use model::record::Batch;
use proptest::prelude::*;
use std::sync::LazyLock;

mod common;
use common::show;

fn template(name: &str, text: &str) -> (String, LabelSetting) {
    (name.to_owned(), LabelSetting::Template(text.to_owned()))
}

/// Settings for members named `a` to `d`: flat, nested, with several values, with much beside the document.
fn settings() -> Vec<Settings> {
    let text = |text: &str| Some(text.to_owned());
    let flat = Settings {
        value: text("/a"),
        name: text("n"),
        labels: vec![template("b", "/b")],
        time: text("/c"),
        time_unit: text("ms"),
        ..Settings::default()
    };
    let nested = Settings {
        value: text("/d/a"),
        name: text("{/b}.x"),
        labels: vec![template("c", "{/d/c}-{/c}"), template("deep", "/d/b/a"), ("key".to_owned(), LabelSetting::Key)],
        time: text("/d/b/c"),
        ..Settings::default()
    };
    let several = Settings {
        values: vec![("a".to_owned(), "/a".to_owned()), ("{/c}".to_owned(), "/b".to_owned())],
        labels: vec![
            template("constant", "x"),
            ("topic".to_owned(), LabelSetting::Topic),
            ("region".to_owned(), LabelSetting::Header("region".to_owned())),
            ("gone".to_owned(), LabelSetting::Header("gone".to_owned())),
        ],
        kind: text("/d"),
        kinds: vec![("b".to_owned(), "cumulative".to_owned())],
        ..Settings::default()
    };
    let clash = Settings { value: text("/a/b"), name: text("{/a}"), labels: vec![template("c", "/0")], ..flat.clone() };
    let odd =
        Settings { value: text("/a-longer-key-than-eight"), name: text("{/}{/ü}"), time: text("/b"), ..flat.clone() };
    vec![flat, nested, several, clash, odd]
}

/// For each of the settings the plan, and the one that goes the long way.
static PLANS: LazyLock<Vec<(Format, Format)>> = LazyLock::new(|| {
    let plan = |settings: &Settings| Format::new("json", settings).expect("a plan");
    let both = |short: Settings| {
        let mut long = short.clone();
        long.labels.push(template("*", "/no such member"));
        (plan(&short), plan(&long))
    };
    settings().into_iter().map(both).collect()
});

/// Records that are read one after the other into the same buffer, as a worker does: the short way may remember
/// those before.
fn check_all(values: &[&[u8]]) {
    let mut batch = Batch::new(0, "topic".into(), 0, Time::from_nanos(0));
    for (offset, value) in values.iter().enumerate() {
        let headers = [("region", Some(&b"eu"[..]))];
        batch.push(offset as i64, Some(1_000), false, Some(b"\xFFkey"), Some(value), headers);
    }
    for (short_plan, long_plan) in PLANS.iter() {
        let mut short = Decoded::default();
        for place in 0..values.len() {
            let record = batch.record(place);
            let mut long = Decoded::default();
            short.clear();
            short_plan.decode(&batch.topic, &record, &mut short);
            long_plan.decode(&batch.topic, &record, &mut long);
            let shown = values[..=place].iter().map(|value| String::from_utf8_lossy(value)).collect::<Vec<_>>();
            assert_eq!(text(&short), text(&long), "{shown:#?}");
            assert_eq!(short.bytes, long.bytes, "{shown:#?}");
        }
    }
}

/// All that was decoded, values to the last bit.
fn text(decoded: &Decoded) -> String {
    let sample = |sample: &Sample| {
        format!(
            "{} {:?} {:?} {:x}",
            show(decoded.slice(&sample.series)),
            sample.time,
            sample.kind,
            sample.value.to_bits()
        )
    };
    let samples: Vec<String> = decoded.samples.iter().map(sample).collect();
    format!("{samples:#?} {:#?}", decoded.rejects)
}

fn check(value: &[u8]) {
    check_all(&[value]);
}

#[test]
fn rare_documents() {
    let texts = [
        r#"{"a":1,"b":"x","c":1}"#,
        r#"{"a":2,"b":"y\n","c":1}"#,
        r#"{"a":3,"b":"z","c":2}"#,
        r#"{"a":3,"b":"z","c":2,}"#,
        r#"{"a":3.5,"b":"z","c":2}"#,
        r#"{"a":3.,"b":"z","c":2}"#,
        r#"{"a":"4","b":"z","c":2}"#,
        r#"{"a":4,"b":"\\","c":2}"#,
        r#"{"a":4,"b":"","c":2e3}"#,
        r#"{"a":4,"z":"u","y":[5,{}],"c":2}"#,
        r#"{"a":4,"z":"\"\u00fc","y":[6,{}],"c":3}"#,
        r#"{"a":4,"z":"\ud800","y":[6,{}],"c":3}"#,
        r#"{"a":4,"z":"v","y":[06,{}],"c":3}"#,
        r#"{"a":4,"b":null,"c":2}"#,
        r#"{"a":null,"b":null,"c":2}"#,
        r#"{"a":1,"a":2,"b":"x","b":null,"c":1}"#,
        r#"{"d":{"a":1},"d":{"c":1},"b":"n"}"#,
        r#"{"d":{"a":1,"b":{"a":1},"b":{"c":"2026-03-01T12:00:00Z"}},"b":"n"}"#,
        r#"{"\u0061":7,"a":1}"#,
        r#"{"a":1,"\u0061":7}"#,
        r#"{"a":1,"b":"\u0061\/","c":1}"#,
        r#"{"a":1,"z":"\ud800","c":1}"#,
        r#"{"a":1,"z":"\ud83d\ude00\n","c":1}"#,
        r#"{"a":-0,"c":-0}"#,
        r#"{"a":1e400}"#,
        r#"{"a":"1e3","c":"1772366400000"}"#,
        r#"{"a":"NaN"}"#,
        r#"{"a":01}"#,
        r#"{"a":1.}"#,
        r#"{"a":-}"#,
        r#"{"a":1,"c":99999999999999999999}"#,
        r#"{"a":1,"c":9223372036854.775807}"#,
        r#"{"a":1,"c":9223372036854.775808}"#,
        r#"{"a":1,"c":-9223372036854.775808}"#,
        r#"{"a":1,"c":1e12}"#,
        r#"{"a":1,"c":true}"#,
        r#"{"a":9007199254740993}"#,
        r#"{"a":0.1234567890123456789}"#,
        r#"{"a":12345678901234567890.1}"#,
        r#"{"a":{"b":1},"0":"x","c":5}"#,
        r#"{"a":[1],"c":5}"#,
        r#"{"a":1,"z":{"a":2,"b":[{"c":3}],"c":4}}"#,
        r#"{"a":1}{"a":2}"#,
        "{\"a\":1}\n{\"a\":\n{\"a\":2}",
        r#"{"a":1} x"#,
        r#"{"a":1,}"#,
        r#"{,"a":1}"#,
        r#"{"a" 1}"#,
        r#"{"a":1"b":2}"#,
        r#"["a",1]"#,
        " {\t\"a\"\r:\n1 , \"b\" : \"\u{fc}\" }\n ",
        "{\"a\":1,\"b\":\"x\ny\"}",
        "\u{feff}{\"a\":1}",
        r#"{"":"n","ü":"m","a-longer-key-than-eight":3,"a-longer-key-than-eighty":4}"#,
        r#"{"":"","a-longer-key-than-eight":3}"#,
        r#"{"a":1,"b":2,"c":"n","d":"b"}"#,
        r#"{"a":1,"b":2,"d":"b"}"#,
        r#"{"b":2,"c":"n","d":"\u0062"}"#,
        r#"{"b":2,"c":"","d":"delta"}"#,
        r#"{"c":"n","d":"delta"}"#,
        "{}",
        "{",
        "",
        " ",
    ];
    check_all(&texts.map(str::as_bytes));
    for text in texts {
        check_all(&[text.as_bytes(), text.as_bytes()]);
        for end in 0..=text.len() {
            check(&text.as_bytes()[..end]);
        }
    }
    check(format!(r#"{{"a":1,"z":{}{}}}"#, "[".repeat(126), "]".repeat(126)).as_bytes());
    check(format!(r#"{{"a":1,"z":{}{}}}"#, "[".repeat(127), "]".repeat(127)).as_bytes());
    check(format!(r#"{{"a":1,"b":"{}","c":1}}"#, "x".repeat(70_000)).as_bytes());
    check(format!(r#"{{"a":"{}1","c":"{}1"}}"#, "0".repeat(300), "0".repeat(300)).as_bytes());
    check(format!(r#"{{"a":1,"c":1.{}}}"#, "0".repeat(300)).as_bytes());
    check(b"{\"a\":1,\"b\":\"\xFF\"}");
    check(b"{\"a\":1,\"b\":\"\xED\xA0\x80\"}");
}

/// A scalar as documents have it, some of them rare or wrong.
fn scalar() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,18})?".boxed(),
        1 => "-?[0-9]{0,3}\\.?[0-9]{0,3}([eE][-+]?[0-9]{0,3})?".boxed(),
        1 => any::<f64>().prop_map(|value| value.to_string()).boxed(),
        2 => "16[0-9]{11}(\\.[0-9]{1,9})?".boxed(),
        3 => "\"[a-z0-9 ü€,:{}-]{0,20}\"".boxed(),
        1 => "\"([a-z]|\\\\[nu\"\\\\/x]|\\\\u00[46]1|\\\\ud83d\\\\ude00){0,6}\"".boxed(),
        1 => "\"-?[0-9]{1,5}(\\.[0-9]{1,3})?\"".boxed(),
        1 => "\"20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{1,10})?(Z|[+]01:00)\"".boxed(),
        1 => "true|false|null|nul|NaN|\"delta\"|\"b\"".boxed(),
    ]
}

/// An object or array, or a scalar.
fn value() -> impl Strategy<Value = String> {
    scalar().prop_recursive(3, 24, 6, |inner| {
        prop_oneof![
            5 => object(inner.clone()),
            1 => (proptest::collection::vec(inner, 0..3), space())
                .prop_map(|(elements, space)| format!("[{space}{}]", elements.join(&format!("{space},")))),
        ]
    })
}

fn space() -> impl Strategy<Value = String> {
    prop_oneof![6 => "", 1 => "[ \\t\\r\\n]{1,2}"]
}

fn object(inner: impl Strategy<Value = String> + 'static) -> impl Strategy<Value = String> {
    let key =
        prop_oneof![12 => "[a-d]", 1 => "[a-z0]{0,17}", 1 => "\\\\u006[1-4]", 1 => "ü", 1 => "a-longer-key-than-eight"];
    let member = (key, inner, space(), space());
    (proptest::collection::vec(member, 0..7), space()).prop_map(|(members, end)| {
        let members: Vec<String> = members
            .into_iter()
            .map(|(key, value, before, behind)| format!("{before}\"{key}\"{before}:{behind}{value}{behind}"))
            .collect();
        format!("{{{end}{}}}{end}", members.join(","))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn documents_whole_and_broken(
        text in object(value()),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), prop_oneof![any::<u8>(), "[ -~]".prop_map(|text| text.as_bytes()[0])]), 0..3),
        cut in proptest::option::weighted(0.2, any::<prop::sample::Index>()),
        more in proptest::option::weighted(0.1, value()),
    ) {
        let mut value = text.clone().into_bytes();
        value.extend(more.unwrap_or_default().into_bytes());
        for (at, byte) in changes {
            let at = at.index(value.len());
            value[at] = byte;
        }
        if let Some(cut) = cut {
            value.truncate(cut.index(value.len()));
        }
        check_all(&[text.as_bytes(), &value, text.as_bytes(), text.as_bytes(), &value]);
    }

    #[test]
    fn documents_that_differ_in_values(
        keys in proptest::collection::vec("[a-d]|ü|z", 1..6),
        values in proptest::collection::vec((scalar(), scalar(), scalar()), 6),
        same in 0..6_usize,
    ) {
        let document = |pick: fn(&(String, String, String)) -> &String| {
            let value = |place: usize| if place == same { &values[place].0 } else { pick(&values[place]) };
            let members: Vec<String> =
                keys.iter().enumerate().map(|(place, key)| format!("\"{key}\": {}", value(place))).collect();
            format!("{{{}}}", members.join(", "))
        };
        let documents = [document(|values| &values.0), document(|values| &values.1), document(|values| &values.2)];
        check_all(&documents.each_ref().map(|document| document.as_bytes()));
    }

    #[test]
    fn documents_as_they_are_meant(
        a in "-?(0|[1-9][0-9]{0,17})(\\.[0-9]{1,18})?",
        b in "[a-zü ]{0,20}",
        c in "-?(0|[1-9][0-9]{0,19})(\\.[0-9]{1,9})?",
        turn in 0..6_usize,
        beside in value(),
    ) {
        let mut members = [format!("\"a\":{a}"), format!("\"b\":\"{b}\""), format!("\"c\":{c}"), format!("\"z\":{beside}")];
        members.rotate_left(turn % 4);
        if turn > 3 {
            members.swap(0, 1);
        }
        let flat = format!("{{{}}}", members.join(","));
        let nested = format!("{{\"b\":\"n\",\"d\":{{\"a\":{a},\"b\":{{\"a\":\"{b}\"}}}}}}");
        let first = r#"{"a":1,"b":"x","c":2,"z":3}"#;
        check_all(&[first.as_bytes(), flat.as_bytes(), flat.as_bytes(), nested.as_bytes(), nested.as_bytes()]);
    }
}
