//! Holds what the architecture says against what is there: the layers against `cargo metadata`, the absences against
//! the sources. Whoever breaks a rule here reads why it stands.

mod json;

use json::Json;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Every crate and its layer. An arrow goes from a crate to one of a lower layer, and nowhere else.
const LAYERS: &[(&str, u8)] = &[
    ("cli", 5),
    ("detection", 5),
    ("drain", 5),
    ("guard", 5),
    ("midnight", 5),
    ("throughput", 5),
    ("xtask", 5),
    ("server", 4),
    ("simulator", 4),
    ("scenario", 3),
    ("store", 3),
    ("config", 2),
    ("engine", 2),
    ("kafka", 2),
    ("oracle", 2),
    ("functions", 1),
    ("codec", 1),
    ("fetch", 1),
    ("online", 1),
    ("api", 1),
    ("model", 0),
    ("meter", 0),
    ("testkit", 0),
];

/// Crates without IO, clock and thread.
const PURE: [&str; 8] = ["model", "codec", "functions", "online", "config", "engine", "oracle", "scenario"];

/// What pure crates do not name, and what they take instead.
const IMPURE: [(&str, &str); 9] = [
    ("SystemTime", "time is an argument, a `model::Time`"),
    ("std::time::Instant", "time is an argument, a `model::Time`"),
    ("Instant::now", "time is an argument, a `model::Time`"),
    ("std::fs", "texts and bytes are arguments; the shell reads files"),
    ("std::net", "records are arguments; the shell has the connections"),
    ("std::thread", "one shard for each worker is an argument; the shell has the threads"),
    ("std::env", "settings are arguments; the shell reads the environment"),
    ("std::process", "effects are returned; the shell performs them"),
    ("tokio", "there is nothing to wait for"),
];

/// No file that one cannot hold in the head.
const LINES: usize = 700;

/// Libraries that are known in one place: the crate, and how its sources would name it.
const ONLY: [(&str, &str, &str); 3] =
    [("store", "rocksdb", "rocksdb::"), ("kafka", "rdkafka", "rdkafka::"), ("functions", "rhai", "rhai::")];

/// A dependency: the crate that has it, its name, and whether it is of tests alone.
struct Arrow {
    from: String,
    to: String,
    dev: bool,
}

#[test]
fn every_crate_has_its_layer() {
    let mut crates: Vec<String> = packages().iter().map(|package| name(package).to_owned()).collect();
    crates.sort();
    let mut layers: Vec<&str> = LAYERS.iter().map(|(name, _)| *name).collect();
    layers.sort();
    assert_eq!(crates, layers, "a crate is added to the table of layers here and in ARCHITECTURE.md");
}

#[test]
fn arrows_go_down_only() {
    check(arrows().iter().filter(|arrow| !arrow.dev).filter_map(|arrow| {
        let (from, to) = (layer(&arrow.from)?, layer(&arrow.to)?);
        (to >= from).then(|| format!("{} ({from}) depends on {} ({to})", arrow.from, arrow.to))
    }));
}

/// What only tests need may lie beside, but not above: cargo would let it, and the drawing would mean nothing.
#[test]
fn tests_do_not_reach_up() {
    check(arrows().iter().filter(|arrow| arrow.dev).filter_map(|arrow| {
        let (from, to) = (layer(&arrow.from)?, layer(&arrow.to)?);
        (to > from).then(|| format!("the tests of {} ({from}) depend on {} ({to})", arrow.from, arrow.to))
    }));
}

/// A fault in common code would hide from both. The models have tests of their own: the oracle asks when they are taught
/// and what, not how they learn.
#[test]
fn the_oracle_shares_nothing_with_the_engine() {
    let is_ours = |arrow: &&Arrow| arrow.from == "oracle" && layer(&arrow.to).is_some();
    check(
        arrows()
            .iter()
            .filter(is_ours)
            .filter(|arrow| !["model", "functions", "online"].contains(&&*arrow.to))
            .map(|arrow| format!("oracle depends on {}", arrow.to)),
    );
}

#[test]
fn the_real_broker_is_of_tests_and_measurements_alone() {
    let arrows = arrows();
    check(
        arrows
            .iter()
            .filter(|arrow| arrow.to == "testkit" && !arrow.dev && arrow.from != "throughput")
            .map(|arrow| format!("{} depends on testkit outside its tests", arrow.from)),
    );
}

#[test]
fn xtask_depends_on_nothing() {
    check(arrows().iter().filter(|arrow| arrow.from == "xtask").map(|arrow| format!("xtask depends on {}", arrow.to)));
}

/// `drain` measures what librdkafka itself costs, and is nothing beside that.
#[test]
fn a_library_is_known_in_one_place() {
    let arrows = arrows();
    for (home, library, path) in ONLY {
        let depends =
            arrows.iter().filter(|arrow| arrow.to == library && ![home, "drain"].contains(&&*arrow.from) && !arrow.dev);
        check(depends.map(|arrow| format!("{} depends on {library}, which only {home} knows", arrow.from)));
        let others = LAYERS.iter().filter(|(name, _)| ![home, "drain", "xtask"].contains(name));
        check(
            others
                .flat_map(|(name, _)| lines_naming(name, path))
                .map(|place| format!("{place}: names {path}, which only {home} knows")),
        );
    }
}

#[test]
fn pure_crates_have_no_io_no_clock_and_no_thread() {
    for name in PURE {
        for (word, instead) in IMPURE {
            check(lines_naming(name, word).into_iter().map(|place| format!("{place}: names {word}; {instead}")));
        }
    }
}

#[test]
fn pure_crates_tell_clippy_so() {
    check(PURE.iter().filter_map(|name| {
        let text = fs::read_to_string(root().join("crates").join(name).join("clippy.toml")).unwrap_or_default();
        (!text.contains("disallowed-methods")).then(|| format!("crates/{name}/clippy.toml bans nothing"))
    }));
}

/// `meter` is an allocator, `drain` and one module of `kafka` call C, which is unsafe: they write their lints out.
#[test]
fn every_crate_takes_the_lints_of_the_workspace() {
    check(LAYERS.iter().filter(|(name, _)| !["drain", "kafka", "meter"].contains(name)).filter_map(|(name, _)| {
        let manifest = read(&folder(name).join("Cargo.toml"));
        (!manifest.contains("[lints]\nworkspace = true")).then(|| format!("{name} has lints of its own"))
    }));
}

#[test]
fn every_module_says_what_it_is() {
    check(sources().into_iter().filter_map(|path| {
        let text = read(&path);
        let opening = text.lines().next().unwrap_or_default();
        let said = opening.strip_prefix("//! ").is_some_and(|said| said.ends_with('.') || said.len() > 10);
        (!said).then(|| format!("{}: does not begin with `//!` and what it is", shown(&path)))
    }));
}

#[test]
fn no_file_is_too_long_for_the_head() {
    check(sources().into_iter().filter_map(|path| {
        let lines = read(&path).lines().count();
        (lines > LINES).then(|| format!("{}: {lines} lines, at most {LINES} wanted", shown(&path)))
    }));
}

/// Otherwise RocksDB and librdkafka would be compiled again for each package that one asks cargo for.
#[test]
fn native_libraries_are_built_once() {
    let features = |selection: &[&str], library: &str| {
        let arguments = ["tree", "--prefix", "none", "--format", "{p} {f}", "--edges"];
        let told = cargo(&[&arguments[..], selection].concat());
        let of_library = told.lines().filter(|line| line.starts_with(&format!("{library} ")));
        of_library.map(|line| line.trim_end_matches(" (*)").to_owned()).collect::<std::collections::BTreeSet<_>>()
    };
    for library in ["librocksdb-sys", "rdkafka-sys", "zstd-sys", "lz4-sys", "libz-sys", "openssl-sys"] {
        let tests = features(&["normal,build,dev", "--workspace"], library);
        assert!(!tests.is_empty(), "{library} is not in the workspace");
        for package in ["cli", "server"] {
            let alone = features(&["normal,build", "--package", package], library);
            assert_eq!(tests, alone, "{library} for all tests, and for `--package {package}`");
        }
    }
}

/// Fails with all findings, each on a line.
#[track_caller]
fn check(findings: impl Iterator<Item = String>) {
    let findings: Vec<String> = findings.collect();
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}

fn layer(name: &str) -> Option<u8> {
    LAYERS.iter().find(|(of, _)| *of == name).map(|(_, layer)| *layer)
}

/// All dependencies of all crates of the workspace, on each other and on others.
fn arrows() -> Vec<Arrow> {
    let packages = packages();
    let of_package = |package: &Json| -> Vec<Arrow> {
        let dependencies = package.get("dependencies").list().iter();
        let arrow = |dependency: &Json| Arrow {
            from: name(package).to_owned(),
            to: name(dependency).to_owned(),
            dev: dependency.get("kind").text() == Some("dev"),
        };
        dependencies.map(arrow).collect()
    };
    packages.iter().flat_map(of_package).collect()
}

fn packages() -> Vec<Json> {
    match Json::read(&cargo(&["metadata", "--no-deps", "--format-version", "1"])) {
        Json::Object(mut members) => match members.remove("packages") {
            Some(Json::List(packages)) => packages,
            other => panic!("packages are {other:?}"),
        },
        other => panic!("cargo metadata is {other:?}"),
    }
}

fn name(of: &Json) -> &str {
    of.get("name").text().expect("a name")
}

fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO")).args(arguments).current_dir(root()).output().expect("cargo runs");
    assert!(output.status.success(), "cargo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("cargo prints text")
}

/// Where the code of a crate names something: comments and what is of tests alone left out.
fn lines_naming(name: &str, word: &str) -> Vec<String> {
    let mut places = Vec::new();
    for path in rust_files(&folder(name).join("src")) {
        if path.ends_with("tests.rs") {
            continue;
        }
        let text = read(&path);
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let lines = code.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"));
        let naming = lines.filter(|(_, line)| line.contains(word));
        places.extend(naming.map(|(number, _)| format!("{}:{}", shown(&path), number + 1)));
    }
    places
}

/// All files of Rust under crates/ and benches/.
fn sources() -> Vec<PathBuf> {
    ["crates", "benches"].iter().flat_map(|folder| rust_files(&root().join(folder))).collect()
}

/// Where a crate lies.
fn folder(name: &str) -> PathBuf {
    let bench = root().join("benches").join(name);
    if bench.exists() { bench } else { root().join("crates").join(name) }
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut sorted = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let entry = entry.expect("an entry of a folder");
        sorted.insert(entry.path(), entry.file_type().expect("its type"));
    }
    for (path, kind) in sorted {
        if kind.is_dir() && path.file_name().is_some_and(|name| name != "target") {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("crates/xtask lies two below the root")
}
