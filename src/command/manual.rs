//! `man`: the manual, as one text or as one page for each verb.

use std::path::{Path, PathBuf};

use clap::{Args, Command, CommandFactory as _};
use clap_mangen::Man;

use super::{CommandLine, Failure, print};

/// Print the manual page, in the form that `man` reads.
#[derive(Debug, Args)]
pub struct Manual {
    /// Write a page for each verb into this folder instead, by the names under which `man` looks for them.
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

impl Manual {
    /// Does it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn run(self) -> Result<(), Failure> {
        let mut command = CommandLine::command();
        command.build();
        if let Some(folder) = self.folder {
            return write(&command, &folder);
        }
        let mut page = Vec::new();
        let mut render = |command: &Command| Man::new(command.clone()).render(&mut page);
        render(&command).map_err(Failure::failed)?;
        for verb in verbs(&command) {
            render(verb).map_err(Failure::failed)?;
        }
        print(&page)
    }
}

/// What can be asked of a command, without the help that clap puts beside it.
pub(super) fn verbs(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|verb| verb.get_name() != "help")
}

fn write(command: &Command, folder: &Path) -> Result<(), Failure> {
    let failed = |error| Failure::failed(format!("cannot write to {}: {error}", folder.display()));
    Man::new(command.clone()).generate_to(folder).map_err(failed)?;
    verbs(command).try_for_each(|verb| write(verb, folder))
}
