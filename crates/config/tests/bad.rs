//! A configuration that is wrong is told so, all at once, where and how to mend it.
//!
//! `bad.txt` holds the cases: `=== name`, the YAML, `--->`, and what is printed. In a case of several files each
//! begins with `--- path`. Where what is printed differs, the whole file as it would be right is written to the
//! folder that the message names.

use config::{File, load};
use functions::Script;
use std::path::Path;

const CASES: &str = include_str!("bad.txt");
const EXAMPLE: &str = include_str!("example.yaml");

/// Functions of users, each for the cases that hold a text: its name, that text, and the script.
const SCRIPTS: [(&str, &str, &str); 5] = [
    (
        "broken",
        "function: broken",
        "//! Broken.\nparameters(#{ value: metric(\"the value\") });\nfn check(p) {\n    let x = ;\n}\n",
    ),
    (
        "usual",
        "function: usual",
        "//! Usual.\nparameters(#{ factor: number(\"how often the spread\", 3), margin: number(\"what is added\") });\n\
         fn baseline(p) { baseline(1, 1 - p.margin, 1 + p.factor) }\n",
    ),
    (
        "unusual",
        "function: unusual",
        "//! Unusual.\nparameters(#{ metric: metric(\"what is held against its baseline\") });\n\
         fn check(p) { if p.metric.deviation >= 1.0 { deviating(\"unusual\") } else { clear() } }\n",
    ),
    ("deviation", "# functions/deviation.rhai", "//! Mine.\nfn baseline(p) { baseline(1, 1, 1) }\n"),
    ("novelty", "# functions/novelty.rhai", "//! Mine.\nfn baseline(p) { baseline(1, 1, 1) }\n"),
];

fn problems(yaml: &str) -> String {
    let mut files = Vec::new();
    for part in format!("--- vitalsign.yaml\n{yaml}").split("--- ").skip(1) {
        let (path, text) = part.split_once('\n').expect("a path and a text");
        if !text.trim().is_empty() {
            files.push(File { path: path.to_owned(), text: text.to_owned() });
        }
    }
    let scripts = SCRIPTS.into_iter().filter(|(_, marker, _)| yaml.contains(marker)).map(|(name, _, text)| Script {
        name: name.to_owned(),
        path: format!("functions/{name}.rhai"),
        text: text.to_owned(),
    });
    let missing = |_: &str| Err(std::io::Error::new(std::io::ErrorKind::NotFound, "no such file"));
    match load(&files, scripts.collect(), &|_| None, &missing) {
        Ok(settings) => settings.render_warnings(false),
        Err(errors) => errors.render(false),
    }
}

#[test]
fn problems_are_printed_as_in_the_cases() {
    let mut written = String::new();
    let mut wrong = Vec::new();
    for case in CASES.split("=== ").skip(1) {
        let (name, rest) = case.split_once('\n').expect("a name");
        let (yaml, wanted) = rest.split_once("--->\n").expect("a case has `--->`");
        let found: Vec<String> = problems(yaml).lines().map(|line| line.trim_end().to_owned()).collect();
        let found = found.join("\n");
        if found.trim() != wanted.trim() {
            wrong.push(format!("=== {name}\n{found}"));
        }
        written.push_str(&format!("=== {name}\n{yaml}--->\n{}\n\n", found.trim_end()));
    }
    if !wrong.is_empty() {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bad.txt");
        std::fs::write(&path, written).expect("a file");
        panic!("{}\nas it is now: {}", wrong.join("\n\n"), path.display());
    }
}

#[test]
fn colours_are_only_there_when_wanted() {
    let files = [File { path: "a.yaml".into(), text: "listen: 7".into() }];
    let errors = load(&files, Vec::new(), &|_| None, &|_| Ok(String::new())).expect_err("no address");
    assert!(errors.render(true).contains('\u{1b}'));
    assert!(!errors.to_string().contains('\u{1b}'));
    assert_eq!((errors.problems()[0].line, errors.problems()[0].column), (1, 9));
}

/// Whatever is cut out of the example or put into it, reading it ends with settings or with problems that print.
#[test]
fn mutated_examples_never_panic() {
    let pieces =
        ["{", "}", "[", "]", ": ", "- ", "\"", "'", "!", "&a ", "*a", "\n", "\t", "é", "0", "~", "{host}", "#", "|"];
    let places: Vec<usize> = EXAMPLE.char_indices().map(|(at, _)| at).collect();
    // A linear congruential generator (Knuth, MMIX), so that every run sees the same cases.
    let mut state: u64 = 42;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let mut refused = 0;
    for _ in 0..200 {
        let at = places[random(places.len())];
        let to = places[random(places.len())].clamp(at, at.saturating_add(12).min(EXAMPLE.len()));
        let to = (to..=EXAMPLE.len()).find(|to| EXAMPLE.is_char_boundary(*to)).expect("the end is one");
        let text = format!("{}{}{}", &EXAMPLE[..at], pieces[random(pieces.len())], &EXAMPLE[to..]);
        let files = [File { path: "a.yaml".into(), text }];
        if let Err(errors) = load(&files, Vec::new(), &|_| Some(String::new()), &|_| Ok(String::new())) {
            assert!(!errors.render(false).is_empty());
            refused += 1;
        }
    }
    assert!(refused > 20, "{refused}");
}
