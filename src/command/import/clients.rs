//! One client: created, or found to be there as it is asked for.

use std::cell::RefCell;
use std::fs::{File, OpenOptions, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::lines::Batch;
use super::report::Outcome;
use super::{Failure, Origin, Outcomes, hydra};
use crate::client::metadata::{self, ClientMetadata};
use crate::client::{Client, ClientId};
use crate::command::caller::{Caller, Content, Listener, Reply};
use crate::command::clients::place;
use crate::json::{StrictValue, explain};
use crate::token::time::UnixSeconds;

/// How a text begins that is the hash of a secret, and no secret: taken for one, it would open the door to whoever has
/// read the table it comes from.
const HASHES: [&str; 8] = ["$2a$", "$2b$", "$2y$", "$pbkdf2", "$argon2", "$scrypt", "$5$", "$6$"];

/// How often a client is sent, and how long is waited before the second time; twice as long before each further one.
const ATTEMPTS: u32 = 6;
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// What a view says that is not the client's own.
const NOT_ITS_OWN: [&str; 4] = ["client_id_issued_at", "declared", "secrets", "state"];

/// Creates clients.
pub(super) struct Registrar<'a> {
    caller: &'a Caller,
    from: Origin,
    dry_run: bool,
    secrets: Option<(PathBuf, RefCell<File>)>,
}

/// A client that was read.
struct Asked {
    members: Map<String, Value>,
    client: Client,
}

impl<'a> Registrar<'a> {
    /// A registrar that writes the secrets which are made into a file that only its owner can read.
    pub(super) fn new(
        caller: &'a Caller,
        from: Origin,
        secrets: Option<&Path>,
        dry_run: bool,
    ) -> Result<Self, Failure> {
        let open = |path: &Path| {
            let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path).and_then(|file| {
                // One that was there may have been anybody's to read.
                file.set_permissions(Permissions::from_mode(0o600))?;
                Ok(file)
            });
            file.map(|file| (path.to_owned(), RefCell::new(file)))
                .map_err(|error| Failure::Usage(format!("cannot write {}: {error}", path.display())))
        };
        Ok(Self { caller, from, dry_run, secrets: secrets.filter(|_| !dry_run).map(open).transpose()? })
    }

    /// Creates the clients of a batch, one after the other.
    pub(super) async fn send(&self, batch: Batch) -> Result<Outcomes, Failure> {
        let mut outcomes = Vec::new();
        for line in batch.lines {
            let read = line.text.map_err(|reason| (None, reason.to_owned())).and_then(|text| self.read(&text));
            let outcome = match read {
                Ok(asked) => self.create(asked).await?,
                Err((member, reason)) => Outcome::Refused { member: member.map(str::to_owned), reason },
            };
            outcomes.push((line.number, outcome));
        }
        Ok(outcomes)
    }

    /// Reads a line, and checks what the service is going to check, so that a dry run finds it too.
    fn read(&self, text: &str) -> Result<Asked, (Option<&'static str>, String)> {
        let StrictValue(value) =
            serde_json::from_str(text).map_err(|error| (None, format!("not JSON: {}", explain(&error))))?;
        let Value::Object(mut members) = value else { return Err((None, "not a JSON object".to_owned())) };
        if self.from == Origin::Hydra {
            members = hydra::translate(members).map_err(|(member, reason)| (Some(member), reason))?;
        }
        let id = match members.get("client_id") {
            None => return Err((Some("client_id"), "missing".to_owned())),
            Some(id) => id.as_str().and_then(ClientId::parse),
        };
        let id = id.ok_or_else(|| (Some("client_id"), "must have 1 to 128 printable ASCII characters".to_owned()))?;
        if let Some(secret) = members.get("client_secret") {
            let secret = secret.as_str().ok_or_else(|| (Some("client_secret"), "must be a text".to_owned()))?;
            if HASHES.iter().any(|prefix| secret.starts_with(prefix)) {
                let reason = "is a hash, not a secret: give the secret, or leave it out for a new one";
                return Err((Some("client_secret"), reason.to_owned()));
            }
        }
        let metadata: ClientMetadata =
            serde_json::from_value(Value::Object(members.clone())).map_err(|error| (None, explain(&error)))?;
        let mut client = metadata::blank(id, UnixSeconds(0));
        metadata.apply(&mut client).map_err(|error| (Some(error.member), error.reason))?;
        if client.has_secret() && !members.contains_key("client_secret") && self.secrets.is_none() && !self.dry_run {
            let reason = "missing: give it, or --secrets FILE for one that is made";
            return Err((Some("client_secret"), reason.to_owned()));
        }
        Ok(Asked { members, client })
    }

    async fn create(&self, asked: Asked) -> Result<Outcome, Failure> {
        let id = asked.client.client_id.as_str();
        if self.dry_run {
            return self.compare(&asked, true).await;
        }
        let makes_secret = asked.client.has_secret() && !asked.members.contains_key("client_secret");
        let mut pause = FIRST_PAUSE;
        let mut left = ATTEMPTS;
        let reply = loop {
            left -= 1;
            let content = Content::Json(Value::Object(asked.members.clone()));
            let reply = self.caller.exchange(Listener::Admin, Method::POST, "/admin/clients", content).await;
            let (again, unknown) = match &reply {
                Ok(Reply { status, .. }) => {
                    (*status == StatusCode::TOO_MANY_REQUESTS, *status == StatusCode::SERVICE_UNAVAILABLE)
                }
                Err(Failure::Failed(_)) => (false, true),
                Err(Failure::Usage(_)) => (false, false),
            };
            if unknown && makes_secret {
                return Err(Failure::failed(format!(
                    "it is not known whether {id} was created: {}; if it is there when the import goes on, and not in \
                     the file of secrets, give it a new one: introspectd client rotate-secret",
                    reply.map_or_else(Failure::into_message, |reply| reply.status.to_string()),
                )));
            }
            if left == 0 || !(again || unknown) {
                break reply?;
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        };
        match reply.status {
            StatusCode::CONFLICT => self.compare(&asked, false).await,
            StatusCode::BAD_REQUEST => {
                let reason = reply.value["error_description"].as_str().unwrap_or("refused by the service");
                Ok(Outcome::Refused { member: None, reason: reason.to_owned() })
            }
            _ => {
                let made = reply.into_success()?;
                if makes_secret {
                    self.keep_secret(id, &made["client_secret"])?;
                }
                Ok(Outcome::Imported)
            }
        }
    }

    /// Whether there is a client of this id, and whether it is the one asked for.
    async fn compare(&self, asked: &Asked, may_be_absent: bool) -> Result<Outcome, Failure> {
        let path = place(asked.client.client_id.as_str(), "");
        let reply = self.caller.exchange(Listener::Admin, Method::GET, &path, Content::None).await?;
        if may_be_absent && reply.status == StatusCode::NOT_FOUND {
            return Ok(Outcome::Imported);
        }
        let there = reply.into_success()?;
        let wanted = Value::Object(metadata::view(&asked.client, false));
        let differs =
            |name: &&String| !NOT_ITS_OWN.contains(&name.as_str()) && there[name.as_str()] != wanted[name.as_str()];
        let names = [&there, &wanted].into_iter().filter_map(Value::as_object).flat_map(Map::keys);
        Ok(match names.into_iter().find(differs) {
            None => Outcome::Unchanged,
            Some(member) => Outcome::Refused {
                member: Some(member.clone()),
                reason: "a client of this id is there already, and is another in this".to_owned(),
            },
        })
    }

    /// Writes down a secret that is shown this once, for good.
    fn keep_secret(&self, id: &str, secret: &Value) -> Result<(), Failure> {
        let Some((path, file)) = &self.secrets else { return Ok(()) };
        let mut line = json!({"client_id": id, "client_secret": secret}).to_string();
        line.push('\n');
        let mut file = file.borrow_mut();
        let written = file.write_all(line.as_bytes()).and_then(|()| file.sync_data());
        written.map_err(|error| {
            let place = path.display();
            Failure::failed(format!("{id} was created, and its secret cannot be written to {place}: {error}"))
        })
    }
}
