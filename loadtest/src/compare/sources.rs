//! Where the figures of a side come from: files of results, or runs that are made now.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::Metric;
use crate::arguments::{Failure, read};

/// One side.
#[derive(Debug)]
pub(crate) enum Side {
    /// Results that are there.
    Results(Vec<Value>),
    /// The arguments of `run` that make one.
    Profile(Vec<String>),
}

impl Side {
    /// `http://...` is a URL, `@file` a file with arguments of `run`, and anything else a result or a folder of them.
    /// `shared` are arguments that both sides have.
    pub(crate) fn read(text: &str, shared: &[String]) -> Result<Self, Failure> {
        if text.starts_with("http://") {
            return Ok(Self::Profile([&["--url".to_owned(), text.to_owned()], shared].concat()));
        }
        if let Some(path) = text.strip_prefix('@') {
            let own = read(Path::new(path))?;
            return Ok(Self::Profile(
                own.split_whitespace().map(ToOwned::to_owned).chain(shared.iter().cloned()).collect(),
            ));
        }
        results(Path::new(text)).map(Self::Results)
    }
}

/// Runs both sides by turns: A B B A, A B B A. A drift of the machine then hits both the same.
pub(crate) fn run_by_turns(
    a: &[String],
    b: &[String],
    rounds: u16,
    live: bool,
) -> Result<(Vec<Value>, Vec<Value>), Failure> {
    let (mut of_a, mut of_b) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        for first in [true, false] {
            let is_a = first == (round % 2 == 0);
            let result = run(if is_a { a } else { b })?;
            if live {
                eprintln!("round {} of {rounds}: {}", round + 1, if is_a { "A" } else { "B" });
            }
            if is_a { of_a.push(result) } else { of_b.push(result) }
        }
    }
    Ok((of_a, of_b))
}

fn run(arguments: &[String]) -> Result<Value, Failure> {
    let failed = |why: String| Failure::Failed(format!("run {}: {why}", arguments.join(" ")));
    let program = std::env::current_exe().map_err(|error| failed(error.to_string()))?;
    let output = Command::new(program).arg("run").args(arguments).args(["--format", "json"]).output();
    let output = output.map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| failed(error.to_string()))
}

/// The results in a file, one object or several, or in all files of a folder and of the folders in it.
fn results(path: &Path) -> Result<Vec<Value>, Failure> {
    let unusable = |why: &dyn std::fmt::Display| Failure::Usage(format!("{}: {why}", path.display()));
    if path.is_dir() {
        let entries = std::fs::read_dir(path).map_err(|error| unusable(&error))?;
        let mut paths: Vec<PathBuf> = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
        paths.sort();
        paths.retain(|path| path.is_dir() || path.extension().is_some_and(|extension| extension == "json"));
        let lists: Result<Vec<_>, _> = paths.iter().map(|path| results(path)).collect();
        return lists.map(|lists| lists.concat());
    }
    let text = read(path)?;
    serde_json::Deserializer::from_str(&text).into_iter().collect::<Result<_, _>>().map_err(|error| unusable(&error))
}

/// The figure of each result. A run that was not valid, or in which the generator was the slower side, has none.
pub(crate) fn figures(results: &[Value], metric: Metric, name: &str) -> Result<Vec<f64>, Failure> {
    let figure = |(number, result): (usize, &Value)| {
        let failed = |why: &str| Failure::Failed(format!("{name}, result {}: {why}", number + 1));
        if result["valid"] != true {
            return Err(failed("it is not valid, so its figures mean nothing"));
        }
        if result["generator"]["limited"] == true {
            return Err(failed("it is generator-limited: lower the rate, or give the generator a core of its own"));
        }
        result.pointer(metric.pointer()).and_then(Value::as_f64).ok_or_else(|| failed("it has no such figure"))
    };
    results.iter().enumerate().map(figure).collect()
}
