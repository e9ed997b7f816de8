//! What each format makes of a record, and what it says about settings that are wrong.

use codec::{Decoded, Format, LabelSetting, Settings};
use model::Time;
use model::record::Batch;

mod common;
use common::{decode, show};

/// A record with a key, headers, and 2026-03-01T12:00:00Z as its time.
fn record(value: Option<&[u8]>) -> Batch {
    let mut batch = Batch::new(0, "topic".into(), 0, Time::from_nanos(0));
    let headers = [("region", Some(&b"eu"[..])), ("region", Some(&b"us"[..])), ("empty", None)];
    batch.push(0, Some(1_772_366_400_000), false, Some(b"web-1"), value, headers);
    batch
}

/// What is in a record, a line each: samples, events, then refusals.
fn text(decoded: &Decoded) -> String {
    let mut lines = Vec::new();
    for sample in &decoded.samples {
        let series = show(decoded.slice(&sample.series));
        lines.push(format!("{series} {:?} {:?} @{}", sample.kind, sample.value, sample.time));
    }
    for event in &decoded.events {
        let body = String::from_utf8_lossy(decoded.slice(&event.body));
        let identity = event.identity.as_ref().map(|range| String::from_utf8_lossy(decoded.slice(range)));
        let identity = identity.map_or(String::new(), |identity| format!(" ={identity}"));
        lines.push(format!("{} {body}{identity} @{}", show(decoded.slice(&event.series)), event.time));
    }
    for reject in &decoded.rejects {
        lines.push(format!("{} {}: {}", reject.count, reject.reason.name(), reject.detail));
    }
    lines.join("\n")
}

fn check_format(format: &str, settings: &Settings, value: impl AsRef<[u8]>, wanted: &str) {
    let format = Format::new(format, settings).expect("a plan");
    let found = text(&decode(&format, &record(Some(value.as_ref()))));
    let wanted: Vec<&str> = wanted.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    assert_eq!(found.lines().collect::<Vec<_>>(), wanted, "{}", String::from_utf8_lossy(value.as_ref()));
}

fn json(value: &str, name: &str) -> Settings {
    Settings { value: Some(value.to_owned()), name: Some(name.to_owned()), ..Settings::default() }
}

fn template(name: &str, text: &str) -> (String, LabelSetting) {
    (name.to_owned(), LabelSetting::Template(text.to_owned()))
}

#[test]
fn influx_lines() {
    let check = |value: &str, wanted: &str| check_format("influx", &Settings::default(), value, wanted);
    check(
        "cpu,host=a,dc=b idle=98.1,user=1i,n=18446744073709551615u,min=-9223372036854775808i 1772366400000000000\n",
        r#"cpu.idle{dc="b", host="a"} Gauge 98.1 @2026-03-01T12:00:00Z
        cpu.user{dc="b", host="a"} Gauge 1.0 @2026-03-01T12:00:00Z
        cpu.n{dc="b", host="a"} Gauge 1.8446744073709552e19 @2026-03-01T12:00:00Z
        cpu.min{dc="b", host="a"} Gauge -9.223372036854776e18 @2026-03-01T12:00:00Z"#,
    );
    check(
        "# a comment\n\n  a v=1 1\r\nb v=-0",
        "a.v{} Gauge 1.0 @1970-01-01T00:00:00.000000001Z
        b.v{} Gauge -0.0 @2026-03-01T12:00:00Z",
    );
    check(
        "m s=\"a \\\"b\\\\\nsecond = line, 1\",v=2 3\nm t=true,f=F,v=4 5\n",
        "m.v{} Gauge 2.0 @1970-01-01T00:00:00.000000003Z
        m.v{} Gauge 4.0 @1970-01-01T00:00:00.000000005Z
        3 not_numeric: field `s` is a string",
    );
    check(
        "a\\ b\\,c=d,k\\=1=x\\ y,path=q\"te\\back\\nnl f\\=g=1 1\n",
        r#"a b,c=d.f=g{k=1="x y", path="q\"te\\back\\nnl"} Gauge 1.0 @1970-01-01T00:00:00.000000001Z"#,
    );
}

#[test]
fn a_broken_line_is_counted_and_the_next_one_read() {
    let check = |value: &[u8], wanted: &str| check_format("influx", &Settings::default(), value, wanted);
    for broken in [
        "a",
        "a ",
        "a v",
        "a v=",
        "a v=1i2",
        "a v=9223372036854775808i",
        "a v=1 2 3",
        "a v=1 2.5",
        "a,=x v=1",
        "a,k= v=1",
        "a,k v=1",
        ",k=x v=1",
        "a v=1,",
        "a v=1,w",
        "a v=\"open",
    ] {
        let format = Format::new("influx", &Settings::default()).expect("a plan");
        let found = decode(&format, &record(Some(format!("{broken}\nok v=1 1\n").as_bytes())));
        let rejects: Vec<_> = found.rejects.iter().map(|reject| (reject.reason.name(), reject.count)).collect();
        assert_eq!((found.samples.len(), rejects), (1, vec![("undecodable", 1)]), "{broken}");
    }
    check(b"a v=1 99999999999999999999\n", "1 bad_time: time is `99999999999999999999`");
    check(
        b"a,k=\xFF v=1 1\nok v=1 1\n",
        "ok.v{} Gauge 1.0 @1970-01-01T00:00:00.000000001Z
        1 undecodable: a line that is no UTF-8",
    );
    check(b"a v=nan,w=1e400,x=-Inf 1", "3 not_finite: value of `a.v` is NaN");
    check(b"# nothing\n", "1 nothing_inside: no sample or event inside");
    let settings = Settings { time_unit: Some("s".to_owned()), ..Settings::default() };
    check_format("influx", &settings, "a v=1 1772366400", "a.v{} Gauge 1.0 @2026-03-01T12:00:00Z");
}

#[test]
fn json_values_are_read_as_the_nearest_double() {
    let settings = json("/v", "v");
    for (value, wanted) in [
        ("18446744073709551615", "v{} Gauge 1.8446744073709552e19 @2026-03-01T12:00:00Z"),
        ("-9223372036854775808", "v{} Gauge -9.223372036854776e18 @2026-03-01T12:00:00Z"),
        ("9007199254740993", "v{} Gauge 9007199254740992.0 @2026-03-01T12:00:00Z"),
        ("1.7976931348623157e308", "v{} Gauge 1.7976931348623157e308 @2026-03-01T12:00:00Z"),
        ("5e-324", "v{} Gauge 5e-324 @2026-03-01T12:00:00Z"),
        ("-0", "v{} Gauge -0.0 @2026-03-01T12:00:00Z"),
        ("\"9876543210\"", "v{} Gauge 9876543210.0 @2026-03-01T12:00:00Z"),
        ("\"\\u0031\"", "v{} Gauge 1.0 @2026-03-01T12:00:00Z"),
        ("1.79769313486232e+308", "1 not_finite: value of `v` is inf"),
        ("\"NaN\"", "1 not_finite: value of `v` is NaN"),
        ("\"+Inf\"", "1 not_finite: value of `v` is inf"),
        ("\"Infinity\"", "1 not_finite: value of `v` is inf"),
        ("null", "1 not_numeric: value of `v` is `null`"),
        ("true", "1 not_numeric: value of `v` is `true`"),
        ("\"\"", "1 not_numeric: value of `v` is ``"),
        ("{}", "1 not_numeric: value of `v` is `{}`"),
    ] {
        check_format("json", &settings, format!("{{\"v\":{value}}}"), wanted);
    }
    check_format("json", &settings, "{}", "1 missing: no value at `/v`");
    check_format("json", &settings, "[]", "1 missing: no value at `/v`");
    check_format("json", &settings, "3", "1 wrong_type: no array or object on the way to `/v`");
    check_format("json", &settings, " \n", "1 nothing_inside: no sample or event inside");
    check_format("json", &settings, b"\"\xFF\"", "1 undecodable: no UTF-8 at byte 1");
}

#[test]
fn json_names_labels_and_times() {
    let settings = Settings {
        labels: vec![
            template("dc", "{/a}-{/b}"),
            template("constant", "x"),
            template("tag.*", "/tags"),
            template("gone", "/none"),
            ("key".to_owned(), LabelSetting::Key),
            ("region".to_owned(), LabelSetting::Header("region".to_owned())),
            ("empty".to_owned(), LabelSetting::Header("empty".to_owned())),
            ("topic".to_owned(), LabelSetting::Topic),
        ],
        time: Some("/at".to_owned()),
        time_unit: Some("ms".to_owned()),
        kind: Some("delta".to_owned()),
        ..json("/v", "{/n}.total")
    };
    check_format(
        "json",
        &settings,
        r#"{"v":1,"n":"x\ny","a":"k","b":2,"at":1772366400000.5,"tags":{"t":true,"u":"\u00fc","n":null,"o":{}}}"#,
        r#"x
        y.total{constant="x", dc="k-2", key="web-1", region="us", tag.t="true", tag.u="ü", topic="topic"} Delta 1.0 @2026-03-01T12:00:00.0005Z"#,
    );
    check_format(
        "json",
        &settings,
        r#"{"v":1,"n":"n","at":"1772366400000"}"#,
        r#"n.total{constant="x", key="web-1", region="us", topic="topic"} Delta 1.0 @2026-03-01T12:00:00Z"#,
    );
    check_format("json", &settings, r#"{"v":1,"n":"n","at":"noon"}"#, "1 bad_time: time is `noon`");
    check_format("json", &settings, r#"{"v":1}"#, "1 missing: a part of the name is not there");
    check_format("json", &settings, r#"{"v":1,"n":[]}"#, "1 wrong_type: a part of the name is an array or an object");
    let settings = Settings { time: Some("/at".to_owned()), ..json("/v", "n") };
    check_format(
        "json",
        &settings,
        r#"{"v":1,"at":"2026-03-01T12:00:00+02:00"}"#,
        "n{} Gauge 1.0 @2026-03-01T10:00:00Z",
    );
    check_format("json", &settings, r#"{"v":1,"at":null}"#, "n{} Gauge 1.0 @2026-03-01T12:00:00Z");
    check_format("json", &settings, r#"{"v":1,"at":0}"#, "1 bad_time: time is `0`");
}

#[test]
fn json_with_several_values_and_documents() {
    let settings = Settings {
        values: vec![("cpu".to_owned(), "/cpu_p".to_owned()), ("mem.free".to_owned(), "/Mem.free".to_owned())],
        ..Settings::default()
    };
    check_format(
        "json",
        &settings,
        "{\"cpu_p\":14}{\"cpu_p\":2.0,\"Mem.free\":7}\n{\"x\":1}\n",
        "cpu{} Gauge 14.0 @2026-03-01T12:00:00Z
        cpu{} Gauge 2.0 @2026-03-01T12:00:00Z
        mem.free{} Gauge 7.0 @2026-03-01T12:00:00Z
        1 missing: none of the values is there",
    );
    check_format(
        "json",
        &settings,
        "{\"cpu_p\":1}\n{\"cpu_p\":\n{\"cpu_p\":3}\n",
        "cpu{} Gauge 1.0 @2026-03-01T12:00:00Z
        cpu{} Gauge 3.0 @2026-03-01T12:00:00Z
        1 undecodable: ends at byte 34, `,` or `}` is wanted",
    );
    check_format(
        "json",
        &settings,
        "{\"cpu_p\":1,}\n{\"cpu_p\":3}\n",
        "cpu{} Gauge 3.0 @2026-03-01T12:00:00Z
        1 undecodable: at byte 11 `} {\"cpu_p\":3} `, a key is wanted",
    );
    let kinds = Settings {
        kind: Some("/kind".to_owned()),
        kinds: vec![("absolute".to_owned(), "cumulative".to_owned())],
        ..json("/v", "n")
    };
    check_format(
        "json",
        &kinds,
        r#"{"v":1,"kind":"absolute"}{"v":2,"kind":"delta"}{"v":3,"kind":"set"}{"v":4}"#,
        "n{} Cumulative 1.0 @2026-03-01T12:00:00Z
        n{} Delta 2.0 @2026-03-01T12:00:00Z
        1 unsupported: kind is `set`
        1 missing: no kind at `/kind`",
    );
}

#[test]
fn events_keep_their_text() {
    let settings = Settings {
        time: Some("/ts".to_owned()),
        event_type: Some("/kind".to_owned()),
        identity: Some("{/id}".to_owned()),
        labels: vec![template("host", "/host")],
        max_event_bytes: Some(64),
        ..Settings::default()
    };
    let check = |value: &str, wanted: &str| check_format("events", &settings, value, wanted);
    check(
        "{\"ts\":\"2026-03-01T00:00:00Z\", \"kind\":\"order\",\"id\":7}\n{\"host\":\"a\"}",
        r#"order{} {"ts":"2026-03-01T00:00:00Z", "kind":"order","id":7} =7 @2026-03-01T00:00:00Z
        {host="a"} {"host":"a"} @2026-03-01T12:00:00Z"#,
    );
    check("[1]", "1 wrong_type: `[1]` where an object is wanted");
    check(&format!("{{\"a\":\"{}\"}}", "x".repeat(60)), "1 oversized: an event of 68 bytes, at most 64 wanted");
    let settings = Settings {
        each: Some("/alerts/*".to_owned()),
        time: Some("/alerts/*/at".to_owned()),
        time_unit: Some("s".to_owned()),
        labels: vec![template("receiver", "/receiver")],
        ..Settings::default()
    };
    check_format(
        "events",
        &settings,
        r#"{"receiver":"r","alerts":[{"at":1},{"at":2}]}{"alerts":[]}"#,
        r#"event{receiver="r"} {"at":1} @1970-01-01T00:00:01Z
        event{receiver="r"} {"at":2} @1970-01-01T00:00:02Z
        1 nothing_inside: no event at `/alerts/*`"#,
    );
}

/// A protobuf field of bytes.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2];
    let mut length = content.len();
    while length >= 0x80 {
        bytes.push(length as u8 | 0x80);
        length >>= 7;
    }
    bytes.push(length as u8);
    bytes.extend_from_slice(content);
    bytes
}

/// A protobuf field of eight bytes.
fn fixed(number: u8, value: u64) -> Vec<u8> {
    [&[number << 3 | 1][..], &value.to_le_bytes()].concat()
}

#[test]
fn otlp_fields_in_any_order() {
    let attribute = |key: &str, value: Vec<u8>| [field(2, &value), field(1, key.as_bytes())].concat();
    let point = [
        fixed(6, (-5_i64) as u64),
        field(7, &attribute("host", field(1, b"point"))),
        field(
            7,
            &attribute("n", field(5, &[field(1, &field(1, b"q\"")), field(1, &fixed(4, 1.5_f64.to_bits()))].concat())),
        ),
    ]
    .concat();
    let sum = [vec![3 << 3, 1], field(1, &point), vec![2 << 3, 2]].concat();
    let scope_metrics = [field(2, &[field(7, &sum), field(1, b"m")].concat()), field(1, &field(1, b"s"))].concat();
    let resource = field(1, &attribute("host", field(1, b"resource")));
    let request = field(1, &[field(2, &scope_metrics), field(1, &resource)].concat());
    let wanted = r#"m{host="point", n="[\"q\\\"\",1.5]", otel.scope.name="s"} Cumulative -5.0 @2026-03-01T12:00:00Z"#;
    check_format("otlp_proto", &Settings::default(), &request, wanted);
    let cut = &request[..request.len() - 1];
    let wanted = "1 undecodable: a protobuf field that is cut off or malformed";
    check_format("otlp_proto", &Settings::default(), cut, wanted);
    check_format("otlp_proto", &Settings::default(), [request, vec![0xFF]].concat(), wanted);
    let deep = (0..500).fold(field(1, b"x"), |inner, _| field(5, &field(1, &inner)));
    let resource = field(1, &[field(1, &field(1, &attribute("deep", deep)))].concat());
    check_format(
        "otlp_proto",
        &Settings::default(),
        resource,
        "1 undecodable: an attribute value of more than 100 levels",
    );
}

#[test]
fn otlp_histograms_give_extremes_where_wanted() {
    let point =
        [fixed(3, 1), fixed(4, 6), fixed(5, 2.5_f64.to_bits()), fixed(11, 1_f64.to_bits()), fixed(12, 2_f64.to_bits())];
    let histogram = [field(1, &point.concat()), vec![2 << 3, 1]].concat();
    let request = field(1, &field(2, &field(2, &[field(1, b"h"), field(9, &histogram)].concat())));
    let wanted = "h.count{} Delta 6.0 @1970-01-01T00:00:00.000000001Z
        h.sum{} Delta 2.5 @1970-01-01T00:00:00.000000001Z";
    check_format("otlp_proto", &Settings::default(), &request, wanted);
    let wanted = format!(
        "{wanted}
        h.min{{}} Gauge 1.0 @1970-01-01T00:00:00.000000001Z
        h.max{{}} Gauge 2.0 @1970-01-01T00:00:00.000000001Z"
    );
    check_format("otlp_proto", &Settings { extremes: Some(true), ..Settings::default() }, &request, &wanted);
}

#[test]
fn records_without_a_usable_value_are_counted() {
    let settings = Settings { max_record_bytes: Some(4), ..json("/v", "v") };
    let format = Format::new("json", &settings).expect("a plan");
    for (value, wanted) in [
        (None, "1 null: null value"),
        (Some(&b""[..]), "1 empty: empty value"),
        (Some(b"12345"), "1 oversized: a value of 5 bytes, at most 4 wanted"),
    ] {
        assert_eq!(text(&decode(&format, &record(value))), wanted);
    }
}

#[test]
fn long_labels_for_many_values_are_bounded() {
    for value in ["1", "nan"] {
        let line = format!("m,k={} {}v=1", "x".repeat(2 << 20), format!("f={value},").repeat(1000));
        let format = Format::new("influx", &Settings::default()).expect("a plan");
        let decoded = decode(&format, &record(Some(line.as_bytes())));
        assert_eq!(decoded.samples, []);
        let last = decoded.rejects.last().expect("a refusal");
        assert_eq!(last.detail, "unfolds to more than 67108864 bytes");
    }
    let document = format!(r#"{{"n":"{}","v":[{}1]}}"#, "x".repeat(1 << 20), r#""t","#.repeat(400_000));
    let format = Format::new("json", &json("/v/*", "{/n}")).expect("a plan");
    let decoded = decode(&format, &record(Some(document.as_bytes())));
    let reasons: Vec<&str> = decoded.rejects.iter().map(|reject| reject.reason.name()).collect();
    assert_eq!(reasons, ["not_numeric", "oversized"]);
}

#[test]
fn wrong_settings_are_named_all_at_once() {
    let check = |format: &str, settings: Settings, wanted: &[&str]| {
        let errors = Format::new(format, &settings).expect_err("errors");
        let errors: Vec<String> = errors.iter().map(|error| format!("{}: {}", error.setting, error.message)).collect();
        assert_eq!(errors, wanted);
    };
    check("xml", Settings::default(), &["format: `xml` is no format; there are events, influx, json, otlp_proto"]);
    check(
        "influx",
        Settings { name: Some("x".to_owned()), time_unit: Some("sec".to_owned()), ..Settings::default() },
        &[
            "name: means nothing to format `influx`, which takes: time_unit, max_record_bytes",
            "time_unit: `sec` is no unit of time; there are rfc3339, s, ms, us, ns",
        ],
    );
    check(
        "json",
        Settings {
            labels: vec![template("a", "/x/*/*"), template("b", "{/x"), ("c*".to_owned(), LabelSetting::Key)],
            time_unit: Some("s".to_owned()),
            kind: Some("counter".to_owned()),
            ..json("/v/*", "{/n/*}")
        },
        &[
            "labels.a: `/x/*/*` has 2 `*`, but there are only 1 to move in step with",
            "labels.b: `{/x` opens a brace that it does not close",
            "labels.c*: a name with `*` takes the members of an object, and wants a pointer to it",
            "time_unit: is given, but `time` is no pointer",
            "kind: `counter` is no kind; there are gauge, cumulative, delta",
        ],
    );
    check("json", json("v", "v"), &["value: `v` is no JSON pointer such as /host/name"]);
    check("json", Settings::default(), &["value: is missing: a pointer such as /value or /fields/*"]);
}
