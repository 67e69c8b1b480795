//! `token issue|introspect|revoke|approve`, and `revoke` for many at once.

use std::io::Read as _;

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Map, Value, json};

use super::Failure;
use super::caller::{Caller, Content, Listener};
use super::output::{self, Format};

/// Issue, introspect, revoke and approve tokens.
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
    /// Revoke a token, and what belongs to it.
    Revoke(Which),
    /// Approve a token again that was revoked on request, and what belongs to it.
    Approve(Which),
}

/// Which token, and what else with it.
#[derive(Debug, Args)]
#[group(id = "which", required = true, multiple = false, args = ["token", "jti", "grant_id"])]
struct Which {
    /// The token; `-` reads it from standard input, where others cannot see it.
    token: Option<String>,
    /// Its identifier instead, as issuing and introspection give it.
    #[arg(long)]
    jti: Option<String>,
    /// Its grant instead.
    #[arg(long)]
    grant_id: Option<String>,
    /// Leave alone what belongs to it: the access tokens of a refresh token; of an access token, the others of its grant.
    #[arg(long)]
    no_cascade: bool,
}

impl Which {
    fn into_json(self) -> Result<Value, Failure> {
        let mut members = json!({"cascade": !self.no_cascade});
        let token = self.token.map(read).transpose()?;
        for (name, value) in [("token", token), ("jti", self.jti), ("grant_id", self.grant_id)] {
            if let Some(value) = value {
                members[name] = json!(value);
            }
        }
        Ok(members)
    }
}

/// Revoke every token of a client, of a user, or of a client for a user: one write, for good.
#[derive(Debug, Args)]
pub struct BulkRevocation {
    /// The client whose tokens are revoked.
    #[arg(long, value_name = "CLIENT_ID", required_unless_present_any = ["user", "all"])]
    client: Option<String>,
    /// The user whose tokens are revoked: the `sub` of them.
    #[arg(long, value_name = "SUB")]
    user: Option<String>,
    /// Revoke every token there is.
    #[arg(long, conflicts_with_all = ["client", "user"])]
    all: bool,
    /// Only those issued before this second since 1970.
    #[arg(long)]
    before: Option<u64>,
    #[command(flatten)]
    caller: Caller,
}

impl BulkRevocation {
    /// Does it.
    ///
    /// # Errors
    /// When the service cannot be asked or refuses.
    pub async fn run(self, format: Format) -> Result<(), Failure> {
        let mut members = Map::new();
        let given = [
            ("client_id", json!(self.client)),
            ("sub", json!(self.user)),
            ("before", json!(self.before)),
            ("all", if self.all { json!(true) } else { Value::Null }),
        ];
        members.extend(
            given.into_iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| (name.to_owned(), value)),
        );
        let body = Content::Json(Value::Object(members));
        let answer = self.caller.ask(Listener::Admin, Method::POST, "/admin/revocations", body).await?;
        output::object(&answer, format)
    }
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
    /// Which form it has: `opaque` or `jwt`; the one that the client is registered for when not given.
    #[arg(long, value_name = "FORM")]
    token_format: Option<String>,
    /// Issue a refresh token with it.
    #[arg(long)]
    refresh: bool,
    /// In how many seconds the grant ends, with its last refresh token.
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
            ("format", json!(self.token_format)),
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
            // What every client may do with its own tokens.
            TokenVerb::Revoke(Which { token: Some(token), no_cascade: false, .. }) => {
                let form = Content::Form(vec![("token", read(token)?)]);
                caller.ask(Listener::Public, Method::POST, "/revoke", form).await?;
                json!({"revoked": true})
            }
            TokenVerb::Revoke(which) => {
                let body = Content::Json(which.into_json()?);
                caller.ask(Listener::Admin, Method::POST, "/admin/tokens/revoke", body).await?
            }
            TokenVerb::Approve(which) => {
                let body = Content::Json(which.into_json()?);
                caller.ask(Listener::Admin, Method::POST, "/admin/tokens/approve", body).await?
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
