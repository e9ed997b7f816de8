//! What is typed, what is answered, and with which exit code.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

fn vitalsign(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vitalsign"));
    command.args(arguments);
    command
}

/// The exit code, and these words in what was said.
fn check(arguments: &[&str], code: i32, words: &[&str]) {
    let output = vitalsign(arguments).output().expect("it runs");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    for word in words {
        assert!(said.contains(word), "{arguments:?}: {word:?} is not in\n{said}");
    }
}

fn written(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).expect("a file");
    path.display().to_string()
}

#[test]
fn help_has_examples() {
    check(&["--help"], 0, &["vitalsign demo", "Exit codes: 0"]);
    for command in ["run", "demo", "simulate", "validate", "test", "health"] {
        check(&[command, "--help"], 0, &["Usage: vitalsign"]);
    }
    check(&["runn"], 2, &["unrecognized subcommand"]);
    check(&["test", "--log", "=="], 2, &["--log =="]);
}

#[test]
fn a_configuration_is_validated() {
    let folder = tempfile::tempdir().expect("a folder");
    let good = r#"
sources:
  m: { topics: [m], format: json, name: up, value: /v, time: /t in ms }
streams:
  up: { source: m, select: { metric: up } }
  down: { source: m, select: { metric: down } }
baselines:
  usual: { stream: up, function: min_max, window: batching 1h, downsample: average }
components:
  a: { type: box }
checks:
  high:
    on: { type: box }
    function: threshold
    arguments: { metric: { stream: up, window: batching 10s, downsample: maximum }, critical: 50 }
"#;
    let path = written(folder.path(), "good.yaml", good);
    let learned = ["baseline usual: min_max of stream up, batching 1h, average", "    train: 4w", "1 baseline,"];
    let bound = ["high: threshold on a", "critical: 50", "down", "the configuration is good", "1 warning"];
    check(&["validate", &path], 0, &[&learned[..], &bound[..]].concat());
    let wrong = good.replace("threshold", "treshold").replace("select: { metric: down }", "select: down");
    let bad = written(folder.path(), "bad.yaml", &wrong);
    check(&["validate", &bad], 2, &["treshold", "did you mean `threshold`?", "there are 2 errors"]);
    check(&["run", &bad], 2, &["did you mean `threshold`?"]);
    check(&["run", "nowhere.yaml"], 2, &["nowhere.yaml: there is no such file or folder"]);
    let empty = written(folder.path(), "empty.yaml", "listen: 127.0.0.1:0");
    check(&["run", &empty], 2, &["there is nothing to watch"]);
    let empty = folder.path().join("nothing");
    std::fs::create_dir(&empty).expect("a folder");
    check(&["validate", &empty.display().to_string()], 2, &["the folder holds no *.yaml"]);
}

#[test]
fn scenarios_are_run() {
    check(&["test"], 0, &["ok     check-functions/threshold.scenario.yaml", " 0 failed"]);
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../check-functions/threshold.scenario.yaml");
    let text = std::fs::read_to_string(shipped).expect("a file");
    let folder = tempfile::tempdir().expect("a folder");
    let path = written(folder.path(), "wrong.scenario.yaml", &text.replace("CRITICAL", "DEVIATING"));
    check(&["test", &path], 1, &["FAILED", "- expected, + came", "CRITICAL"]);
}

#[test]
fn a_server_that_does_not_answer_is_named() {
    check(&["health", "--server", "127.0.0.1:1"], 1, &["no server answers at 127.0.0.1:1", "vitalsign run"]);
    check(&["health", "--server", "::"], 2, &["wanted is an address such as"]);
}

/// Ends with the test, however that ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_demo_tells_what_happens_and_answers_questions() {
    let mut command = vitalsign(&["demo", "--listen", "127.0.0.1:0", "--for", "2m"]);
    let mut demo = Running(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it runs"));
    let mut lines = BufReader::new(demo.0.stdout.take().expect("its output")).lines().map(|line| line.expect("text"));
    let taught = lines.next().expect("a line");
    assert!(taught.starts_with("# the baselines `seen sales`, `usual sales` have learned 20160 samples"), "{taught}");
    let open = lines.next().expect("a line");
    let address = open.rsplit(' ').next().expect("an address");
    let transition = lines.find(|line| !line.starts_with('#') && line.contains("->")).expect("a transition");
    assert!(transition.contains(" UNKNOWN -> "), "{transition}");

    let output = vitalsign(&["health", "--server", address, "--output", "json"]).output().expect("it runs");
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let elements = found["elements"].as_array().expect("elements");
    assert!(elements.iter().any(|element| element["name"] == "checkout"), "{found}");
    let output = vitalsign(&["health", "--server", address, "checkout"]).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("ELEMENT") && said.contains("slow answers"), "{said}");
    check(&["health", "--server", address, "nobody"], 1, &["nobody"]);

    // The shell's own `kill`: a minimal system has no other.
    let signalled = Command::new("sh").args(["-c", "kill -TERM \"$1\"", "sh", &demo.0.id().to_string()]).status();
    assert!(signalled.expect("a shell").success());
    let last = lines.last().expect("a line");
    assert!(last.starts_with("# the shop closes after "), "{last}");
    assert!(demo.0.wait().expect("an end").success());
}
