//! `vitalsign validate`: all that is wrong with a configuration, or what it comes to.

use crate::Failure;
use crate::setup::Configuration;
use clap::Args;
use std::io::IsTerminal;

/// Say all that is wrong with a configuration, or what is bound to what.
#[derive(Debug, Args)]
#[command(after_help = "Exit code 2 where something is wrong; what is only doubtful is told and changes nothing.")]
pub(crate) struct Arguments {
    #[command(flatten)]
    configuration: Configuration,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let settings = arguments.configuration.load()?;
    for baseline in &settings.baselines {
        println!("baseline {}: {} of {}", baseline.baseline, baseline.function, baseline.input);
        for (name, setting) in &baseline.settings {
            println!("    {name}: {setting}");
        }
    }
    for binding in &settings.bindings {
        let elements = if binding.elements.is_empty() { "nothing".to_owned() } else { binding.elements.join(", ") };
        println!("{}: {} on {elements}", binding.check, binding.function);
        for (parameter, argument) in &binding.arguments {
            println!("    {parameter}: {argument}");
        }
    }
    if !settings.warnings.is_empty() {
        eprint!("{}", settings.render_warnings(std::io::stderr().is_terminal()));
    }
    let definitions = &settings.definitions;
    println!(
        "the configuration is good: {}, {}, {}, {}, {}, {}, {}",
        counted(definitions.sources.len(), "source"),
        counted(definitions.streams.len(), "stream"),
        counted(definitions.baselines.len(), "baseline"),
        counted(definitions.components.len(), "component"),
        counted(definitions.relations.len(), "relation"),
        counted(definitions.checks.len(), "check"),
        counted(settings.warnings.len(), "warning"),
    );
    Ok(())
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}
