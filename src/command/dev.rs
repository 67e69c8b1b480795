//! `serve --dev`: a service to try out, with clients and tokens in it from the start.
//!
//! Identifiers and secrets are the same on every machine, so that nodes on one Redis share them and examples can be
//! pasted. The key that they are hashed with is used by `--dev` alone: a store that was seeded here accepts none of
//! them once it is opened without `--dev`. Only loopback addresses are taken.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::Failure;
use crate::client::metadata;
use crate::client::secret::{Secret, SecretHash, StoredSecret};
use crate::client::{Client, ClientId, GrantType, Right, Rights};
use crate::config::{Config, StoreConfig};
use crate::service::Service;
use crate::service::issue::NewToken;
use crate::service::registry::KnownClient;
use crate::token::claims::Claims;
use crate::token::scope::Scope;
use crate::token::time::Now;
use crate::token::value::TokenValue;

const KEY_ID: &str = "dv";
const KEY: &str = "a key that everybody knows, for trying things out on one machine";
const AUDIENCE: &str = "https://api.example.com";
const SCOPE: &str = "read write";

const RESOURCE_SERVER: (&str, &str) = ("dev-resource-server", "dev-resource-server-secret");
const APPLICATION: (&str, &str) = ("dev-application", "dev-application-secret");
const OPERATOR: (&str, &str) = ("dev-operator", "dev-operator-secret");

/// Of the user that the commands to paste make.
const PASSWORD: &str = "correct horse battery staple";

/// How long a start waits for a store that does not answer yet.
const PATIENCE: Duration = Duration::from_secs(10);

/// The tokens that a start makes.
#[derive(Debug)]
pub struct Seeds {
    active: TokenValue,
    expired: TokenValue,
    revoked: TokenValue,
}

/// Adds what `--dev` sets, whatever files and variables say: its own key above all.
pub fn prepare(overrides: &mut Vec<(String, String)>) {
    overrides.push(("keys.digest".to_owned(), json!([{"id": KEY_ID, "secret": KEY}]).to_string()));
    // Nothing has to learn that this node goes away.
    overrides.push(("drain.min".to_owned(), "0s".to_owned()));
}

/// A folder for the store that goes away with the result; `None` where somebody said what to keep everything in.
///
/// # Errors
/// When there is no place for the folder.
pub fn temporary_store(config: &mut Config) -> Result<Option<TempDir>, Failure> {
    match (&mut config.store, Config::default().store) {
        (StoreConfig::Embedded { path }, StoreConfig::Embedded { path: usual }) if *path == usual => {
            let folder = TempDir::with_prefix("introspectd-").map_err(Failure::failed)?;
            folder.path().clone_into(path);
            Ok(Some(folder))
        }
        _ => Ok(None),
    }
}

/// Lets the users of a configuration that says nothing else of accounts do what the seeded application may.
pub fn first_party(config: &mut Config) {
    if config.accounts.clients.is_empty() {
        config.accounts.clients = config.accounts.first_party_clients();
        for client in &mut config.accounts.clients {
            client.record.scope = Scope::parse(SCOPE).expect("a constant scope");
            client.record.audiences = vec![AUDIENCE.into()];
        }
    }
}

/// Refuses to show the well-known secrets to anybody but this machine.
///
/// # Errors
/// [`Failure::Usage`] for an address that is not a loopback address.
pub fn check(config: &Config) -> Result<(), Failure> {
    for (name, address) in [("public", config.public.address), ("admin", config.admin.address)] {
        if !address.ip().is_loopback() {
            return Err(Failure::Usage(format!(
                "{name}.address: --dev takes loopback addresses only, as everybody knows its secrets"
            )));
        }
    }
    Ok(())
}

/// Creates the clients that are not there yet, and makes one token of each kind.
///
/// # Errors
/// When the store does not take them.
pub async fn seed(service: &Arc<Service>) -> Result<Seeds, Failure> {
    let now = service.now();
    wait_for_store(service).await?;
    for (pair, rights, grants) in [
        (RESOURCE_SERVER, &[Right::Introspect][..], &[][..]),
        (APPLICATION, &[Right::Introspect], &[GrantType::ClientCredentials, GrantType::RefreshToken]),
        (OPERATOR, &Right::ALL, &[GrantType::ClientCredentials]),
    ] {
        create(service, pair, rights, grants, now).await?;
    }
    let id = ClientId::parse(APPLICATION.0).expect("a constant of letters is an identifier");
    let owner = service
        .registry
        .find(&id)
        .await
        .map_err(Failure::failed)?
        .ok_or_else(|| Failure::failed("the application that was just created is gone"))?;
    // Issued an hour ago for a minute: its time is over, and the store has forgotten it as it forgets every other.
    let past = Now::from_unix(Duration::from_micros(now.stamp().0).saturating_sub(Duration::from_hours(1)));
    let expired = issue(service, &owner, 60, past).await?;
    let active = issue(service, &owner, 86_400, now).await?;
    let revoked = issue(service, &owner, 86_400, now).await?;
    service.revoke(&owner.client, revoked.as_presented(), now).await.map_err(Failure::failed)?;
    Ok(Seeds { active, expired, revoked })
}

async fn wait_for_store(service: &Service) -> Result<(), Failure> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        match service.store.probe().await {
            Ok(()) => return Ok(()),
            Err(error) if tokio::time::Instant::now() >= deadline => return Err(Failure::failed(error)),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn create(
    service: &Service,
    (id, secret): (&str, &str),
    rights: &[Right],
    grants: &[GrantType],
    now: Now,
) -> Result<(), Failure> {
    let id = ClientId::parse(id).expect("a constant of letters is an identifier");
    let hash = SecretHash::keyed(&service.keys, &Secret::new(secret));
    let client = Client {
        secrets: vec![StoredSecret { hash, created_at: now.seconds(), expires_at: None }],
        grant_types: grants.to_vec(),
        scope: Scope::parse(SCOPE).expect("a constant scope"),
        audiences: vec![AUDIENCE.into()],
        rights: Rights::of(rights),
        ..metadata::blank(id, now.seconds())
    };
    let body = serde_json::to_vec(&client).expect("a client record has only text keys");
    // Another node on the same Redis may have been faster: then its record, which is the same, is the one.
    service.store.create_client(&client.client_id, body.into(), now).await.map(|_| ()).map_err(Failure::failed)
}

async fn issue(service: &Arc<Service>, owner: &KnownClient, lifetime: u64, now: Now) -> Result<TokenValue, Failure> {
    let new = NewToken {
        owner: owner.clone(),
        subject: Some("alice".into()),
        username: Some("alice@example.com".into()),
        scope: Scope::parse(SCOPE).expect("a constant scope"),
        audience: vec![AUDIENCE.into()],
        not_before: None,
        expires_at: Some(now.seconds().plus(lifetime)),
        format: None,
        refresh: None,
        claims: Claims::default(),
        import: None,
    };
    service.issue(new, now).await.map(|issued| issued.access).map_err(Failure::failed)
}

/// One line for programs.
pub fn as_json(places: &[String], seeds: Option<&Seeds>) -> Value {
    let mut line = json!({"public": places[0], "admin": places[1]});
    if let Some(seeds) = seeds {
        let client = |(id, secret): (&str, &str)| json!({"client_id": id, "client_secret": secret});
        line["clients"] = json!({
            "resource_server": client(RESOURCE_SERVER),
            "application": client(APPLICATION),
            "operator": client(OPERATOR),
        });
        line["tokens"] = json!({
            "active": seeds.active.expose(),
            "expired": seeds.expired.expose(),
            "revoked": seeds.revoked.expose(),
        });
    }
    line
}

/// Commands to paste.
pub fn as_text(places: &[String], seeds: &Seeds, accounts: bool) -> String {
    let (public, admin) = (&places[0], &places[1]);
    let basic = |(id, secret): (&str, &str)| format!("-u {id}:{secret}");
    let (server, application, operator) = (basic(RESOURCE_SERVER), basic(APPLICATION), basic(OPERATOR));
    let mut text = String::new();
    let _ = write!(
        text,
        "\n\
         introspectd listens on {public} (admin: {admin}).\n\
         These secrets are known to everybody: --dev is for trying it out on this machine.\n\
         \n\
         # Is a token active? An active, an expired and a revoked one:\n\
         curl {server} -d token={} {public}/introspect\n\
         curl {server} -d token={} {public}/introspect\n\
         curl {server} -d token={} {public}/introspect\n\
         \n\
         # Get a token as an application:\n\
         curl {application} -d grant_type=client_credentials {public}/token\n\
         \n\
         # Issue one for a user, as an operator:\n\
         curl {operator} --json '{{\"client_id\":\"{}\",\"sub\":\"bob\",\"scope\":\"read\",\"aud\":\"{AUDIENCE}\"}}' \
         {admin}/admin/tokens\n\
         \n\
         # Revoke the active one, as the application it was issued to, and ask again:\n\
         curl {application} -d token={} {public}/revoke\n\
         curl {server} -d token={} {public}/introspect\n\
         \n",
        seeds.active.expose(),
        seeds.expired.expose(),
        seeds.revoked.expose(),
        APPLICATION.0,
        seeds.active.expose(),
        seeds.active.expose(),
    );
    if accounts {
        let _ = write!(
            text,
            "# Register, log in, and log out with the refresh_token that you got:\n\
             curl --json '{{\"username\":\"alice\",\"email\":\"alice@example.org\",\"password\":\"{PASSWORD}\"}}' \
             {public}/register/\n\
             curl --json '{{\"username\":\"alice\",\"password\":\"{PASSWORD}\"}}' {public}/login/\n\
             curl -X POST -H 'Authorization: Bearer REFRESH_TOKEN' {public}/logout/\n\
             \n"
        );
    }
    text
}
