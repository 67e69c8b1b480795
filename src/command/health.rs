//! `health`: for containers without curl.

use clap::Args;

use super::Failure;
use super::caller::{Caller, Listener};

/// Ask a running service whether it is well.
#[derive(Debug, Args)]
pub struct Health {
    /// Ask whether it should be sent requests, not only whether it lives.
    #[arg(long)]
    ready: bool,
    /// Ask the public listener instead of the admin listener.
    #[arg(long)]
    public: bool,
    #[command(flatten)]
    caller: Caller,
}

impl Health {
    /// Asks.
    ///
    /// # Errors
    /// When it is not well, or does not answer.
    pub async fn run(self) -> Result<(), Failure> {
        let listener = if self.public { Listener::Public } else { Listener::Admin };
        let path = if self.ready { "/readyz" } else { "/livez" };
        let (status, body) = self.caller.get(listener, path).await?;
        let text = String::from_utf8_lossy(&body);
        if status.is_success() {
            println!("{text}");
            return Ok(());
        }
        Err(Failure::failed(format!("{status}: {text}")))
    }
}
