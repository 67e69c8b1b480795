//! `config check|print|schema`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Failure, print};
use crate::config::{self, Config, ProcessEnvironment, Sources};

/// Which files the settings come from.
#[derive(Clone, Debug, Args)]
pub struct ConfigFiles {
    /// A file with settings: .toml, .yaml or .json. May be repeated; a later file wins over an earlier one.
    #[arg(short = 'c', long = "config", value_name = "FILE", env = "INTROSPECTD_CONFIG")]
    files: Vec<PathBuf>,
}

impl ConfigFiles {
    /// The files and the environment.
    pub fn sources(&self) -> Sources<ProcessEnvironment> {
        Sources { files: self.files.clone(), environment: ProcessEnvironment, overrides: Vec::new() }
    }
}

/// Check or show the configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigVerb {
    /// Read everything, report every mistake, and exit with 2 if there is one.
    Check(ConfigFiles),
    /// Print what is in force, and where each value comes from. Secrets are not shown.
    Print(ConfigFiles),
    /// Print the JSON Schema of a configuration file.
    Schema,
}

impl ConfigVerb {
    /// Does it.
    ///
    /// # Errors
    /// [`Failure::Usage`] with every mistake.
    pub fn run(self) -> Result<(), Failure> {
        match self {
            Self::Check(files) => {
                let config = Config::load(&files.sources()).map_err(|errors| Failure::Usage(errors.to_string()))?;
                drop(config);
                print(b"The configuration is good.\n")
            }
            Self::Print(files) => {
                let text = config::print(&files.sources()).map_err(|errors| Failure::Usage(errors.to_string()))?;
                print(text.as_bytes())
            }
            Self::Schema => print(format!("{:#}\n", config::schema()).as_bytes()),
        }
    }
}
