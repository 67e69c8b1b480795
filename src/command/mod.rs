//! The command line: what can be asked of the program, and what each verb does.
//!
//! - [`serve`] runs the service; [`dev`] what `--dev` adds to it
//! - [`settings`] `config check|print|schema`
//! - [`clients`], [`keys`], [`tokens`] talk to a running service; [`health`] asks whether it is well
//! - [`description`] prints what a listener answers
//! - [`import`] clients and tokens from elsewhere, line by line
//! - [`members`] all that can be said of a client
//! - [`caller`] the HTTP client behind them; [`output`] tables and JSON
//! - [`manual`] pages for `man`; [`reference`](mod@reference) the page in docs

pub mod caller;
pub mod clients;
pub mod description;
pub mod dev;
pub mod health;
pub mod import;
pub mod keys;
pub mod manual;
pub mod members;
pub mod output;
pub mod reference;
pub mod serve;
pub mod settings;
pub mod tokens;

use std::io::{Read as _, Write as _};
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use self::output::Format;

/// Token introspection, issue and revocation for a fleet of APIs (RFC 7662, RFC 7009).
#[derive(Debug, Parser)]
#[command(name = "introspectd", version, propagate_version = true, max_term_width = 100)]
pub struct CommandLine {
    #[command(subcommand)]
    verb: Verb,
    /// How answers are printed.
    #[arg(long, global = true, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the service.
    Serve(serve::Serve),
    /// Check or show the configuration.
    #[command(subcommand)]
    Config(settings::ConfigVerb),
    /// Create, read, change and delete clients of a running service.
    Client(clients::ClientCommand),
    /// Issue, introspect, revoke and approve tokens of a running service.
    Token(tokens::TokenCommand),
    /// Take over clients and live tokens from files of one JSON object per line.
    Import(import::ImportCommand),
    /// Revoke every token of a client, of a user, or of a client for a user.
    Revoke(tokens::BulkRevocation),
    /// List, rotate, retire and remove the signing keys of a running service.
    Keys(keys::KeyCommand),
    /// Ask a running service whether it is well; exit code 0 if it is.
    Health(health::Health),
    /// Print what a listener answers, as OpenAPI 3.1 in JSON.
    Openapi(description::Description),
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page, in the form that `man` reads.
    Man(manual::Manual),
}

/// What a verb that failed leaves behind.
#[derive(Debug)]
pub enum Failure {
    /// The call or the configuration was wrong: exit code 2.
    Usage(String),
    /// It was right and did not work: exit code 1.
    Failed(String),
}

impl Failure {
    /// A failure with what to print of it.
    #[expect(clippy::needless_pass_by_value, reason = "the signature that map_err wants")]
    pub fn failed(message: impl ToString) -> Self {
        Self::Failed(message.to_string())
    }

    /// What to print of it.
    pub fn into_message(self) -> String {
        let (Self::Usage(message) | Self::Failed(message)) = self;
        message
    }
}

impl CommandLine {
    /// Does what was asked; the exit code says how it went: 0 well, 1 failed, 2 wrong call or configuration.
    pub fn run(self) -> ExitCode {
        let outcome = match self.verb {
            Verb::Serve(serve) => serve.run(),
            Verb::Config(verb) => verb.run(),
            Verb::Client(command) => on_runtime(command.run(self.format)),
            Verb::Keys(command) => on_runtime(command.run(self.format)),
            Verb::Token(command) => on_runtime(command.run(self.format)),
            Verb::Import(command) => on_runtime(command.run(self.format)),
            Verb::Revoke(revocation) => on_runtime(revocation.run(self.format)),
            Verb::Health(health) => on_runtime(health.run()),
            Verb::Openapi(description) => description.run(),
            Verb::Completions { shell } => {
                let mut script = Vec::new();
                clap_complete::generate(shell, &mut Self::command(), "introspectd", &mut script);
                print(&script)
            }
            Verb::Man(manual) => manual.run(),
        };
        match outcome {
            Ok(()) => ExitCode::SUCCESS,
            Err(Failure::Usage(message)) => {
                eprintln!("{message}");
                ExitCode::from(2)
            }
            Err(Failure::Failed(message)) => {
                eprintln!("{message}");
                ExitCode::FAILURE
            }
        }
    }
}

/// All of standard input: what others on the machine are not to see, or what is too long for a command line.
fn standard_input() -> Result<String, Failure> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).map_err(Failure::failed)?;
    Ok(text)
}

/// Writes to standard output; a reader that has had enough is no failure.
fn print(bytes: &[u8]) -> Result<(), Failure> {
    match std::io::stdout().lock().write_all(bytes) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::failed(error)),
        _ => Ok(()),
    }
}

fn on_runtime(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::failed)?;
    runtime.block_on(work)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }
}
