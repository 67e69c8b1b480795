//! `client create|list|get|update|rotate-secret|revoke|approve|delete`.

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

use super::Failure;
use super::caller::{Caller, Content, Listener};
use super::members::Members;
use super::output::{self, Format};

/// Create, read, change and delete clients.
#[derive(Debug, Args)]
pub struct ClientCommand {
    #[command(subcommand)]
    verb: ClientVerb,
    #[command(flatten)]
    caller: Caller,
}

#[derive(Debug, Subcommand)]
enum ClientVerb {
    /// Create a client and print it with its secret, which is shown this once.
    Create {
        /// Its identifier; made up when not given.
        #[arg(long = "id")]
        id: Option<String>,
        #[command(flatten)]
        members: Box<Members>,
    },
    /// List all clients.
    List,
    /// Show one client.
    Get {
        /// Its identifier.
        id: String,
    },
    /// Change the members given, and leave the others as they are.
    Update {
        /// Its identifier.
        id: String,
        #[command(flatten)]
        members: Box<Members>,
    },
    /// Give it a new secret and print it; the old one keeps working for a while.
    RotateSecret {
        /// Its identifier.
        id: String,
        /// For how many seconds the old secret keeps working; the service's setting when not given.
        #[arg(long)]
        overlap_seconds: Option<u64>,
    },
    /// Refuse it and all its tokens, until it is approved.
    Revoke {
        /// Its identifier.
        id: String,
    },
    /// Accept it and its tokens again.
    Approve {
        /// Its identifier.
        id: String,
    },
    /// Delete it. Its tokens are inactive from then on.
    Delete {
        /// Its identifier.
        id: String,
    },
}

const COLUMNS: [&str; 6] = ["client_id", "client_name", "state", "rights", "scope", "audiences"];

impl ClientCommand {
    /// Does it.
    ///
    /// # Errors
    /// When the service cannot be asked or refuses.
    pub async fn run(self, format: Format) -> Result<(), Failure> {
        let caller = &self.caller;
        let ask = async |method, path: String, content| caller.ask(Listener::Admin, method, &path, content).await;
        let answer = match self.verb {
            ClientVerb::List => return list(caller, format).await,
            ClientVerb::Create { id, members } => {
                let mut members = members.into_json()?;
                if let Some(id) = id {
                    members.insert("client_id".to_owned(), json!(id));
                }
                ask(Method::POST, "/admin/clients".to_owned(), Content::Json(Value::Object(members))).await?
            }
            ClientVerb::Get { id } => ask(Method::GET, place(&id, ""), Content::None).await?,
            ClientVerb::Update { id, members } => {
                ask(Method::PATCH, place(&id, ""), Content::Json(Value::Object(members.into_json()?))).await?
            }
            ClientVerb::RotateSecret { id, overlap_seconds } => {
                let body = overlap_seconds.map_or(json!({}), |seconds| json!({"overlap_seconds": seconds}));
                ask(Method::POST, place(&id, "/rotate-secret"), Content::Json(body)).await?
            }
            ClientVerb::Revoke { id } => ask(Method::POST, place(&id, "/revoke"), Content::None).await?,
            ClientVerb::Approve { id } => ask(Method::POST, place(&id, "/approve"), Content::None).await?,
            ClientVerb::Delete { id } => {
                ask(Method::DELETE, place(&id, ""), Content::None).await?;
                json!({"deleted": id})
            }
        };
        output::object(&answer, format)
    }
}

async fn list(caller: &Caller, format: Format) -> Result<(), Failure> {
    let mut clients = Vec::new();
    let mut path = "/admin/clients?limit=1000".to_owned();
    loop {
        let page = caller.ask(Listener::Admin, Method::GET, &path, Content::None).await?;
        clients.extend(page["clients"].as_array().cloned().unwrap_or_default());
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/admin/clients?limit=1000&after={}", crate::form::encode(next));
    }
    output::list(&clients, &COLUMNS, format)
}

/// The path of a client; a space is `%20` in a path, where `+` stands for itself.
pub(super) fn place(id: &str, action: &str) -> String {
    format!("/admin/clients/{}{action}", crate::form::encode(id).replace('+', "%20"))
}
