//! The command line of the measurements.

use clap::{Parser, Subcommand};
use std::path::PathBuf;

#[derive(Parser)]
#[command(name = "detection")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write made-up service metrics with labelled anomalies, one file for each series.
    Generate {
        /// Where to.
        folder: PathBuf,
        /// The same seed gives the same series.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// How many series.
        #[arg(long, default_value_t = 40)]
        series: usize,
        /// How many days each.
        #[arg(long, default_value_t = 28)]
        days: usize,
    },
}

fn main() {
    match Arguments::parse().command {
        Command::Generate { folder, seed, series, days } => {
            std::fs::create_dir_all(&folder).expect("folder");
            for number in 0..series {
                let made = detection::generate::series(seed, number, days);
                std::fs::write(folder.join(&made.name), detection::series::print(&made)).expect("write");
            }
        }
    }
}
