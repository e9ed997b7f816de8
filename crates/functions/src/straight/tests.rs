//! What the short way answers is what the interpreter answers, for scripts and arguments of all sorts.

use crate::{CheckCall, Library, Script, Seen};
use model::definition::{Downsampling, Limits};
use model::{Band, Element, Labels, Point, Reading, Span, State, Time, Value};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use std::sync::Arc;

const PARAMETERS: &str = "parameters(#{ m: metric(\"\"), n: number(\"\"), none: number(\"\", ()), text: text(\"\"), \
                          flag: boolean(\"\"), span: duration(\"\"), level: state(\"\") });";

/// What is a number, nearly always.
fn expressions() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "p.n",
        "p.n",
        "p.m.value",
        "p.m.value",
        "p.m.average",
        "p.m.p99_9",
        "p.m.deviation",
        "p.m.score",
        "p.m.baseline.higher",
        "1",
        "1.0",
        "0.0",
        "2.5",
        "1e308",
        "x",
        "x",
        "y",
        "y",
        "p.m.count",
        "p.none",
    ]);
    leaf.prop_map(str::to_owned).prop_recursive(2, 8, 2, |inner| {
        let compare = prop::sample::select(vec!["==", "!=", "<", "<=", ">", ">="]);
        let reckon = prop::sample::select(vec!["+", "-", "*", "/"]);
        prop_oneof![
            4 => (inner.clone(), reckon, inner.clone()).prop_map(|(a, by, b)| format!("({a} {by} {b})")),
            1 => inner.clone().prop_map(|of| format!("(-{of})")),
            1 => inner.clone().prop_map(|of| format!("({of}).abs()")),
            2 => (inner.clone(), compare, inner)
                .prop_map(|(a, by, b)| format!("(if {a} {by} {b} {{ let x = {a}; x }} else {{ {b} }})")),
        ]
    })
}

/// What is true or false, nearly always.
fn tests() -> impl Strategy<Value = String> {
    let compare = || prop::sample::select(vec!["==", "!=", "<", "<=", ">", ">="]);
    let same = prop::sample::select(vec!["==", "!="]);
    let any = || {
        prop::sample::select(vec![
            "p.none",
            "p.text",
            "\"above\"",
            "p.flag",
            "true",
            "p.span",
            "p.state",
            "p.since",
            "()",
            "p.m",
            "p.m.score",
            "p.m.baseline",
            "p.m.baseline.stale",
            "p.window",
            "z",
            "p.n",
            "1",
        ])
    };
    let states = || prop::sample::select(vec!["p.level", "p.state", "CLEAR", "CRITICAL"]);
    let times = || prop::sample::select(vec!["p.since", "p.time", "p.m.start", "p.m.end"]);
    let alone = prop::sample::select(vec!["p.flag", "p.m.incomplete", "p.level.is_critical", "p.m.baseline.stale"]);
    let one = |(a, by, b): (&str, &str, &str)| format!("{a} {by} {b}");
    let leaf = prop_oneof![
        5 => (expressions(), compare(), expressions()).prop_map(|(a, by, b)| format!("{a} {by} {b}")),
        3 => (any(), same, any()).prop_map(one),
        2 => (states(), compare(), states()).prop_map(one),
        1 => (times(), compare(), times()).prop_map(one),
        1 => alone.prop_map(str::to_owned),
    ];
    leaf.prop_recursive(1, 4, 2, |inner| {
        let both = prop::sample::select(vec!["&&", "||"]);
        prop_oneof![
            2 => (inner.clone(), both, inner.clone()).prop_map(|(a, by, b)| format!("({a}) {by} ({b})")),
            1 => inner.prop_map(|of| format!("!({of})")),
        ]
    })
}

fn answers() -> impl Strategy<Value = String> {
    let fixed = ["clear()", "deviating(\"high\")", "critical(p.text)", "unknown(`${p.n}`)", "health(p.level, \"so\")"];
    let fixed = prop::sample::select(fixed.to_vec()).prop_map(str::to_owned);
    prop_oneof![6 => fixed, 1 => Just("()".to_owned()), 1 => expressions()]
}

fn scripts() -> impl Strategy<Value = String> {
    (expressions(), expressions(), tests(), expressions(), tests(), answers(), answers()).prop_map(
        |(x, y, first, again, second, early, late)| {
            format!(
                "{PARAMETERS}\nfn check(p) {{\n let z = (); let x = 1.5; let y = 0.5; let x = {x}; const y = {y}; if {first} {{ x = {again}; z = x; }}\n \
                 if {second} {{ return {early}; }} else if x == y {{ let y = x; }}\n {late} }}"
            )
        },
    )
}

fn numbers() -> impl Strategy<Value = f64> {
    let odd = [0.0, -0.0, 1.0, 1.0 + f64::EPSILON, 1.25, 2.5, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, -1e308];
    prop_oneof![prop::sample::select(odd.to_vec()), -3.0..3.0f64]
}

fn calls() -> impl Strategy<Value = (Point, Vec<(Arc<str>, Seen)>, State)> {
    let states = || prop::sample::select(State::ALL.to_vec());
    let bands = prop::sample::select(vec![None, Some((1.0, 0.0, 2.0)), Some((1.0, 1.0, 1.0))]);
    (numbers(), numbers(), numbers(), bands, any::<bool>(), states(), states()).prop_map(
        |(value, other, n, band, flag, level, state)| {
            let end: Time = "2026-03-01T12:00:00Z".parse().expect("a time");
            let reading = band.map(|(average, lower, higher)| Reading {
                band: Band::new(average, lower, higher).expect("a band"),
                score: flag.then_some(1.5),
                stale: flag,
            });
            let point = Point {
                start: end - Span::from_secs(60),
                end,
                count: 6,
                values: vec![value, other],
                downsample: [Downsampling::Average, Downsampling::Percentile(99_900)].into_iter().collect(),
                incomplete: flag,
                baseline: reading,
            };
            let literals = [
                ("n", Value::Number(n)),
                ("none", Value::Nothing),
                ("text", Value::Text(if flag { "above" } else { "" }.into())),
                ("flag", Value::Boolean(flag)),
                ("span", Value::Duration(Span::from_secs(60))),
                ("level", Value::State(level)),
            ];
            let mut arguments = vec![("m".into(), Seen::Point(point.clone()))];
            arguments.extend(literals.map(|(name, value)| (name.into(), Seen::Value(value))));
            (point, arguments, state)
        },
    )
}

#[test]
fn it_answers_what_the_interpreter_answers() {
    let mut runner = TestRunner::deterministic();
    let texts: Vec<String> = (0..600).map(|_| scripts().new_tree(&mut runner).expect("a script").current()).collect();
    let compiled = |keep: &dyn Fn(&str) -> bool| {
        let named = texts.iter().enumerate().map(|(place, text)| (format!("s{place}"), text));
        let scripts = named.filter(|(name, _)| keep(name));
        let scripts = scripts.map(|(name, text)| Script { path: name.clone(), name, text: text.clone() });
        Library::compile(scripts, &Limits::default())
    };
    // Some are refused, for what cannot be true or false.
    let refused = compiled(&|_| true).err().unwrap_or_default();
    let library = compiled(&|name| refused.iter().all(|error| error.path != name)).expect("the others compile");
    let (mut answered, mut told) = (0, 0);
    for (place, text) in texts.iter().enumerate() {
        let Some(function) = library.function(&format!("s{place}")) else { continue };
        let straight = function.straight.as_ref().expect("a budget with room");
        for _ in 0..8 {
            let (point, arguments, state) = calls().new_tree(&mut runner).expect("a call").current();
            let call = CheckCall {
                element: &Element::component("checkout"),
                labels: &Labels::default(),
                state,
                since: (state != State::Unknown).then_some(point.start),
                time: point.end,
                window: Some((point.start, point.end)),
                arguments: &arguments,
            };
            let Some(short) = straight.run(&call) else { continue };
            let long = function.interpreted(&call).expect(text);
            let plain = |verdict: &crate::Verdict| {
                assert_eq!((&*verdict.detail, verdict.expires, &verdict.data), ("", None, &Value::Nothing));
                (verdict.state, verdict.message.to_string())
            };
            assert_eq!(
                short.map(|(state, message)| (state, message.to_owned())),
                long.as_ref().map(plain),
                "{text}\n{call:?}"
            );
            answered += 1;
            told += usize::from(short.is_some_and(|(state, _)| state.propagates()));
        }
    }
    // Else this would hold because nothing is ever answered.
    assert!(answered > 500 && told > 100, "{answered} {told}");
}

#[test]
fn shipped_checks_that_stay_clear_need_no_interpreter() {
    let library = Library::compile(crate::shipped(), &Limits::default()).expect("they compile");
    let time: Time = "2026-03-01T12:00:00Z".parse().expect("a time");
    let band = Band::new(10.0, 8.0, 14.0).expect("a band");
    let point = Point {
        start: time - Span::from_secs(60),
        end: time,
        count: 6,
        values: vec![11.0],
        downsample: [Downsampling::Average].into_iter().collect(),
        incomplete: false,
        baseline: Some(Reading { band, score: Some(0.1), stale: false }),
    };
    for name in ["threshold", "deviation_from_baseline"] {
        let function = library.function(name).expect("it is shipped");
        let arguments: Vec<(Arc<str>, Seen)> = function
            .parameters
            .iter()
            .map(|parameter| match (&*parameter.name, &parameter.default) {
                (_, None) => (parameter.name.clone(), Seen::Point(point.clone())),
                ("deviating", Some(Value::Nothing)) => (parameter.name.clone(), Seen::Value(Value::Number(20.0))),
                (_, Some(default)) => (parameter.name.clone(), Seen::Value(default.clone())),
            })
            .collect();
        let call = CheckCall {
            element: &Element::component("checkout"),
            labels: &Labels::default(),
            state: State::Clear,
            since: Some(time),
            time,
            window: Some((point.start, time)),
            arguments: &arguments,
        };
        let straight = function.straight.as_ref().expect("a budget with room");
        assert_eq!(straight.run(&call), Some(Some((State::Clear, ""))), "{name}");
    }
}

#[test]
fn tight_budgets_and_functions_of_the_script_are_left_to_the_interpreter() {
    let compiled = |text: &str, limits: &Limits| {
        let script = Script { name: "tried".into(), path: "tried.rhai".into(), text: text.into() };
        Library::compile([script], limits).expect("it compiles").function("tried").expect("the function").clone()
    };
    let tight = Limits { script_operations: 64, ..Limits::default() };
    assert!(compiled("fn check(p) { clear() }", &tight).straight.is_some());
    assert!(compiled("fn check(p) { if 1 > 2 { critical(\"\") } clear() }", &tight).straight.is_none());
    let narrow = Limits { script_bytes: 1000, ..Limits::default() };
    assert!(compiled("fn check(p) { clear() }", &narrow).straight.is_none());

    let own = compiled("fn check(p) { clear() } fn clear() { critical(\"mine\") }", &Limits::default());
    let call = CheckCall {
        element: &Element::component("checkout"),
        labels: &Labels::default(),
        state: State::Clear,
        since: None,
        time: Time::from_nanos(0),
        window: None,
        arguments: &[],
    };
    let said = own.check(&call).expect("it runs").expect("it speaks");
    assert_eq!((said.state, &*said.message), (State::Critical, "mine"));
}
