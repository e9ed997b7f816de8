//! Every function that is shipped has scenarios beside it, and they pass. Reports say what differs.

use std::path::Path;

fn run(path: &Path) -> scenario::Report {
    let text = std::fs::read_to_string(path).expect("a file of scenarios");
    let name = path.file_name().expect("a name").to_string_lossy();
    scenario::run(&text, &name, Vec::new()).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn every_shipped_function_has_scenarios_that_pass() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../check-functions");
    let reports: Vec<_> = functions::shipped()
        .iter()
        .map(|script| run(&folder.join(format!("{}.scenario.yaml", script.name))))
        .filter(|report| !report.passed() || report.cases.is_empty())
        .map(|report| report.to_string())
        .collect();
    assert!(reports.is_empty(), "\n{}", reports.concat());
}

#[test]
fn the_example_passes() {
    let report = run(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/example.scenario.yaml"));
    assert!(report.passed(), "\n{report}");
}

/// A scenario with one series, `up`, and a threshold at 1 on `a`.
fn check(given: &str, expect: &str, wanted: &str) {
    let text = format!(
        r#"
configuration: |
  streams:
    up: {{ source: samples, select: {{ metric: up }} }}
  components:
    a: {{}}
  checks:
    c:
      on: a
      function: threshold
      arguments:
        metric: {{ stream: up, window: sliding 10s every 10s, downsample: last }}
        critical: 1
scenarios:
  s:
    given: {given}
    expect: {expect}
"#
    );
    let found = match scenario::run(&text, "t.yaml", Vec::new()) {
        Ok(report) => report.to_string(),
        Err(error) => error.to_string(),
    };
    assert!(found.contains(wanted), "{wanted:?} is not in\n{found}");
}

#[test]
fn a_report_shows_what_was_expected_beside_what_came() {
    let given = "[{ every: 10s, series: { up: 0 1 } }]";
    check(given, "[10s a CLEAR, 20s a CRITICAL]", "ok     t.yaml: s\n");
    check(
        given,
        "[10s a DEVIATING, '20s a CRITICAL \"2\"']",
        "FAILED t.yaml: s\n    - expected, + came\n    + 10s a CLEAR \"0\"\n    - 10s a DEVIATING\n    \
         - 20s a CRITICAL \"2\"\n    + 20s a CRITICAL \"1, at or above 1\"\n",
    );
    check(given, "[10s a CLEAR]", "+ 20s a CRITICAL");
}

#[test]
fn what_cannot_be_read_is_told() {
    check("[{ series: { up: 1 } }]", "[]", "scenario `s`: `every` is missing beside `series`");
    check("[{ every: 10s, series: { up: one } }]", "[]", "`one` is no value such as 3");
    check("[{ events: [{ type: x }] }]", "[]", "an event has no `at`, such as `at: 20s`");
    check("[{ every: 10s, kind: total, series: {} }]", "[]", "`total` is no kind; there are gauge");
    check("[]", "[10s CLEAR]", "is no transition such as");
    check("[]\n    unless: 1", "[]", "unless");
}
