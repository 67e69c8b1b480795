//! How it is told what was seen.
//!
//! - [`single`] one run; [`curve`] several at rising rates
//! - [`quantiles`] times in figures
//! - [`files`] the folder that is written; [`html`] the page in it, with its [`plots`], drawn by [`svg`]

pub(crate) mod curve;
pub(crate) mod files;
pub(crate) mod html;
pub(crate) mod plots;
pub(crate) mod quantiles;
pub(crate) mod single;
pub(crate) mod svg;

use std::process::ExitCode;

use serde_json::Value;

use crate::arguments::Failure;
use crate::arguments::load::{Format, Telling};

pub(crate) use single::Report;

/// Something that can be told in several ways.
pub(crate) trait Told {
    /// For people.
    fn text(&self) -> String;
    /// For programs; the schema is in `schema/`.
    fn json(&self) -> Value;
    /// The body of the page: headings, tables and plots.
    fn page(&self) -> String;
    /// Why it is not a success; empty when it is one.
    fn complaints(&self) -> Vec<String>;
    /// Files with histograms: name and content.
    fn histograms(&self) -> Vec<(String, String)>;
}

/// Tells it as wished. The exit code says whether there were complaints.
pub(crate) fn tell(report: &dyn Told, telling: &Telling) -> Result<ExitCode, Failure> {
    match telling.format {
        Format::Text => print!("{}", report.text()),
        Format::Json => println!("{}", report.json()),
    }
    if let Some(folder) = &telling.output {
        files::write_folder(folder, report)?;
    }
    let complaints = report.complaints();
    for complaint in &complaints {
        eprintln!("{complaint}");
    }
    Ok(if complaints.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
