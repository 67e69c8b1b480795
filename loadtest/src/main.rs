//! A load tester for RFC 7662 introspection servers. It checks every answer against the truth, and measures from the moment
//! at which a request was meant to start.
//!
//! - [`plan`] what is to be done, read from the command line and checked
//! - [`schedule`] when each request is meant to start
//! - [`client`] one connection: sends, and judges what comes back
//! - [`run`] threads and connections at work
//! - [`record`] what was seen; [`report`] how it is told
//!
//! Nothing here knows the server's code: any server that speaks RFC 7662 with Basic credentials can be measured.

mod client;
mod plan;
mod record;
mod report;
mod run;
mod schedule;

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser as _;

use plan::{Arguments, Plan};
use report::Report;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let format = arguments.format;
    let plan = match Plan::new(arguments) {
        Ok(plan) => Arc::new(plan),
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    let record = match run::run(&plan) {
        Ok(record) => record,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let report = Report::new(&plan, &record);
    print!("{}", report.render(format));
    let complaints = report.complaints();
    for complaint in &complaints {
        eprintln!("{complaint}");
    }
    if complaints.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
