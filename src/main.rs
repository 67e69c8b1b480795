//! The program: reads the command line, does what it says, and reports how it went.

use std::process::ExitCode;

use clap::Parser as _;
use introspectd::command::CommandLine;

fn main() -> ExitCode {
    CommandLine::parse().run()
}
