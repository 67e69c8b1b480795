//! What the service is installed by: the image, the systemd unit, and the archive of a release.
//!
//! - [`image`] the Dockerfile against the repository, the chart and the service
//! - [`systemd`] the unit, its drop-in, and the example of a configuration
//! - [`archive`] what `deploy/release` builds
//!
//! That the image's own build commands give a program that needs nothing beside it is shown by `static` beside this.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod archive;
mod image;
mod systemd;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use introspectd::config::{Config, ConfigErrors, Sources};

const PROGRAM: &str = env!("CARGO_BIN_EXE_introspectd");

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn text(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Settings as the service reads them.
fn settings(file: &Path, environment: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let environment: BTreeMap<String, String> = environment.collect();
    Config::load(&Sources { files: vec![file.to_owned()], environment, overrides: vec![] })
}

/// Runs a program to its end; `None` where it is not installed.
fn run(program: &str, arguments: &[&str]) -> Option<Output> {
    match Command::new(program).args(arguments).current_dir(root()).output() {
        Ok(output) => Some(output),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => panic!("{program}: {error}"),
    }
}

/// The same, which must go well and say nothing to complain about; false where it is not installed.
#[track_caller]
fn runs_clean(program: &str, arguments: &[&str]) -> bool {
    let Some(output) = run(program, arguments) else {
        eprintln!("{program} is not installed: not asked");
        return false;
    };
    assert!(output.status.success() && output.stderr.is_empty(), "{program} {arguments:?}: {output:?}");
    true
}
