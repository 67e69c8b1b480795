//! The program: reads the command line, does what it says, and reports how it went.

use std::process::ExitCode;

use clap::Parser as _;
use introspectd::command::CommandLine;

/// Half of what the system's takes for the few small pieces of each request.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    CommandLine::parse().run()
}
