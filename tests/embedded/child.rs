//! Real other processes: this test binary started once more, told by its environment what to be.

use std::env;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use introspectd::store::embedded::EmbeddedStore;
use introspectd::token::time::Clock;

use crate::common::START;
use crate::kill;

const ROLE: &str = "INTROSPECTD_TEST_ROLE";
const FOLDER: &str = "INTROSPECTD_TEST_FOLDER";

/// What a child is to do.
#[derive(Clone, Copy)]
pub(crate) enum Role {
    /// Open the folder, say how that went, and end.
    Open,
    /// Write until killed.
    Write,
}

/// A process with this role in this folder. It talks on its standard error, which the test harness leaves alone.
pub(crate) fn command(role: Role, folder: &Path) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["child::the_other_process", "--exact", "--ignored", "--nocapture", "--test-threads=1"])
        .env(
            ROLE,
            match role {
                Role::Open => "open",
                Role::Write => "write",
            },
        )
        .env(FOLDER, folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

/// Writes a line in one piece, so that a reader sees all of it or can tell that it is cut off.
pub(crate) fn say(line: &str) {
    io::stderr().write_all(format!("{line}\n").as_bytes()).expect("the parent reads until the end");
}

#[test]
#[ignore = "does nothing by itself: other tests start it as another process"]
fn the_other_process() {
    let (Ok(role), Ok(folder)) = (env::var(ROLE), env::var(FOLDER)) else { return };
    let folder = PathBuf::from(folder);
    match role.as_str() {
        "open" => match EmbeddedStore::open(&folder, Clock::manual(START)) {
            Ok(_) => say("opened"),
            Err(error) => say(&format!("refused: {error}")),
        },
        "write" => kill::write_until_killed(&folder),
        other => panic!("no role {other}"),
    }
}
