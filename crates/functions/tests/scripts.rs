//! What scripts can say: kinds, comparisons, arithmetic, answers, and what is refused before it runs.

mod common;

use common::{call, compile, complaints, events, point_with, propagated, series, table, told};
use functions::{FunctionKind, ParameterKind, Seen};
use model::definition::{Downsampling, Limits};
use model::{Span, State, Value};

/// A script that sees a metric `m`, a series `s`, events `e`, a table `t`, a list `l` and some literals.
fn script(body: &str) -> String {
    format!(
        "parameters(#{{ m: metric(\"\"), s: series(\"\"), e: events(\"\"), t: table(metric(\"\")), l: list(metric(\"\")),
         n: number(\"\", 5), d: duration(\"\", \"1h\"), nothing: number(\"\", ()), names: list(text(\"\"), [\"a\", \"b\"]),
         levels: table(state(\"\"), #{{ bad: \"critical\" }}) }});\nfn check(p) {{ {body} }}"
    )
}

fn answer(body: &str) -> String {
    let point = point_with(0, &[(Downsampling::Average, 2.5), (Downsampling::Percentile(99_900), 7.0)]);
    let bodies =
        [r#"{"level": 3, "text": "odd", "a": {"b": [10, {"c/d": true}]}}"#, r#"{"level": 4.5, "time": "never"}"#];
    let given = [
        ("m", Seen::Point(point)),
        ("s", series(&[1.0, 2.0, 3.0, 4.0, 10.0])),
        ("e", events(&bodies)),
        ("t", table(&[("web-1", 1.5), ("web-2", 4.0)])),
        ("l", table(&[("web-1", 1.5), ("web-2", 4.0)])),
    ];
    told(call(&compile(&script(body), &Limits::default()), State::Deviating, &given))
}

/// Each line is an expression, `=>`, and how it prints.
#[track_caller]
fn prints(lines: &str) {
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (expression, wanted) = line.split_once(" => ").expect("an expression => what it prints");
        let found = answer(&format!("clear(`${{{expression}}}`)"));
        assert_eq!(found.strip_prefix("CLEAR: ").unwrap_or(&found), wanted, "{expression}");
    }
}

#[test]
fn numbers_mix() {
    prints(
        "p.n == 5 => true
         p.n / 2 => 2.5
         p.n > 4 && p.n >= 5.0 && 5 <= p.n => true
         p.nothing == () => true
         (1234.5678).brief() => 1235
         (0.000123456).brief() => 0.0001235
         (-0.5).brief() => -0.5
         (0.0).brief() => 0
         (99.996).brief() => 100
         (2.0).brief() => 2
         (1e21).brief() => 1.000e21
         (0.0 / 0.0).brief() => NaN
         0.0 / 0.0 > 1 => false
         0.1 + 0.2 == 0.3 && 0.1 + 0.2 >= 0.3 && !(0.1 + 0.2 > 0.3) => true
         1.0 / 0.0 > 1 && 1.0 / 0.0 >= 1.25 && 1 < 1.0 / 0.0 && 1.0 / 0.0 != 1 => true
         1.0 / 0.0 <= 1.25 || -1.0 / 0.0 > 0 || 1.0 / 0.0 == 5.0 => false
         1.0 / 0.0 == 1.0 / 0.0 && -1.0 / 0.0 < 0.0 && -1.0 / 0.0 <= -1e300 => true",
    );
}

#[test]
fn durations_and_times() {
    prints(
        r#"p.d / 4 => 15m
           p.d * 1.5 + duration("30s") - duration("1m") => 1h29m30s
           p.d / duration("20m") => 3.0
           -p.d => -1h
           p.d.hours + p.d.minutes + p.d.seconds => 3661.0
           duration("90s") < p.d => true
           p.window.end => 2026-03-01T12:00:00Z
           p.window.end - p.window.start == p.window.duration => true
           p.time - p.d => 2026-03-01T11:00:00Z
           p.time - p.since => 10m
           p.since < p.time => true
           p.since == () => false
           p.s.time_until(1000000).is_never => false"#,
    );
}

#[test]
fn states_and_elements() {
    prints(
        r#"p.state => DEVIATING
           p.state > CLEAR && UNKNOWN < CLEAR && p.state != CRITICAL => true
           worst(p.state, CRITICAL) => CRITICAL
           p.state.is_deviating && !p.state.is_clear => true
           p.levels.bad => CRITICAL
           [1, 2.5, p.d, #{ a: "b" }] => [1, 2.5, "1h", {"a": "b"}]
           [1, #{ a: p.d }] == [1, #{ a: p.d }] && #{ a: 1 } != #{ a: 2 } => true
           p.levels["good"] == () => true
           p.element => checkout -> payments
           p.element.from + "," + p.element.to + "," + p.element.kind => checkout,payments,relation
           p.element == "checkout -> payments" => true
           p.labels.host + p.labels["team"] => web-1shop
           p.labels.zone == () => true
           p.names[1] => b"#,
    );
}

#[test]
fn points_and_series() {
    prints(
        "p.m.value => 2.5
         p.m => 2.5
         p.m.average + p.m.p99_9 => 9.5
         p.m.end - p.m.start => 1m
         p.m.count => 6
         p.s.len() => 5
         p.s[-1].value + p.s[0].value + p.s.first.value + p.s.last().value => 22.0
         p.s.mean() => 4.0
         p.s.median() => 3.0
         p.s.mad() => 1.0
         p.s.stddev().brief() => 3.536
         p.s.percentile(90) => 10.0
         p.s.minimum() + p.s.maximum() + p.s.sum() => 31.0
         p.s.slope() * 60 => 2.0
         p.s.forecast(duration(\"5m\")) => 18.0
         p.s.time_until(28) => 10m
         p.s.time_until(-5) => never
         p.s.time_until(-5) > p.d => true
         p.s.time_until(-5) / 2 - p.d => never
         p.s.time_until(5) => 0s
         p.l.median() => 2.75
         p.l.len() => 2",
    );
    let looped = "let sum = 0; for point in p.s { sum += point.value; } clear(sum.brief())";
    assert_eq!(answer(looped), "CLEAR: 20");
}

#[test]
fn tables() {
    prints(
        r#"p.t.len() => 2
           p.t.keys() => ["web-1", "web-2"]
           p.t["web-2"].value => 4.0
           p.t.get("web-3") == () => true
           p.t.values().maximum() => 4.0"#,
    );
    let looped = "let all = \"\"; for row in p.t { all += `${row.key}/${row.labels.host}/${row.value} `; } clear(all)";
    assert_eq!(answer(looped), "CLEAR: web-1/web-1/1.5 web-2/web-2/4.0 ");
}

#[test]
fn events_and_their_fields() {
    prints(
        r#"p.e.len() => 2
           p.e[0].level + 1 => 4
           p.e[0].level >= 3 && p.e[-1].level > 4 => true
           p.e[0]["text"] => odd
           p.e[0].at("/a/b/1/c~1d") => true
           p.e[0].at("/a/b/7") == () => true
           p.e[0].nowhere == () => true
           p.e[1].time => 2026-03-01T12:00:01Z
           p.e[1]["time"] => never
           p.e[1].kind => alert
           p.e[1].offset => 101
           p.e.count(|e| e.level > 4) => 1
           p.e.filter(|e, least| e.level >= least, p.n - 2).len() => 2"#,
    );
}

#[test]
fn answers() {
    let check = |body: &str, wanted: &str| assert_eq!(answer(body), wanted, "{body}");
    check("()", "nothing");
    check("", "nothing");
    check("clear()", "CLEAR");
    check("deviating(\"odd\")", "DEVIATING: odd");
    check("unknown(\"?\", #{ expires: duration(\"5m\") })", "UNKNOWN: ?");
    check("health(p.state, \"as it was\")", "DEVIATING: as it was");
    check(
        "CRITICAL",
        "type at 0:0: the function gave back the state CRITICAL, clear(), deviating(..), critical(..), unknown(..) or nothing is wanted",
    );
    check("critical(\"x\", #{ expire: 1 })", "error at 4:15: `expire` is none of detail, expires, data");
    check(
        "critical(\"x\", #{ expires: 1 })",
        "error at 4:15: `expires` is a number, a duration such as duration(\"5m\") is wanted",
    );

    let script = compile(
        "fn check(p) { critical(\"x\", #{ detail: \"long\", expires: duration(\"5m\"), data: #{ a: [1, 2.5, (), CLEAR] } }) }",
        &Limits::default(),
    );
    let verdict = call(&script, State::Unknown, &[]).expect("it runs").expect("it speaks");
    assert_eq!((&*verdict.detail, verdict.expires), ("long", Some(Span::from_secs(300))));
    let list = vec![Value::Number(1.0), Value::Number(2.5), Value::Nothing, Value::State(State::Clear)];
    assert_eq!(verdict.data, Value::Table([("a".into(), Value::List(list))].into()));
}

#[test]
fn what_cannot_be_compared_is_an_error() {
    let check = |body: &str, wanted: &str| assert_eq!(answer(body), format!("error at 4:{wanted}"), "{body}");
    check("p.m > 5", "19: a point cannot be compared with a number; `.value` is the point's number");
    check("5 < p.s", "17: a number cannot be compared with a series; `.last.value` is its newest number");
    check("p.d > 60", "19: a duration cannot be compared with a number");
    check("p.state == \"critical\"", "23: a state cannot be compared with a text");
    check(
        "p.m.p95",
        "19: the point has no `p95`: it has value, start, end, count, incomplete, baseline, deviation, score, average, p99.9; what else it should have stands under `downsample` of the input",
    );
    check("p.s[5]", "18: there is no point 5: there are 5");
    check(
        "let q = p; q.limit",
        "27: there is no parameter `limit`: there are m, s, e, t, l, n, d, nothing, names, levels, element, labels, state, since, time, window",
    );
}

#[test]
fn scripts_are_refused_before_they_run() {
    let check = |script: &str, wanted: &str| assert_eq!(complaints(script), wanted, "{script}");
    check("fn check(p) { clear() }", "none");
    check("fn check(p) { clear( }", "tried.rhai:1:22: unexpected '}'");
    check("fn run(p) { }", "tried.rhai: the script has none of `fn check(p)`, `fn baseline(p)` and `fn propagate(p)`");
    check(
        "fn check(p) { } fn propagate(p) { }",
        "tried.rhai: the script has both `fn check(p)` and `fn propagate(p)`, one of them is wanted",
    );
    check("fn check(p, q) { }", "tried.rhai: `fn check` has 2 parameters, one is wanted");
    check(
        "let x = 1; fn check(p) { }",
        "tried.rhai:1:1: only `parameters(#{ .. })` and functions may stand at the top level of a script",
    );
    check(
        "parameters(#{}); parameters(#{}); fn check(p) { }",
        "tried.rhai:1:18: `parameters` is called twice, once is wanted",
    );
    check(
        "parameters(#{ a: 5 }); fn check(p) { }",
        "tried.rhai:1:15: `a` is no kind of parameter such as metric(\"..\") or number(\"..\", 1)",
    );
    check(
        "parameters(#{ state: number(\"\") }); fn check(p) { }",
        "tried.rhai:1:15: every check function has `p.state` already",
    );
    check(
        "parameters(#{ a: duration(\"\", \"soon\") }); fn check(p) { }",
        "tried.rhai:1:15: the default of `a`: `soon` is no duration such as 30s, 5m or 1h30m",
    );
    check(
        "parameters(#{ a: list(events(\"\")) }); fn check(p) { }",
        "tried.rhai:1:18: `list(events(..))` is not possible; metrics and literals may stand there",
    );
    check("fn check(p) { if x > 1 { clear() } }", "tried.rhai:1:18: undefined variable: x");
    check(
        "parameters(#{ horizon: number(\"\") });\nfn check(p) {\n  if p.horizn.x > 1 { clear() }\n}",
        "tried.rhai:3:8: there is no parameter `horizn`; did you mean `horizon`?",
    );
    check(
        "fn propagate(p) { p.state }",
        "tried.rhai:1:21: there is no parameter `state`: there are element, own, dependencies",
    );
}

#[test]
fn parameters_stand_in_their_order_with_their_defaults() {
    let function = compile(&script(""), &Limits::default());
    let told: Vec<String> = function
        .parameters
        .iter()
        .map(|parameter| format!("{}: {} = {:?}", parameter.name, parameter.kind, parameter.default))
        .collect();
    assert_eq!(
        told.join("\n"),
        "m: metric = None\ns: series = None\ne: events = None\nt: table of metric = None\nl: list of metric = None
n: number = Some(Number(5.0))\nd: duration = Some(Duration(Span(3600000000000)))\nnothing: number = Some(Nothing)
names: list of text = Some(List([Text(\"a\"), Text(\"b\")]))
levels: table of state = Some(Table({\"bad\": State(Critical)}))"
    );
}

#[test]
fn literals_are_checked_by_kind() {
    let text = |text: &str| Value::Text(text.into());
    let check = |kind: ParameterKind, value: Value, wanted: &str| {
        let found = kind.accept(&value).map_or_else(|error| error, |value| format!("{value:?}"));
        assert_eq!(found, wanted);
    };
    check(ParameterKind::Number, text("1.5"), "Number(1.5)");
    check(ParameterKind::Number, text("many"), "`many` found, a number wanted");
    check(ParameterKind::Number, Value::Duration(Span::from_secs(60)), "the duration 1m found, a number wanted");
    check(ParameterKind::Duration, text("1m"), "Duration(Span(60000000000))");
    check(ParameterKind::Duration, Value::Number(5.0), "the number 5 found, a duration such as 30s or 1h30m wanted");
    check(ParameterKind::State, text("Critical"), "State(Critical)");
    check(ParameterKind::State, text("bad"), "`bad` is none of clear, deviating, critical, unknown");
    check(ParameterKind::Text, Value::Number(5.0), "the number 5 found, a text wanted");
    check(ParameterKind::Metric, Value::Number(5.0), "the number 5 found, a metric stream wanted");
    let states = ParameterKind::Table(Box::new(ParameterKind::State));
    let given = Value::Table([("x".into(), text("bad"))].into());
    check(states, given, "`x`: `bad` is none of clear, deviating, critical, unknown");
}

#[test]
fn propagation() {
    let function = compile(
        "//! A service stands while one of its hosts does.\n//!\n//! The rest.\nfn propagate(p) {\n  let up = 0;\n  for d in p.dependencies {\n    if d.kind == \"host\" && d.state < DEVIATING { up += 1; }\n  }\n  if up == 0 { CRITICAL } else { p.own }\n}",
        &Limits::default(),
    );
    assert_eq!(function.kind, FunctionKind::Propagation);
    assert_eq!(function.summary, "A service stands while one of its hosts does.");
    assert_eq!(function.description, "The rest.");
    let host = |name, state| (name, "host", state);
    assert_eq!(propagated(&function, State::Clear, &[host("a", State::Critical), host("b", State::Clear)]), "CLEAR");
    assert_eq!(propagated(&function, State::Clear, &[host("a", State::Critical)]), "CRITICAL");
    let nothing = compile("fn propagate(p) { }", &Limits::default());
    assert_eq!(propagated(&nothing, State::Clear, &[]), "nothing");
    let wrong = compile("fn propagate(p) { 1 }", &Limits::default());
    assert_eq!(
        propagated(&wrong, State::Clear, &[]),
        "type at 0:0: the function gave back the number 1, a state such as CRITICAL or nothing is wanted"
    );
}
