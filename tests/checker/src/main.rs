//! Reads a history and says whether the promise held. Exit code 0 when it did, 1 when it was broken, 2 when the history
//! cannot be read.

use std::fs::File;
use std::io::{BufReader, stdin};
use std::path::PathBuf;
use std::process::ExitCode;

use checker::History;
use clap::Parser;

/// Says whether a cluster of introspection nodes kept its promise.
#[derive(Parser)]
struct Arguments {
    /// The history: one event a line, as JSON. Without it, or with `-`, it is read from the standard input.
    history: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> Result<bool, Box<dyn std::error::Error>> {
    let history = match arguments.history.as_deref().filter(|path| path.as_os_str() != "-") {
        Some(path) => History::read(BufReader::new(File::open(path)?))?,
        None => History::read(BufReader::new(stdin().lock()))?,
    };
    let verdict = checker::judge(&history)?;
    for violation in &verdict.violations {
        println!("{}: {}", violation.invariant, violation.words);
        for event in &violation.events {
            println!("  {}", serde_json::to_string(&history.events[*event])?);
        }
    }
    print!("{}", checker::Verdict { violations: Vec::new(), ..verdict.clone() });
    Ok(verdict.holds())
}
