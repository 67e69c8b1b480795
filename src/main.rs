//! The program: reads the command line, does what it says, and reports how it went.

use std::process::ExitCode;

use clap::Parser as _;
use introspectd::command::CommandLine;

/// musl's own takes one lock for all threads, at each allocation.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    CommandLine::parse().run()
}
