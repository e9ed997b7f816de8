//! `vitalsign plan`: what a start would make of what is kept, before it is made.

use crate::Failure;
use crate::setup::Configuration;
use clap::Args;
use engine::state::Restored;
use engine::{Difference, Fate, Outlook, OutlookKind};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Say what a configuration would keep of the state in a folder, what is recomputed, and what starts anew.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vitalsign plan shop.yaml --store /var/lib/vitalsign
  vitalsign plan new.yaml --store /var/lib/vitalsign --check && vitalsign run new.yaml --store /var/lib/vitalsign

Nothing is written, and `vitalsign run` may hold the folder meanwhile.

  =  is kept as it is
  ~  is kept, and bands are recomputed from what was learned
  !  starts anew: what was learned is lost
  +  is new
  -  is dropped: nothing asks for it any more

Exit code 1 with --check where something that was learned would start anew or be dropped.")]
pub(crate) struct Arguments {
    #[command(flatten)]
    configuration: Configuration,
    /// The folder for state, instead of `store.path`.
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    /// Fails where something that was learned would be lost.
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let settings = arguments.configuration.load()?;
    let folder = arguments.store.clone().or_else(|| settings.store.path.clone().map(PathBuf::from));
    let Some(folder) = folder else {
        let words = "there is no folder to compare with; name one by `store: { path: DIR }` or --store DIR";
        return Err(Failure::Usage(words.to_owned()));
    };
    let kept = store::look(&folder).map_err(|error| Failure::Failed(format!("state: {error}")))?;
    let anew = kept.is_none();
    let found =
        engine::outlook(settings.definitions.clone(), &settings.library, &kept.unwrap_or_else(Restored::default));
    print!("{}", told(&found, &folder, anew));
    let lost = found.iter().filter(|of| of.kind == OutlookKind::Baseline && is_lost(of)).count();
    if arguments.check && lost > 0 {
        let what = if lost == 1 { "1 baseline" } else { &format!("{lost} baselines") };
        return Err(Failure::Failed(format!("what was learned of {what} would be lost")));
    }
    Ok(())
}

fn told(found: &[Outlook], folder: &Path, anew: bool) -> String {
    let folder = folder.display();
    let mut text = match anew {
        true => format!("{folder} holds no state yet: all starts anew\n"),
        false => format!("compared with the state in {folder}\n"),
    };
    let groups =
        [(OutlookKind::Baseline, "baselines"), (OutlookKind::Stream, "streams"), (OutlookKind::Check, "checks")];
    for (kind, heading) in groups {
        let of_kind: Vec<&Outlook> = found.iter().filter(|of| of.kind == kind).collect();
        if of_kind.is_empty() {
            continue;
        }
        let _ = writeln!(text, "\n{heading}");
        let width = of_kind.iter().map(|of| of.name.chars().count()).max().unwrap_or(0);
        for of in of_kind {
            let (sign, words) = fate(of);
            let _ = writeln!(text, "  {sign} {:<width$}  {words}", of.name);
            if let Fate::Recomputed(differences) | Fate::Anew(differences) = &of.fate {
                differences.iter().for_each(|difference| {
                    let _ = writeln!(text, "      {}", because(difference));
                });
            }
        }
    }
    let count = |wanted: &[char]| found.iter().filter(|of| wanted.contains(&fate(of).0)).count();
    let (kept, recomputed) = (count(&['=']), count(&['~']));
    let (lost, new, dropped) = (count(&['!']), count(&['+']), count(&['-']));
    let _ = writeln!(text, "\n{kept} kept, {recomputed} recomputed, {lost} start anew, {new} new, {dropped} dropped");
    text
}

fn is_lost(of: &Outlook) -> bool {
    of.instances > 0 && matches!(of.fate, Fate::Anew(_) | Fate::Dropped)
}

/// The sign, and what it means.
fn fate(of: &Outlook) -> (char, String) {
    let instances = match (of.instances, of.kind) {
        (1, _) => "1 instance".to_owned(),
        (count, _) => format!("{count} instances"),
    };
    match &of.fate {
        Fate::Kept => ('=', format!("kept: {instances}")),
        Fate::Recomputed(_) => ('~', format!("recomputed from what was learned of {instances}")),
        Fate::Anew(differences) if differences.is_empty() && of.instances == 0 => ('+', "new".to_owned()),
        Fate::Anew(_) if of.instances == 0 => ('+', "starts anew; nothing was learned yet".to_owned()),
        Fate::Anew(_) => ('!', format!("starts anew; what was learned of {instances} is lost")),
        Fate::Dropped => ('-', format!("dropped: {instances}")),
    }
}

/// What differs, as a reader would say it.
fn because(Difference { what, was, now }: &Difference) -> String {
    let is_print = |word: &str| word.len() == 16 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let without = |text: &str| -> String {
        match text.rsplit_once(' ').filter(|(_, print)| is_print(print)) {
            Some((name, _)) => name.to_owned(),
            None => text.to_owned(),
        }
    };
    let (before, after) = (without(was), without(now));
    match &**what {
        "function" if before == after => format!("function: the script of `{after}` has changed"),
        "source" if before == after => format!("source: how records of `{after}` are read has changed"),
        _ => format!("{what}: {} → {}", named(&before), named(&after)),
    }
}

fn named(text: &str) -> &str {
    if text.is_empty() { "(none)" } else { text }
}
