//! The folder that is written, and other files.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::{Told, html};
use crate::arguments::Failure;

/// Writes a report's files into a folder, and makes that where it is missing.
pub(crate) fn write_folder(folder: &Path, report: &dyn Told) -> Result<(), Failure> {
    fs::create_dir_all(folder).map_err(|error| failed(folder, &error))?;
    write(&folder.join("result.json"), &format!("{}\n", report.json()))?;
    write(&folder.join("report.html"), &html::page(&report.page()))?;
    for (name, text) in report.histograms() {
        write(&folder.join(name), &text)?;
    }
    Ok(())
}

/// Writes a file over what was there.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text).map_err(|error| failed(path, &error))
}

/// Writes a file that nobody else can read.
pub(crate) fn write_secret(path: &Path, text: &str) -> Result<(), Failure> {
    let mut options = fs::OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| failed(path, &error))
}

fn failed(path: &Path, error: &std::io::Error) -> Failure {
    Failure::Failed(format!("{}: {error}", path.display()))
}
