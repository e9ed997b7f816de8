//! What the README shows works: each configuration in it loads, each function compiles, each scenario comes to what it
//! expects, and each file that it points to is there.

use std::path::Path;

const README: &str = include_str!("../../../README.md");

/// A fenced block: what stands after the three ticks, and the text.
struct Block {
    language: &'static str,
    text: String,
}

#[test]
fn configurations_load() {
    let configurations = blocks("yaml");
    assert!(!configurations.is_empty(), "the README shows a configuration");
    for block in configurations {
        let files = [config::File { path: "README.md".to_owned(), text: block.text }];
        let loaded = config::load(&files, scripts(), &|_| None, &|_| Err(std::io::Error::other("there are no files")));
        let settings = loaded.unwrap_or_else(|errors| panic!("{errors}"));
        assert_eq!(settings.render_warnings(false), "");
    }
}

#[test]
fn scenarios_come_to_what_they_expect() {
    let scenarios = blocks("yaml scenario");
    assert!(!scenarios.is_empty(), "the README shows a scenario");
    for block in scenarios {
        let report = scenario::run(&block.text, "README.md", scripts()).unwrap_or_else(|error| panic!("{error}"));
        assert!(report.passed() && !report.cases.is_empty(), "{report}");
    }
}

#[test]
fn links_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for page in ["README.md", "ARCHITECTURE.md", "CHANGELOG.md"] {
        let text = std::fs::read_to_string(root.join(page)).expect("the page is there");
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|target| !target.contains("://")) {
            let file = target.split('#').next().unwrap_or_default();
            assert!(root.join(file).exists(), "{page} points to {target}, which is not there");
        }
    }
}

/// The functions that the README shows; each is introduced by "This is `name.rhai`".
fn scripts() -> Vec<functions::Script> {
    let scripts = blocks("rhai");
    let names = README.match_indices(".rhai`:").map(|(end, _)| {
        let start = README[..end].rfind('`').expect("the name stands between ticks");
        README[start + 1..end].to_owned()
    });
    let names: Vec<String> = names.collect();
    assert!(!names.is_empty() && names.len() == scripts.len(), "each function is introduced by its file's name");
    let script =
        |(name, block): (String, Block)| functions::Script { path: format!("{name}.rhai"), name, text: block.text };
    names.into_iter().zip(scripts).map(script).collect()
}

fn blocks(language: &str) -> Vec<Block> {
    let fenced = README.split("\n```").skip(1).step_by(2);
    let block = |text: &'static str| {
        let (language, text) = text.split_once('\n').unwrap_or((text, ""));
        Block { language, text: format!("{text}\n") }
    };
    fenced.map(block).filter(|block| block.language == language).collect()
}
