//! `token issue|introspect|revoke|approve`, and `revoke` for many at once.

use clap::{Args, Subcommand};
use http::Method;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::caller::{Caller, Content, Listener};
use super::output::{self, Format};
use super::{Failure, standard_input};

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
struct Which {
    #[command(flatten)]
    name: Name,
    /// Leave alone what belongs to it: the access tokens of a refresh token; of an access token, the others of its
    /// grant.
    #[arg(long)]
    no_cascade: bool,
}

/// Exactly one of the names of a token. Every member of this is one: the group takes in all of them.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Name {
    /// The token; `-` reads it from standard input, where others cannot see it.
    token: Option<String>,
    /// Its identifier instead, as issuing and introspection give it.
    #[arg(long, allow_hyphen_values = true)]
    jti: Option<String>,
    /// Its grant instead.
    #[arg(long, allow_hyphen_values = true)]
    grant_id: Option<String>,
}

impl Which {
    fn into_json(self) -> Result<Value, Failure> {
        let mut members = json!({"cascade": !self.no_cascade});
        let Name { token, jti, grant_id } = self.name;
        let token = token.map(read).transpose()?;
        for (name, value) in [("token", token), ("jti", jti), ("grant_id", grant_id)] {
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
    /// The second since 1970 at which it ends, instead.
    #[arg(long, conflicts_with = "expires_in")]
    exp: Option<u64>,
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
    #[arg(long, value_name = "JSON")]
    claims: Option<String>,
    /// What it is bound to, as a JSON object (RFC 7800): `{"x5t#S256": ...}` or `{"jkt": ...}`.
    #[arg(long, value_name = "JSON")]
    cnf: Option<String>,
    /// What it allows in detail, as a JSON array of objects (RFC 9396).
    #[arg(long, value_name = "JSON")]
    authorization_details: Option<String>,
}

impl Issue {
    fn into_json(self) -> Result<Value, Failure> {
        let claims = self.claims.map(|text| parse::<Map<String, Value>>("--claims", "object", &text)).transpose()?;
        let cnf = self.cnf.map(|text| parse::<Map<String, Value>>("--cnf", "object", &text)).transpose()?;
        let details = self.authorization_details;
        let details = details.map(|text| parse::<Vec<Value>>("--authorization-details", "array", &text)).transpose()?;
        let members = [
            ("client_id", json!(self.owner)),
            ("sub", json!(self.sub)),
            ("username", json!(self.username)),
            ("scope", json!(self.scope)),
            ("aud", json!(self.aud)),
            ("expires_in", json!(self.expires_in)),
            ("exp", json!(self.exp)),
            ("nbf", json!(self.nbf)),
            ("format", json!(self.token_format)),
            ("refresh", json!(self.refresh)),
            ("refresh_expires_in", json!(self.refresh_expires_in)),
            ("claims", json!(claims)),
            ("cnf", json!(cnf)),
            ("authorization_details", json!(details)),
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
            TokenVerb::Revoke(Which { name: Name { token: Some(token), .. }, no_cascade: false }) => {
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

fn parse<T: DeserializeOwned>(option: &str, kind: &str, text: &str) -> Result<T, Failure> {
    serde_json::from_str(text).map_err(|error| Failure::Usage(format!("{option} is no JSON {kind}: {error}")))
}

fn read(token: String) -> Result<String, Failure> {
    if token != "-" {
        return Ok(token);
    }
    Ok(standard_input()?.trim_end_matches(['\r', '\n']).to_owned())
}
