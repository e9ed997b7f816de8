//! What baseline functions can say, what is refused before they run, how they fail, and what check functions see of
//! what they said.

mod common;

use common::{baseline, call, compile, complaints, expected, told, told_band, training};
use functions::{FunctionKind, Seen};
use model::definition::Limits;
use model::{Band, Point, Reading, State};

/// What a baseline function says to a training window with periods of four hours.
#[track_caller]
fn says(values: &str, body: &str, wanted: &str) {
    let function = compile(&format!("fn baseline(p) {{ {body} }}"), &Limits::default());
    assert_eq!(told_band(baseline(&function, &training(values, 4), 4, &[])), wanted, "{body}");
}

/// A number that a baseline function makes of its training window.
#[track_caller]
fn reckons(values: &str, number: &str, wanted: f64) {
    let function = compile(&format!("fn baseline(p) {{ let x = {number}; baseline(x, x, x) }}"), &Limits::default());
    let answer = baseline(&function, &training(values, 4), 4, &[]);
    let found = answer.unwrap_or_else(|failure| panic!("{number}: {failure}")).map(|band| band.average);
    assert!(found.is_some_and(|found| (found - wanted).abs() < 1e-9), "{number}: {found:?}, {wanted} is wanted");
}

#[test]
fn it_says_a_band_or_nothing() {
    says("1 2 3", "baseline(2, 1, 3.5)", "2 (1 to 3.5)");
    says("1 2 3", "baseline(p.batches.mean(), p.batches.minimum(), p.batches.maximum())", "2 (1 to 3)");
    says("1 2 3", "if p.batches.len() < 4 { return; } baseline(2, 1, 3)", "nothing");
    says("1", r#"let b = baseline(2, 1, 3.5); throw `${b}, ${b.lower}`"#, "error at 1:47: 2 (1 to 3.5), 1.0");
}

#[test]
fn it_sees_the_batch_that_comes_next() {
    says("1 2 3 4 5 6", "baseline(p.phase, p.phase, p.phases)", "2 (2 to 4)");
    says("1 2", r#"throw `${p.period} ${p.start} ${p.end} ${p.labels.host}`"#, {
        "error at 1:18: 4h 2026-02-02T02:00:00Z 2026-02-02T03:00:00Z web-1"
    });
}

#[test]
fn it_selects_batches() {
    let window = "0 1 2 3 10 11! _ 13 20 21 22 23";
    says(window, "let n = p.batches.len(); baseline(n, p.batches.count(), n + p.batches.with_anomalous().len())", {
        "10 (10 to 21)"
    });
    reckons(window, "p.batches.same_phase().sum()", 30.0);
    reckons(window, "p.batches.same_phase(1).sum()", 91.0);
    reckons(window, "p.batches.same_phase(2.0).len()", 10.0);
    reckons(window, "p.batches.phase(1).sum()", 22.0);
    reckons(window, "p.batches.with_anomalous().phase(1).sum()", 33.0);
    reckons(window, "p.batches.newest(3).sum()", 66.0);
    reckons(window, "p.batches.oldest(2).sum()", 1.0);
    reckons(window, "p.batches.newest(100).len()", 10.0);
    reckons(window, "p.batches.newest(3).same_phase().len()", 0.0);
    reckons(window, "p.batches[-1].value + p.batches[0].value + p.batches.first.phase + p.batches.last.count", 83.0);
    says(
        window,
        "for b in p.batches.with_anomalous() { if b.anomalous { return baseline(b.value, b.phase, 12); } }",
        "11 (1 to 12)",
    );
    reckons(window, "(p.batches[5].start - p.batches[4].start).hours + p.batches[5].phase", 6.0);
    reckons(window, "p.batches.values().len()", 10.0);
}

#[test]
fn it_reckons_with_batches() {
    let window = "2 4 4 4 5 5 7 9";
    reckons(window, "p.batches.mean()", 5.0);
    reckons(window, "p.batches.median()", 4.5);
    reckons(window, "p.batches.mad()", 0.5);
    reckons(window, "p.batches.percentile(51)", 5.0);
    reckons("1 10 5 _ 3 14 5 0 8 12 5", "p.batches.mad_by_phase()", 0.0);
    reckons("1 10 5 _ 3 14 5 0 8 12 5", "p.batches.same_phase(1).mad_by_phase()", 0.0);
    reckons("1 10 _ _ 3 14 _ _ 8 12", "p.batches.mad_by_phase()", 2.0);
    reckons(window, "p.batches.stddev()", (32.0f64 / 7.0).sqrt());
    reckons(window, "p.batches.newest(2).ewma(0.5)", (9.0 + 3.5) / 1.5);
    reckons(window, "p.batches.ewma(1)", 9.0);
    reckons(window, "p.batches.ewm_stddev(1)", 0.0);
    reckons(window, "p.batches.ewma(1e-18)", 5.0);
    reckons(window, "p.batches.ewm_stddev(1e-18)", (32.0f64 / 7.0).sqrt());
    reckons("0.1 0.1 0.1 0.1 0.1 0.1 0.1", "p.batches.mean() - p.batches.minimum()", 0.0);
}

#[test]
fn it_forecasts_level_trend_and_season() {
    // Rises by 1 an hour, with a season of its own, and hours that are missing.
    let season = [0.0, 5.0, -2.0, 1.0];
    let value = |hour: usize| 100.0 + hour as f64 + season[hour % 4];
    let rising = |missing: &[usize]| {
        let hour = |hour| if missing.contains(&hour) { "_".to_owned() } else { value(hour).to_string() };
        (0..22).map(hour).collect::<Vec<_>>().join(" ")
    };
    for missing in [&[][..], &[1], &[3, 4, 5, 13], &[16, 17, 18, 19, 20, 21]] {
        reckons(&rising(missing), "p.batches.holt_winters(0.3, 0.1, 0.2).average", value(22));
        reckons(&rising(missing), "p.batches.holt_winters(0.3, 0.1, 0.2).error", 0.0);
    }
    let unseen = "1 2 _ 3 4 5 _ 6 7 8";
    says(unseen, "if p.batches.holt_winters(0.3, 0.1, 0.2) == () { return; } baseline(1, 1, 1)", "nothing");
    says("1 2 3 4", "if p.batches.holt_winters(0.3, 0.1, 0.2) == () { return; } baseline(1, 1, 1)", "nothing");
}

#[test]
fn what_is_no_band_is_the_functions_failure() {
    says("1", "baseline(2, 3, 4)", "type at 1:18: baseline(2, 3, 4): lower <= average <= higher is wanted");
    says("1", "let x = 5;\nbaseline(2, 1, 1)", "type at 2:1: baseline(2, 1, 1): lower <= average <= higher is wanted");
    says("1", "baseline(0.0 / 0.0, 1, 2)", "type at 1:18: baseline(NaN, 1, 2) has a number that is not finite");
    says("1", "baseline(1, 0, 1.0 / 0.0)", "type at 1:18: baseline(1, 0, inf) has a number that is not finite");
    let wanted = "type at 1:18: baseline(average, lower, higher) takes numbers, a text found";
    says("1", r#"baseline(1, 0, "2")"#, wanted);
    says(
        "1",
        "baseline(1, 0, p.batches.maximum)",
        "error at 1:43: unknown property 'maximum' - a getter is not registered for type 'batches'",
    );
    let wanted = "is wanted";
    says(
        "1",
        "5",
        &format!(
            "type at 0:0: the function gave back the number 5, baseline(average, lower, higher) or nothing {wanted}"
        ),
    );
    says(
        "1",
        "p.batches",
        &format!(
            "type at 0:0: the function gave back a set of batches, baseline(average, lower, higher) or nothing {wanted}"
        ),
    );
    says(
        "1",
        "clear()",
        &format!("type at 0:0: the function gave back a answer, baseline(average, lower, higher) or nothing {wanted}"),
    );
}

#[test]
fn errors_of_scripts_say_where() {
    says("_", "baseline(p.batches.mean(), 0, 0)", "error at 1:37: there are no batches to reckon with");
    says("_", "p.batches[0]", "error at 1:27: there is no batch 0: there are 0");
    says("1", "p.batches.phase(4)", "error at 1:28: phase(4) lies outside 0 to 3");
    says("1", "p.batches.same_phase(-1)", "error at 1:28: same_phase(-1): a number of neighbours from 0 is wanted");
    says("1", "p.batches.same_phase(0.5)", "error at 1:28: same_phase(0.5): a whole number is wanted");
    says("1", "p.batches.newest(-1)", "error at 1:28: newest(-1): a number of batches from 0 is wanted");
    says("1", "p.batches.ewma(0)", "error at 1:28: ewma: a gain above 0 is wanted");
    says("1", "p.batches.ewma(5)", "error at 1:28: ewma: the gain 5 lies outside 0 to 1");
    says("1", r#"p.batches.holt_winters(1, 0, "x")"#, "error at 1:28: holt_winters: the gain x lies outside 0 to 1");
    says("1", "p.batches.same_phase().with_anomalous()", {
        "error at 1:41: with_anomalous() brings back all batches; it belongs before what selects: \
         p.batches.with_anomalous().same_phase()"
    });
    says(
        "1",
        "p.batches > 5",
        "error at 1:28: a set of batches cannot be compared with a number; `.last.value` is its newest number",
    );
    says("1", "loop { }", "operations at 0:0: the budget of operations is used up");
}

#[test]
fn natives_count_by_the_batches_that_they_read() {
    let many = vec!["1.5"; 5_000].join(" ");
    let body = "for i in 0..10000 { p.batches.median(); } baseline(1, 1, 1)";
    says("1 2 3", body, "1 (1 to 1)");
    says(&many, body, "operations at 0:0: the budget of operations is used up");
}

#[test]
fn scripts_are_refused_before_they_run() {
    let check = |script: &str, wanted: &str| assert_eq!(complaints(script), wanted, "{script}");
    for (kind, written) in
        [("metric", "metric(\"\")"), ("series", "series(\"\")"), ("table of metric", "table(metric(\"\"))")]
    {
        check(
            &format!("parameters(#{{ other: {written} }});\nfn baseline(p) {{ }}"),
            &format!(
                "tried.rhai:1:15: `other` is a {kind}: a baseline function is given the batches of its own stream and no \
             other; number, duration, text, boolean, state, and lists and tables of these are possible"
            ),
        );
    }
    check("parameters(#{ period: duration(\"\") });\nfn baseline(p) { }", {
        "tried.rhai:1:15: every baseline function has `p.period` already"
    });
    check("fn baseline(p) { p.batch }", "tried.rhai:1:20: there is no parameter `batch`; did you mean `batches`?");
    check("fn baseline(p) { p.state }", "tried.rhai:1:20: there is no parameter `state`; did you mean `start`?");
    check("fn check(p) { } fn baseline(p) { }", {
        "tried.rhai: the script has both `fn check(p)` and `fn baseline(p)`, one of them is wanted"
    });
    check("fn baseline(p, q) { }", "tried.rhai: `fn baseline` has 2 parameters, one is wanted");
}

#[test]
fn parameters_are_literals() {
    let script = r#"parameters(#{ width: number("how wide", 3), weights: list(number(""), [1, 2]) });
        fn baseline(p) { baseline(p.width, p.weights[0], p["width"] + p.weights.len()) }"#;
    let function = compile(script, &Limits::default());
    assert_eq!(function.kind, FunctionKind::Baseline);
    let answer = baseline(&function, &training("1", 4), 4, &[("width", common::number(4.0))]);
    assert_eq!(told_band(answer), "4 (1 to 6)");
}

/// The answer of a check function with a metric `m` whose point this is.
fn sees(point: Point, body: &str) -> String {
    let function =
        compile(&format!("parameters(#{{ m: metric(\"\") }});\nfn check(p) {{ {body} }}"), &Limits::default());
    told(call(&function, State::Clear, &[("m", Seen::Point(point))]))
}

#[test]
fn checks_see_the_baseline_of_a_point() {
    let all =
        "let b = p.m.baseline; clear(`${b.average} ${b.lower} ${b.higher} ${b.stale} ${p.m.deviation} ${p.m.score}`)";
    assert_eq!(sees(expected(15.0, None, false), all), "CLEAR: 10.0 8.0 14.0 false 1.25 ");
    assert_eq!(sees(expected(7.0, Some(0.25), true), all), "CLEAR: 10.0 8.0 14.0 true -1.5 0.25");
    let band = Band::new(1.0, 1.0, 1.0).expect("a band");
    let narrow = Point { baseline: Some(Reading { band, score: None, stale: false }), ..common::point(0, 0.5) };
    let infinite = "if p.m.deviation.is_infinite() && p.m.deviation < 0 { clear(`${p.m.baseline}`) }";
    assert_eq!(sees(narrow, infinite), "CLEAR: 1 (1 to 1)");
    let none = "if p.m.baseline == () && p.m.deviation == () && p.m.score == () { clear() }";
    assert_eq!(sees(common::point(0, 1.0), none), "CLEAR");
    let rows = Seen::Rows(vec![(model::Labels::new([("host", "a")]), "a".into(), expected(12.0, None, false))]);
    let script =
        "parameters(#{ t: table(metric(\"\")) });\nfn check(p) { clear(`${p.t.a.deviation} ${p.t[\"a\"].baseline}`) }";
    let answer = call(&compile(script, &Limits::default()), State::Clear, &[("t", rows)]);
    assert_eq!(told(answer), "CLEAR: 0.5 10 (8 to 14)");
}

#[test]
fn a_script_shows_whose_baseline_it_reads() {
    let reads = |body: &str, wanted: &str| {
        let script = format!(
            "parameters(#{{ m: metric(\"\"), n: metric(\"\"), s: series(\"\"), t: table(metric(\"\")), l: list(metric(\"\")),
             e: events(\"\"), levels: table(number(\"\"), #{{}}) }});\nfn check(p) {{ {body} }}"
        );
        let function = compile(&script, &Limits::default());
        let found = function.parameters.iter().filter(|parameter| parameter.reads_baseline);
        let found: Vec<&str> = found.map(|parameter| &*parameter.name).collect();
        assert_eq!(found.join(" "), wanted, "{body}");
    };
    reads("p.m.value + p.n.average", "");
    reads("p.m.baseline.average", "m");
    reads("if p.m.baseline == () { return; } clear(`${p.n.score.brief()}`)", "m n");
    reads("p.m.deviation > 1.0 && p.n.value > 1.0", "m");
    reads("p[\"m\"].deviation", "m");
    reads("p.s[-1].baseline.average + p.t[\"a\"].deviation + p.l[0].score", "s t l");
    reads("p.s.last.deviation + p.t.get(\"a\").deviation + p.l.first().score", "s t l");
    reads("for point in p.s { point.deviation }", "s");
    reads("for row in p.t { row.point.deviation }", "t");
    reads("let x = p.m; let y = x; y.baseline.average", "m");
    reads("let x = p.m; x.value", "");
    reads("let x = p.m; let x = 5; x.score", "");
    reads("shown(p.n) } fn shown(point) { point.deviation", "n");
    reads("shown(p, 1) } fn shown(all, one) { if one > 0 { shown(all, 0) } all.m.deviation", "m");
    reads("a(p.m, p.n) } fn a(x, y) { b(y, x) } fn b(x, y) { x.baseline", "n");
    // Neither is a point: a field of a literal, and of an event.
    reads("p.levels.score + p.e[0].score", "");
}
