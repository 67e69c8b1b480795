//! `client create|list|get|update|rotate-secret|revoke|approve|delete`.

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Map, Value, json};

use super::Failure;
use super::caller::{Caller, Content, Listener};
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
        members: Members,
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
        members: Members,
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

#[derive(Debug, Args)]
struct Members {
    /// A name for people.
    #[arg(long)]
    name: Option<String>,
    /// How it proves who it is: `client_secret_basic`, `client_secret_post` or `none`.
    #[arg(long)]
    auth_method: Option<String>,
    /// What it may ask the token endpoint for, separated by commas.
    #[arg(long, value_delimiter = ',')]
    grant_types: Option<Vec<String>>,
    /// Its scopes, separated by spaces.
    #[arg(long)]
    scope: Option<String>,
    /// The audiences that it serves and that its tokens are for, separated by commas.
    #[arg(long, value_delimiter = ',')]
    audiences: Option<Vec<String>>,
    /// What it may do beyond its own tokens, separated by commas: introspect, revoke, issue, admin.
    #[arg(long, value_delimiter = ',')]
    rights: Option<Vec<String>>,
    /// How many seconds its access tokens live.
    #[arg(long)]
    access_token_lifetime: Option<u64>,
}

impl Members {
    fn into_json(self) -> Map<String, Value> {
        let members = [
            ("client_name", json!(self.name)),
            ("token_endpoint_auth_method", json!(self.auth_method)),
            ("grant_types", json!(self.grant_types)),
            ("scope", json!(self.scope)),
            ("audiences", json!(self.audiences)),
            ("rights", json!(self.rights)),
            ("access_token_lifetime", json!(self.access_token_lifetime)),
        ];
        members
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }
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
                let mut members = members.into_json();
                if let Some(id) = id {
                    members.insert("client_id".to_owned(), json!(id));
                }
                ask(Method::POST, "/admin/clients".to_owned(), Content::Json(Value::Object(members))).await?
            }
            ClientVerb::Get { id } => ask(Method::GET, place(&id, ""), Content::None).await?,
            ClientVerb::Update { id, members } => {
                ask(Method::PATCH, place(&id, ""), Content::Json(Value::Object(members.into_json()))).await?
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
fn place(id: &str, action: &str) -> String {
    format!("/admin/clients/{}{action}", crate::form::encode(id).replace('+', "%20"))
}
