//! `openapi`: the description of a listener, without a running service.

use clap::Args;

use super::{Failure, print};
use crate::openapi::{self, Features};

/// What `openapi` takes.
#[derive(Debug, Args)]
pub struct Description {
    /// Describe the listener for operators.
    #[arg(long)]
    admin: bool,
    /// Describe the listener for clients and resource servers: what is done without a flag.
    #[arg(long, conflicts_with = "admin")]
    public: bool,
}

impl Description {
    /// Prints it, with every route that there can be, whatever is configured.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn run(self) -> Result<(), Failure> {
        let described = if self.admin { openapi::admin() } else { openapi::public(Features::ALL, "") };
        print(format!("{described:#}\n").as_bytes())
    }
}
