//! A load tester for RFC 7662 introspection servers. It checks every answer against the truth, and measures from the
//! moment at which a request was meant to start.
//!
//! - [`arguments`] the command line, read and checked
//! - [`workload`] what is asked; [`truth`] what may be answered
//! - [`schedule`] when each request is meant to start
//! - [`client`] small, strict and bounded: HTTP/1.1 and HTTP/2
//! - [`run`] threads and connections at work: one run, a sweep, a search
//! - [`record`] what was seen; [`report`] how it is told
//! - [`compare`] whether one is better than another; [`capacity`] how many are needed
//!
//! Nothing here knows the server's code: any server that speaks RFC 7662 can be measured.

mod arguments;
mod capacity;
mod client;
mod compare;
mod number;
mod random;
mod record;
mod report;
mod run;
mod schedule;
mod truth;
mod workload;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    match arguments::Cli::parse().command.execute() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error}");
            error.exit_code()
        }
    }
}
