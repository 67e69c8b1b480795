//! `token issue|introspect|revoke`.

use std::io::Read as _;

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Map, Value, json};

use super::Failure;
use super::caller::{Caller, Content, Listener};
use super::output::{self, Format};

/// Issue, introspect and revoke tokens.
#[derive(Debug, Args)]
pub struct TokenCommand {
    #[command(subcommand)]
    verb: TokenVerb,
    #[command(flatten)]
    caller: Caller,
}

#[derive(Debug, Subcommand)]
enum TokenVerb {
    /// Issue a token for a client and print it, which is shown this once.
    Issue(Box<Issue>),
    /// Ask whether a token is active, and what is known of it.
    Introspect {
        /// The token; `-` reads it from standard input, where others cannot see it.
        token: String,
    },
    /// Revoke a token.
    Revoke {
        /// The token; `-` reads it from standard input, where others cannot see it.
        token: String,
    },
}

#[derive(Debug, Args)]
struct Issue {
    /// The client that it is issued to.
    #[arg(long = "for", value_name = "CLIENT_ID")]
    owner: String,
    /// The user that it speaks for.
    #[arg(long)]
    sub: Option<String>,
    /// The user's name for people.
    #[arg(long)]
    username: Option<String>,
    /// Its scopes, separated by spaces.
    #[arg(long)]
    scope: Option<String>,
    /// The resource servers that it is for, separated by commas.
    #[arg(long, value_delimiter = ',')]
    aud: Option<Vec<String>>,
    /// How many seconds it lives.
    #[arg(long)]
    expires_in: Option<u64>,
    /// The second since 1970 before which it is not active.
    #[arg(long)]
    nbf: Option<u64>,
    /// Issue a refresh token with it.
    #[arg(long)]
    refresh: bool,
    /// How many seconds the refresh token lives.
    #[arg(long, requires = "refresh")]
    refresh_expires_in: Option<u64>,
    /// Further claims, as a JSON object.
    #[arg(long)]
    claims: Option<String>,
}

impl Issue {
    fn into_json(self) -> Result<Value, Failure> {
        let claims = self.claims.map(|text| serde_json::from_str::<Map<String, Value>>(&text)).transpose();
        let claims = claims.map_err(|error| Failure::Usage(format!("--claims is no JSON object: {error}")))?;
        let members = [
            ("client_id", json!(self.owner)),
            ("sub", json!(self.sub)),
            ("username", json!(self.username)),
            ("scope", json!(self.scope)),
            ("aud", json!(self.aud)),
            ("expires_in", json!(self.expires_in)),
            ("nbf", json!(self.nbf)),
            ("refresh", json!(self.refresh)),
            ("refresh_expires_in", json!(self.refresh_expires_in)),
            ("claims", json!(claims)),
        ];
        Ok(members
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| (name.to_owned(), value))
            .collect())
    }
}

impl TokenCommand {
    /// Does it.
    ///
    /// # Errors
    /// When the service cannot be asked or refuses.
    pub async fn run(self, format: Format) -> Result<(), Failure> {
        let caller = &self.caller;
        let answer = match self.verb {
            TokenVerb::Issue(issue) => {
                let body = Content::Json(issue.into_json()?);
                caller.ask(Listener::Admin, Method::POST, "/admin/tokens", body).await?
            }
            TokenVerb::Introspect { token } => {
                let form = Content::Form(vec![("token", read(token)?)]);
                caller.ask(Listener::Public, Method::POST, "/introspect", form).await?
            }
            TokenVerb::Revoke { token } => {
                let form = Content::Form(vec![("token", read(token)?)]);
                caller.ask(Listener::Public, Method::POST, "/revoke", form).await?;
                json!({"revoked": true})
            }
        };
        output::object(&answer, format)
    }
}

fn read(token: String) -> Result<String, Failure> {
    if token != "-" {
        return Ok(token);
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).map_err(Failure::failed)?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}
