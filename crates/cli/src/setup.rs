//! From paths to settings: reads configurations and scripts, and says what is wrong with them.

use crate::Failure;
use clap::Args;
use config::{File, Settings};
use functions::Script;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

/// Where a configuration lies.
#[derive(Debug, Args)]
pub(crate) struct Configuration {
    /// Configuration: files, or folders of *.yaml. Several are one configuration.
    #[arg(required = true, value_name = "CONFIG")]
    paths: Vec<PathBuf>,
    /// Folders of your own functions (*.rhai). Without it: `functions` beside the configuration.
    #[arg(long, value_name = "DIR")]
    functions: Vec<PathBuf>,
}

impl Configuration {
    /// Reads and validates it.
    pub(crate) fn load(&self) -> Result<Settings, Failure> {
        let mut files = Vec::new();
        let mut beside = Vec::new();
        for path in &self.paths {
            let found = files_at(path, &|name| is_yaml(name) && !is_scenario(name), "*.yaml")?;
            for file in found {
                files.push(File { path: file.display().to_string(), text: read(&file)? });
            }
            let folder = if path.is_dir() { path.clone() } else { folder_of(path) };
            let functions = folder.join("functions");
            if functions.is_dir() && !beside.contains(&functions) {
                beside.push(functions);
            }
        }
        let folders = if self.functions.is_empty() { beside } else { self.functions.clone() };
        load(&files, scripts(&folders)?)
    }
}

/// Validates files; what is wrong is shown as a compiler shows it.
pub(crate) fn load(files: &[File], scripts: Vec<Script>) -> Result<Settings, Failure> {
    let environment = |name: &str| std::env::var(name).ok();
    let read_file = |path: &str| std::fs::read_to_string(path);
    config::load(files, scripts, &environment, &read_file).map_err(|errors| {
        let count = errors.problems().len();
        let shown = errors.render(std::io::stderr().is_terminal());
        let are = if count == 1 { "there is 1 error" } else { &format!("there are {count} errors") };
        Failure::Usage(format!("the configuration is wrong\n{shown}\n{are}"))
    })
}

/// The functions in folders, each by the stem of its file's name.
pub(crate) fn scripts(folders: &[PathBuf]) -> Result<Vec<Script>, Failure> {
    let mut scripts = Vec::new();
    for folder in folders {
        if !folder.is_dir() {
            return Err(Failure::Usage(format!("--functions {}: there is no such folder", folder.display())));
        }
        for path in listed(folder)?.into_iter().filter(|path| path.extension().is_some_and(|end| end == "rhai")) {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            scripts.push(Script { name, path: path.display().to_string(), text: read(&path)? });
        }
    }
    Ok(scripts)
}

/// The file at a path; or in a folder those whose names are wanted, in their order.
pub(crate) fn files_at(path: &Path, wanted: &dyn Fn(&str) -> bool, what: &str) -> Result<Vec<PathBuf>, Failure> {
    if path.is_file() {
        return Ok(vec![path.to_path_buf()]);
    }
    if !path.is_dir() {
        return Err(Failure::Usage(format!("{}: there is no such file or folder", path.display())));
    }
    let name = |path: &PathBuf| path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let files: Vec<PathBuf> = listed(path)?.into_iter().filter(|path| path.is_file() && wanted(&name(path))).collect();
    if files.is_empty() {
        return Err(Failure::Usage(format!("{}: the folder holds no {what}", path.display())));
    }
    Ok(files)
}

fn listed(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let failed = |error: std::io::Error| Failure::Usage(format!("{}: {error}", folder.display()));
    let entries = std::fs::read_dir(folder).map_err(failed)?;
    let mut paths =
        entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>().map_err(failed)?;
    paths.sort();
    Ok(paths)
}

pub(crate) fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| Failure::Usage(format!("{}: {error}", path.display())))
}

pub(crate) fn folder_of(path: &Path) -> PathBuf {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_path_buf()
}

pub(crate) fn is_scenario(name: &str) -> bool {
    name.ends_with(".scenario.yaml") || name.ends_with(".scenario.yml")
}

fn is_yaml(name: &str) -> bool {
    name.ends_with(".yaml") || name.ends_with(".yml")
}
