//! Scripts that want to break the process. They run in a child process whose address space is limited, so
//! that memory without bounds shows as a death: every one must end as the script's own failure.

mod common;

use common::{call, compile, complaints, told};
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
    assert_eq!(well.len(), CALLS.len() + texts().len(), "{}; the last it said: {last}", child.status);
    assert!(child.status.success(), "{}", child.status);
}
