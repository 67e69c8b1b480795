//! `keys list|rotate|retire|remove`.

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Map, Value, json};

use super::Failure;
use super::caller::{Caller, Content, Listener};
use super::output::{self, Format};

/// List, rotate, retire and remove signing keys.
#[derive(Debug, Args)]
pub struct KeyCommand {
    #[command(subcommand)]
    verb: KeyVerb,
    #[command(flatten)]
    caller: Caller,
}

#[derive(Debug, Subcommand)]
enum KeyVerb {
    /// List all signing keys.
    List,
    /// Let the key on standby take over, as soon as it has been published for long enough.
    Rotate {
        /// `ES256`, `EdDSA`, `RS256` or `PS256`; the service's setting when not given.
        #[arg(long)]
        algorithm: Option<String>,
        /// What the keys sign: `access_token`, when not given, or introspection.
        #[arg(long = "use")]
        purpose: Option<String>,
    },
    /// Take a key out of use; what it has signed stays valid.
    Retire {
        /// Its `kid`.
        #[arg(allow_hyphen_values = true)]
        kid: String,
    },
    /// Take a key away, at once, with every token that it has signed: for a key that others have got hold of.
    Remove {
        /// Its `kid`.
        #[arg(allow_hyphen_values = true)]
        kid: String,
    },
}

const COLUMNS: [&str; 8] =
    ["kid", "algorithm", "use", "state", "created_at", "signs_from", "retires_at", "verifies_until"];

impl KeyCommand {
    /// Does it.
    ///
    /// # Errors
    /// When the service cannot be asked or refuses.
    pub async fn run(self, format: Format) -> Result<(), Failure> {
        let caller = &self.caller;
        let ask = async |method, path: &str, content| caller.ask(Listener::Admin, method, path, content).await;
        let answer = match self.verb {
            KeyVerb::List => ask(Method::GET, "/admin/keys", Content::None).await?,
            KeyVerb::Rotate { algorithm, purpose } => {
                let members = [("algorithm", algorithm), ("use", purpose)];
                let members = members.into_iter().filter_map(|(name, text)| Some((name.to_owned(), json!(text?))));
                let body = Value::Object(members.collect::<Map<_, _>>());
                ask(Method::POST, "/admin/keys/rotate", Content::Json(body)).await?
            }
            KeyVerb::Retire { kid } => ask(Method::POST, &place(&kid, "/retire"), Content::None).await?,
            KeyVerb::Remove { kid } => {
                ask(Method::DELETE, &place(&kid, ""), Content::None).await?;
                return output::object(&json!({"removed": kid}), format);
            }
        };
        output::list(answer["keys"].as_array().map(Vec::as_slice).unwrap_or_default(), &COLUMNS, format)
    }
}

fn place(kid: &str, action: &str) -> String {
    format!("/admin/keys/{}{action}", crate::form::encode(kid))
}
