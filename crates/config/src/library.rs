//! The functions that checks, baselines and elements name: the shipped scripts and the user's, compiled.

use crate::problem::{File, Place, Problems, suggest};
use crate::raw::Node;
use functions::{Function, FunctionKind, Library, Script};
use model::definition::Limits;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The models that may stand where a baseline function does.
pub(crate) const ONLINE_MODELS: [&str; 2] = ["deviation", "novelty"];

/// The compiled functions, and the names of those that could not be compiled.
pub(crate) struct Functions {
    pub(crate) library: Library,
    broken: BTreeSet<String>,
}

/// Compiles the shipped scripts and the user's, which replace shipped ones of their name.
pub(crate) fn compile(scripts: Vec<Script>, limits: &Limits, problems: &mut Problems) -> Functions {
    let replaced: BTreeSet<String> = scripts.iter().map(|script| script.name.clone()).collect();
    let mut all: Vec<Script> =
        functions::shipped().into_iter().filter(|shipped| !replaced.contains(&shipped.name)).chain(scripts).collect();
    let mut broken = BTreeSet::new();
    loop {
        let errors = match Library::compile(all.iter().cloned(), limits) {
            Ok(library) => {
                refuse_models(&library, &all, &mut broken, problems);
                return Functions { library, broken };
            }
            Err(errors) => errors,
        };
        for error in &errors {
            let text = all.iter().find(|script| script.path == error.path).map_or("", |script| &script.text);
            let place = place(&error.path, text, error.line, error.column, problems);
            problems.error(&place, error.message.clone());
        }
        // The others are compiled without those that are wrong, so that what names them can be checked.
        let before = all.len();
        all.retain(|script| {
            let wrong = errors.iter().any(|error| error.path == script.path);
            if wrong {
                broken.insert(script.name.clone());
            }
            !wrong
        });
        if all.len() == before {
            all.clear();
        }
    }
}

/// Refuses baseline functions that nobody could name, because an online model has their name.
fn refuse_models(library: &Library, scripts: &[Script], broken: &mut BTreeSet<String>, problems: &mut Problems) {
    for function in library.iter().filter(|function| function.kind == FunctionKind::Baseline) {
        let name = &*function.name;
        let script = scripts.iter().find(|script| script.name == name);
        let Some(script) = script.filter(|_| ONLINE_MODELS.contains(&name)) else { continue };
        let place = place(&script.path, &script.text, 1, 1, problems);
        let message = format!("`{name}` is an online model, so no baseline function can have this name");
        problems.error(&place, message).help(format!("rename the file, such as to `my_{name}.rhai`"));
        broken.insert(name.to_owned());
    }
}

/// Where a script's line and column lie. The script becomes one of the files that problems are shown in.
fn place(path: &str, text: &str, line: usize, column: usize, problems: &mut Problems) -> Place {
    let file = match problems.files.iter().position(|file| file.path == path) {
        Some(file) => file,
        None => {
            problems.files.push(File { path: path.to_owned(), text: text.to_owned() });
            problems.files.len() - 1
        }
    };
    let start = match line {
        0 | 1 => 0,
        _ => text.match_indices('\n').nth(line - 2).map_or(text.len(), |(at, _)| at + 1),
    };
    let line_text = text[start..].lines().next().unwrap_or("");
    let offset = line_text.char_indices().nth(column.saturating_sub(1)).map_or(line_text.len(), |(at, _)| at);
    let length = line_text[offset..].chars().next().map_or(0, char::len_utf8);
    Place { file, span: start + offset..start + offset + length }
}

impl Functions {
    /// The function of this name and kind.
    pub(crate) fn find(
        &self,
        name: &str,
        kind: FunctionKind,
        node: &Node,
        problems: &mut Problems,
    ) -> Option<&Arc<Function>> {
        if self.broken.contains(name) {
            return None;
        }
        let wanted = what(kind);
        let known = self.library.iter().filter(|function| function.kind == kind).map(|function| &*function.name);
        let models = ONLINE_MODELS.into_iter().filter(|_| kind == FunctionKind::Baseline);
        let help = suggest(name, known.chain(models));
        let is = match self.library.function(name) {
            Some(function) if function.kind == kind => return Some(function),
            Some(function) => what(function.kind),
            None if ONLINE_MODELS.contains(&name) => "online model",
            None => {
                problems.error(&node.place, format!("{}: there is no {wanted} `{name}`", node.path)).help(help);
                return None;
            }
        };
        let article = if is.starts_with('o') { "an" } else { "a" };
        let message = format!("{}: `{name}` is {article} {is}, a {wanted} is wanted", node.path);
        let learns = matches!(is, "baseline function" | "online model");
        problems.error(&node.place, message).help(match learns && kind == FunctionKind::Check {
            true => "name it under `baselines:`, and read that baseline with a check function such as \
                     `deviation_from_baseline`"
                .to_owned(),
            false => help,
        });
        None
    }
}

/// What a function of this kind is called.
fn what(kind: FunctionKind) -> &'static str {
    match kind {
        FunctionKind::Check => "check function",
        FunctionKind::Baseline => "baseline function",
        FunctionKind::Propagation => "propagation function",
        _ => "function",
    }
}
