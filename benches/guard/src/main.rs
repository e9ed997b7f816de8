//! Instructions for each event, stage by stage, on a fixed input: what a change costs, whatever else the machine does.
//!
//! Without arguments it runs each stage under callgrind and prints a table beside the figures that are kept in
//! `figures.txt`; `--update` keeps the new ones. `guard STAGE` runs one stage, for callgrind and for profilers.

mod stages;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let argument = std::env::args().nth(1);
    match argument.as_deref() {
        None => table(false),
        Some("--update") => table(true),
        Some(name) => match stages::STAGES.iter().find(|stage| stage.name == name) {
            Some(stage) => {
                let units = (stage.run)();
                println!("{units}");
                ExitCode::SUCCESS
            }
            None => {
                let known: Vec<&str> = stages::STAGES.iter().map(|stage| stage.name).collect();
                eprintln!("guard: `{name}` is no stage; there are {}, and `--update`", known.join(", "));
                ExitCode::from(2)
            }
        },
    }
}

/// Counts all stages, and prints them beside what is kept.
fn table(update: bool) -> ExitCode {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("figures.txt");
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    let mut written =
        String::from("# Instructions for each unit, counted by callgrind. `cargo xtask guard --update` writes this.\n");
    println!("{:<28} {:>10} {:>10} {:>8}   for each", "stage", "kept", "now", "");
    for stage in stages::STAGES {
        let counted = match count(stage.name) {
            Ok(counted) => counted,
            Err(message) => {
                eprintln!("guard: {message}");
                return ExitCode::FAILURE;
            }
        };
        let before = kept.lines().find_map(|line| line.strip_prefix(stage.name)?.trim().parse::<f64>().ok());
        let (kept, change) = match before {
            Some(before) => (format!("{before:.0}"), format!("{:+.1} %", (counted / before - 1.0) * 100.0)),
            None => ("".to_owned(), "new".to_owned()),
        };
        println!("{:<28} {kept:>10} {counted:>10.0} {change:>8}   {}", stage.name, stage.unit);
        let _ = writeln!(written, "{:<28} {counted:.0}", stage.name);
    }
    if update && let Err(error) = std::fs::write(&path, written) {
        eprintln!("guard: {}: {error}", path.display());
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// Instructions for each unit of a stage: those within `stages::measured` alone.
fn count(stage: &str) -> Result<f64, String> {
    let folder = tempfile::tempdir().map_err(|error| format!("no folder for callgrind: {error}"))?;
    let file: PathBuf = folder.path().join("out");
    let this = std::env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--collect-atstart=no", "--toggle-collect=*stages::measured*"])
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg(this)
        .arg(stage)
        .output()
        .map_err(|error| {
            format!("valgrind cannot be run ({error}); on Debian and Ubuntu it is in the package `valgrind`")
        })?;
    let failed = || format!("stage {stage}: {}", String::from_utf8_lossy(&output.stderr));
    let units: f64 = String::from_utf8_lossy(&output.stdout).trim().parse().map_err(|_| failed())?;
    let text = std::fs::read_to_string(&file).map_err(|_| failed())?;
    let total = text.lines().find_map(|line| line.strip_prefix("summary:").or(line.strip_prefix("totals:")));
    let total: f64 = total.and_then(|total| total.trim().parse().ok()).ok_or_else(failed)?;
    Ok(total / units)
}
