//! Evidence: what it tells, that it stays within its limit, and that it is JSON whatever goes in.

mod common;

use common::{arguments, call, compile, duration, events, expected, metric, noon, point, series, table};
use functions::{CheckCall, Seen, evidence};
use model::definition::Limits;
use model::{Band, Element, Labels, Reading, Span, State};

const SCRIPT: &str = r#"
parameters(#{ used: series(""), limit: metric(""), logs: events(""), hosts: table(metric("")), horizon: duration("", "1h") });
fn check(p) { critical("heap is full in 9m", #{ detail: "look at \"web-1\"", data: #{ left: p.horizon } }) }
"#;

fn written(given: &[(&str, Seen)], limit: usize) -> String {
    let function = compile(SCRIPT, &Limits::default());
    let verdict = call(&function, State::Clear, given).expect("it runs").expect("it speaks");
    let call = CheckCall {
        element: &Element::component("checkout"),
        labels: &Labels::new([("host", "web-1")]),
        state: State::Clear,
        since: Some(noon() - Span::from_secs(60)),
        time: noon(),
        window: Some((noon() - Span::from_secs(60), noon())),
        arguments: &arguments(&function, given),
    };
    evidence("heap", &function, &call, &verdict, limit)
}

#[test]
fn it_tells_what_was_seen_and_said() {
    let given = [
        ("used", Seen::Points(vec![point(-1, 1.5), point(0, 2e20)])),
        ("limit", metric(f64::INFINITY)),
        ("logs", events(&[r#"{"level": "error"}"#])),
        ("hosts", table(&[("web-1", 1.0)])),
        ("horizon", duration("30m")),
    ];
    let found = written(&given, 16 * 1024);
    let script = found.find("\"script\":\"").expect("the script's fingerprint") + 10;
    let found = found.replace(&found[script..script + 16], "0123456789abcdef");
    let minute = r#""start":"2026-03-01T11:59:00Z","end":"2026-03-01T12:00:00Z""#;
    let wanted = [
        r#"{"check":"heap","function":"tried","script":"0123456789abcdef","element":"checkout","labels":{"host":"web-1"},"#,
        r#""time":"2026-03-01T12:00:00Z","window":{"#,
        minute,
        r#"},"before":{"state":"CLEAR","since":"2026-03-01T11:59:00Z"},"inputs":{"#,
        r#""used":{"count":2,"points":[{"start":"2026-03-01T11:58:00Z","end":"2026-03-01T11:59:00Z","samples":6,"average":1.5},{"#,
        minute,
        r#","samples":6,"average":2e+20}]},"limit":{"#,
        minute,
        r#","samples":6,"average":"inf"},"logs":{"count":1,"events":[{"time":"2026-03-01T12:00:00Z","kind":"alert","topic":"events","partition":3,"offset":100,"body":{"level": "error"}}]},"#,
        r#""hosts":{"count":1,"rows":[{"key":"web-1","labels":{"host":"web-1"},"point":{"#,
        minute,
        r#","samples":6,"average":1.0}}]}},"arguments":{"horizon":"30m"},"#,
        r#""state":"CRITICAL","message":"heap is full in 9m","detail":"look at \"web-1\"","expires":null,"data":{"left":"30m"}}"#,
    ];
    assert_eq!(found, wanted.concat());
}

#[test]
fn it_tells_what_the_baseline_expected() {
    let told = |seen: Seen| {
        let given = [("used", series(&[])), ("limit", seen), ("logs", events(&[])), ("hosts", table(&[]))];
        let found: serde_json::Value = serde_json::from_str(&written(&given, 16 * 1024)).expect("JSON");
        let fields = ["baseline", "deviation", "score"];
        fields.map(|field| found["inputs"]["limit"].get(field).map_or("-".to_owned(), ToString::to_string)).join(" ")
    };
    assert_eq!(told(metric(1.0)), "- - -");
    let found = told(Seen::Point(expected(15.0, None, false)));
    assert_eq!(found, r#"{"average":10.0,"higher":14.0,"lower":8.0} 1.25 -"#);
    let found = told(Seen::Point(expected(9.0, Some(0.5), true)));
    assert_eq!(found, r#"{"average":10.0,"higher":14.0,"lower":8.0,"stale":true} -0.5 0.5"#);
    let mut narrow = expected(9.0, Some(f64::INFINITY), false);
    narrow.baseline = narrow.baseline.map(|reading| Reading { band: Band { lower: 10.0, ..reading.band }, ..reading });
    let found = told(Seen::Point(narrow));
    assert_eq!(found, r#"{"average":10.0,"higher":14.0,"lower":10.0} "-inf" "inf""#);
}

#[test]
fn it_stays_within_its_limit_and_is_json() {
    let long = format!(r#"{{"text": "{}"}}"#, "äöü\\n".repeat(3000));
    let bodies = vec![long.as_str(); 300];
    let many: Vec<(String, f64)> = (0..500).map(|host| (format!("web-{host}"), 1.0)).collect();
    let rows: Vec<(&str, f64)> = many.iter().map(|(host, value)| (host.as_str(), *value)).collect();
    let values: Vec<f64> = (0..1000).map(f64::from).collect();
    let given = [("used", series(&values)), ("limit", metric(1.0)), ("logs", events(&bodies)), ("hosts", table(&rows))];
    let mut last = 0;
    for limit in [2, 40, 500, 2_000, 4_000, 16 * 1024, 64 * 1024] {
        let found = written(&given, limit);
        assert!(found.len() <= limit && found.len() >= last, "{} for {limit}", found.len());
        let json: serde_json::Value = serde_json::from_str(&found).unwrap_or_else(|error| panic!("{error}: {found}"));
        if limit >= 4_000 {
            assert_eq!(json["inputs"]["logs"]["count"], 300);
            assert_eq!(json["inputs"]["used"]["count"], 1000);
            let newest = json["inputs"]["used"]["points"]
                .as_array()
                .and_then(|points| points.last())
                .map(|point| &point["average"]);
            assert_eq!(newest, Some(&serde_json::json!(999.0)));
        }
        last = found.len();
    }
}
