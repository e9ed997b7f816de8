//! Scripts that want to break the process. They run in a child process whose address space is limited, so
//! that memory without bounds shows as a death: every one must end as the script's own failure.

mod common;

use common::{baseline, call, compile, complaints, told, told_band, training};
use model::State;
use model::definition::Limits;
use std::process::Command;

#[global_allocator]
static METER: meter::Meter = meter::Meter;

/// What the child may map. The test binary itself and its threads take a part of it.
const ADDRESS_SPACE_KB: usize = 400_000;

/// The stack of the child's thread: half of what threads have unless told.
const STACK_BYTES: &str = "1000000";

/// Name, the kind of failure that is wanted, and the body of `fn check(p)`.
const CALLS: &[(&str, &str, &str)] = &[
    ("infinite loop", "operations", "loop { }"),
    ("infinite loop that catches", "operations", "loop { try { loop { } } catch { } }"),
    ("catches what a function raises", "operations", "loop { try { forever() } catch { } } } fn forever() { loop { }"),
    ("endless range", "operations", "for i in 0..9223372036854775807 { }"),
    ("deep recursion", "depth", "check(p)"),
    ("recursion in two functions", "depth", "other(p) } fn other(p) { check(p)"),
    ("recursion in deep expressions", "depth", "[[[[[[[[[[[[[[check(p)]]]]]]]]]]]]]]"),
    ("recursion of a closure", "depth", "let f = |g| g.call(g); f.call(f)"),
    ("string doubling", "memory", r#"let s = "x"; loop { s += s; }"#),
    (
        "strings kept in an array",
        "memory",
        r#"let s = "x"; s.pad(60000, 'x'); let a = []; loop { let t = s; t += "y"; a.push(t); }"#,
    ),
    ("huge pad", "memory", r#"let s = "x"; s.pad(9223372036854775807, 'x'); s"#),
    ("huge array pad", "memory", "let a = []; a.pad(9223372036854775807, 0); a"),
    ("huge blob", "memory", "blob(9223372036854775807, 0)"),
    ("array doubling", "memory", "let a = [1]; loop { a += a; }"),
    ("array pushed into itself", "memory", "let a = [1]; loop { a.push(a); }"),
    ("nested arrays", "memory", "let a = []; loop { a = [a]; }"),
    ("nested maps", "memory", "let m = #{}; loop { m = #{ m: m }; }"),
    ("maps nested by assignment", "memory", "let m = #{}; loop { m.m = m; }"),
    ("map grown by index", "memory", r#"let m = #{}; let i = 0; loop { m[`k${i}`] = [i, i, i, i]; i += 1; }"#),
    (
        "map grown with long keys",
        "memory",
        r#"let k = "k"; k.pad(60000, 'k'); let m = #{}; let i = 0; loop { m[k + i] = i; i += 1; }"#,
    ),
    (
        "variables without end",
        "memory",
        r#"let s = "x"; s.pad(60000, 'x'); let f = || 1; grow(s, 0, []) } fn grow(s, n, a) { loop { a.push(s + n); n += 1; }"#,
    ),
    ("split into letters", "memory", r#"let s = "x"; s.pad(60000, 'x'); let a = []; loop { a.push(s.split("")); }"#),
    ("replace that multiplies", "memory", r#"let s = "x"; s.pad(60000, 'x'); let t = s; s.replace("x", t); s.len()"#),
    ("interpolation that multiplies", "memory", "let s = \"xxxxxxxxxx\"; loop { s = `${s}${s}${s}${s}`; }"),
    (
        "array printed",
        "memory",
        r#"let s = "x"; s.pad(6000, 'x'); let a = []; for i in 0..10 { a.push(s); } let t = `${a}${a}${a}`; let u = t + t; u + u"#,
    ),
    ("integer overflow", "error", "let i = 9223372036854775807; i + 1"),
    ("integer division by zero", "error", "let zero = 0; 1 / zero"),
    ("remainder by zero", "error", "let zero = 0; 1 % zero"),
    ("least integer by minus one", "error", "let i = -9223372036854775807 - 1; i / -1"),
    ("shift too far", "type", "1 << 99999"),
    ("power too large", "error", "9223372036854775807 ** 9223372036854775807"),
    ("float into integer", "error", "(1.0 / 0.0).to_int()"),
    ("duration overflow", "type", r#"duration("1w") * 1e300"#),
    ("duration by zero", "error", r#"duration("1w") / 0"#),
    ("duration times NaN", "error", r#"duration("1w") * (0.0 / 0.0)"#),
    ("nested, then printed", "error", "let m = 1; for i in 0..990 { m = #{ m: m }; } `${m}`.nowhere()"),
    ("nested, then added to a text", "error", "let m = 1; for i in 0..990 { m = [m]; } (\"\" + m).nowhere()"),
    ("nested, then debugged", "nothing", "let m = 1; for i in 0..990 { m = #{ m: m }; } debug(m); print(m)"),
    ("nested, then compared", "type", "let m = 1; for i in 0..990 { m = [m]; } m == m"),
    ("nested, then JSON", "error", "let m = #{}; for i in 0..990 { m = #{ m: m }; } m.to_json().nowhere()"),
    (
        "nested, then switched",
        "error",
        "let m = 1; for i in 0..990 { m = #{ m: m }; } switch m { 1 => 2, _ => throw 3 }",
    ),
    ("nested, then thrown", "error", "let m = 1; for i in 0..990 { m = #{ m: m }; } throw m"),
    ("nested data", "CLEAR", "let m = 1; for i in 0..990 { m = #{ m: m }; } clear(#{ data: m })"),
    ("index past the end", "error", "[1][5]"),
    ("thrown", "error", r#"throw "no""#),
    ("thrown at length", "error", r#"let s = "x"; s.pad(60000, 'x'); throw s"#),
    ("function by name", "error", r#"Fn("eval").call("1")"#),
    ("deep JSON", "error", r##"let s = "["; s.pad(60000, '['); parse_json("#{a:" + s)"##),
    ("given back wrongly", "type", "5"),
    ("given back a list", "type", "[1, 2]"),
    ("unknown function", "error", "nowhere(1)"),
    ("sorted by nonsense", "type", "let a = []; for i in 0..900 { a.push(i % 7); } a.sort(|a, b| 1 - a); a"),
];

/// Name, the kind of failure that is wanted or `a band`, and the body of `fn baseline(p)` for ten thousand batches.
const BASELINES: &[(&str, &str, &str)] = &[
    ("endless baseline", "operations", "loop { }"),
    ("medians without end", "operations", "loop { p.batches.median(); }"),
    ("selections without end", "operations", "loop { p.batches.same_phase(9); }"),
    ("iterations without end", "operations", "loop { for batch in p.batches { } }"),
    ("forecasts without end", "operations", "loop { p.batches.holt_winters(0.1, 0.1, 0.1); }"),
    ("arrays of values", "memory", "let all = []; for i in 0..1000 { all.push(p.batches.values()); }"),
    (
        "selections kept",
        "memory",
        "let a = p.batches; let m = #{}; let i = 0; loop { m[`${i % 900}`] = a.newest(9000 + i); i += 1; }",
    ),
    ("newest of all numbers", "a band", "let n = p.batches.newest(9223372036854775807).len(); baseline(n, n, n)"),
    ("newest of 1e18", "a band", "let n = p.batches.newest(1e18).len(); baseline(n, n, n)"),
    ("newest of infinitely many", "error", "p.batches.newest(1.0 / 0.0)"),
    ("newest of NaN", "error", "p.batches.newest(0.0 / 0.0)"),
    ("newest of 1e300", "a band", "let n = p.batches.newest(1e300).len(); baseline(n, n, n)"),
    ("oldest of the least number", "error", "p.batches.oldest(-9223372036854775807 - 1)"),
    ("neighbours without end", "a band", "let n = p.batches.same_phase(1000000000).len(); baseline(n, n, n)"),
    ("all neighbours", "a band", "let n = p.batches.same_phase(9223372036854775807).len(); baseline(n, n, n)"),
    ("a phase below all", "error", "p.batches.phase(-1)"),
    ("a phase beyond all", "error", "p.batches.phase(9223372036854775807)"),
    ("percentile of NaN", "error", "p.batches.percentile(0.0 / 0.0)"),
    ("percentile of a denormal", "a band", "let x = p.batches.percentile(5e-324); baseline(x, x, x)"),
    ("percentile beyond all", "error", "p.batches.percentile(100.1)"),
    ("percentile of nothing", "error", "p.batches.newest(0).percentile(50)"),
    ("gain of 5", "error", "p.batches.ewma(5)"),
    ("gain of NaN", "error", "p.batches.ewma(0.0 / 0.0)"),
    (
        "gain of a denormal",
        "a band",
        "let x = p.batches.ewma(5e-324) + p.batches.ewm_stddev(5e-324); baseline(x, x, x)",
    ),
    ("gain of nearly 1", "a band", "let x = p.batches.ewm_stddev(0.9999999999999999); baseline(x, x, x)"),
    ("gain that is a text", "error", r#"p.batches.ewm_stddev("1")"#),
    ("gains of infinity", "error", "p.batches.holt_winters(1.0 / 0.0, 0, 0)"),
    ("gains of 1", "a band", "let x = p.batches.holt_winters(1, 1, 1).error; baseline(x, x, x)"),
    ("index past the end", "error", "p.batches[10000]"),
    ("least index", "error", "p.batches[-9223372036854775807 - 1]"),
    ("batches assigned to", "error", "p.batches = 5"),
    ("batches in each other", "error", "let a = p.batches; a[0] = a"),
    ("band of NaN", "type", "baseline(0.0 / 0.0, 0, 0)"),
    ("band caught", "a band", "try { baseline(1, 2, 3) } catch (error) { `${error}`; } baseline(1, 1, 1)"),
    ("band of bands", "type", "baseline(baseline(1, 1, 1), 1, 1)"),
    ("a bound that is a huge text", "type", r#"let s = "x"; s.pad(60000, 'x'); baseline(1, 1, s)"#),
    ("a batch for an answer", "type", "p.batches[0]"),
    ("batches compared", "error", "p.batches == p.batches"),
    ("batches printed", "error", "throw `${p} ${p.batches} ${p.batches[0]} ${p.batches.newest(2).values()}`"),
];

/// Name, a part of the message that is wanted, and the script.
fn texts() -> Vec<(&'static str, &'static str, String)> {
    let nested = |open: &str, close: &str| {
        format!("fn check(p) {{ let x = {}1{}; clear() }}", open.repeat(5000), close.repeat(5000))
    };
    vec![
        ("nested parentheses", "complexity", nested("(", ")")),
        ("nested arrays", "complexity", nested("[", "]")),
        ("nested maps", "complexity", nested("#{a:", "}")),
        ("nested blocks", "complexity", nested("{", "}")),
        ("nested closures", "complexity", nested("||", "")),
        ("nested not", "complexity", nested("!", "")),
        (
            "nested conditions",
            "complexity",
            format!("fn check(p) {{ {} {} }}", "if true {".repeat(5000), "}".repeat(5000)),
        ),
        (
            "functions that hand on their parameters in every order",
            "none",
            format!(
                "parameters(#{{ a: metric(\"\") }}); fn check(p) {{ f(p.a, p, p, p, p, p, p, p) }} \
                 fn f(a, b, c, d, e, g, h, i) {{ {} }}",
                (0..200).map(|_| "f(b, a, c, d, e, g, h, i); f(b, c, d, e, g, h, i, a); ").collect::<String>()
            ),
        ),
        (
            "nested interpolation",
            "complexity",
            format!("fn check(p) {{ {}1{} }}", "`${".repeat(5000), "}`".repeat(5000)),
        ),
        ("long sum", "complexity", format!("fn check(p) {{ 1{} }}", " + 1".repeat(5000))),
        ("long chain", "complexity", format!("fn check(p) {{ p{} }}", ".a".repeat(5000))),
        ("long script", "at most 262144 are possible", format!("fn check(p) {{ {} }}", "clear(); ".repeat(40_000))),
        ("closure that holds itself", "uses `a` from around it", "fn check(p) { let a = (); a = || a; }".to_owned()),
        (
            "curried closures",
            "expecting name of a property",
            "fn check(p) { let f = |a| a; loop { f = (|a, b| b).curry(f); } }".to_owned(),
        ),
        ("eval", "eval", "fn check(p) { eval(\"1\") }".to_owned()),
        (
            "many functions",
            "functions",
            format!("{} fn check(p) {{ }}", (0..300).map(|i| format!("fn f{i}() {{ }} ")).collect::<String>()),
        ),
        (
            "endless declaration",
            "operations",
            "parameters(#{ a: number(if true { loop { } }) }); fn check(p) { }".to_owned(),
        ),
        ("endless literal", "complexity", format!("fn check(p) {{ [{}] }}", "[".repeat(100_000))),
    ]
}

/// The child's part: one line for each script that did not end as it should.
#[test]
#[ignore = "runs as a child of `every_hostile_script_ends_as_its_own_failure`"]
fn child() {
    println!(); // The harness leaves its line open.
    // More operations than by default, so that memory is what runs out.
    let limits = Limits { script_operations: 1_000_000, ..Limits::default() };
    for (name, wanted, body) in CALLS {
        let function = compile(&format!("fn check(p) {{ {body} }}"), &limits);
        let answer = told(call(&function, State::Unknown, &[]));
        let verdict = if answer.split(' ').next() == Some(wanted) { "well" } else { "BADLY" };
        println!("{verdict}: {name}: {}", answer.chars().take(150).collect::<String>());
    }
    let batches = training(&(0..10_000).map(|hour| format!("{} ", hour % 17)).collect::<String>(), 5_000);
    for (name, wanted, body) in BASELINES {
        let function = compile(&format!("fn baseline(p) {{ {body} }}"), &limits);
        let answer = told_band(baseline(&function, &batches, 5_000, &[]));
        let kind = answer.split(' ').next().filter(|kind| kind.parse::<f64>().is_err()).unwrap_or("a band");
        let verdict = if kind == *wanted { "well" } else { "BADLY" };
        println!("{verdict}: {name}: {}", answer.chars().take(150).collect::<String>());
    }
    for (name, wanted, script) in texts() {
        let answer = complaints(&script);
        let verdict = if answer.contains(wanted) { "well" } else { "BADLY" };
        println!("{verdict}: {name}: {}", answer.chars().take(150).collect::<String>());
    }
}

#[test]
fn every_hostile_script_ends_as_its_own_failure() {
    let executable = std::env::current_exe().expect("the path of this test");
    let limited = format!(
        "ulimit -v {ADDRESS_SPACE_KB}; ulimit -c 0; exec \"$0\" --exact child --ignored --nocapture --test-threads 1"
    );
    let child = Command::new("sh")
        .arg("-c")
        .arg(limited)
        .arg(executable)
        .env("RUST_MIN_STACK", STACK_BYTES)
        .output()
        .expect("the child runs");
    let told = String::from_utf8_lossy(&child.stdout);
    let (well, badly): (Vec<&str>, Vec<&str>) = told
        .lines()
        .filter(|line| line.starts_with("well: ") || line.starts_with("BADLY: "))
        .partition(|line| line.starts_with("well: "));
    let last = told.lines().last().unwrap_or("nothing");
    assert!(badly.is_empty(), "{}", badly.join("\n"));
    assert_eq!(well.len(), CALLS.len() + BASELINES.len() + texts().len(), "{}; the last it said: {last}", child.status);
    assert!(child.status.success(), "{}", child.status);
}
