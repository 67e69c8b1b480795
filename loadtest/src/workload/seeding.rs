//! Makes the tokens of a workload through introspectd's admin API.
//!
//! Two clients are made: one that tokens are issued to, and one that asks. Were they one, it would be told everything
//! about its own tokens, whatever their audience.

use std::cell::{Cell, RefCell};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::rc::Rc;
use std::time::Duration;

use http::Uri;
use serde_json::{Value, json};
use tokio::task::{JoinSet, LocalSet};

use super::Kind;
use super::file::{Authentication, Workload};
use super::tokens::Known;
use crate::client::http1::Http1;
use crate::client::target::{Credentials, Target};
use crate::random::Random;

/// What was made.
#[derive(Debug)]
pub(crate) struct Seeded {
    /// The tokens.
    pub(crate) tokens: Vec<Known>,
    /// Who may ask for them.
    pub(crate) caller: Credentials,
    /// Who made them.
    pub(crate) issuer: Issuer,
}

/// Issues and revokes, with an operator's credentials.
#[derive(Clone, Debug)]
pub(crate) struct Issuer {
    admin: Target,
    owner: String,
    caller: String,
}

/// Why there are no tokens. Holds no secret.
#[derive(Debug)]
pub(crate) struct SeedError(String);

impl std::fmt::Display for SeedError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "cannot seed: {}", self.0)
    }
}

const AUDIENCE: &str = "https://load.example.com";
const OTHER_AUDIENCE: &str = "https://elsewhere.example.com";
/// A day: the truth must hold for as long as anything runs.
const LIFETIME_SECONDS: u64 = 86_400;
/// The shortest there is, for tokens that are to be expired.
const SHORT_LIFETIME_SECONDS: u64 = 1;
/// From the issue of the last of those until all of them are.
const EXPIRY_WAIT: Duration = Duration::from_millis(2500);
/// How many requests are on their way at once.
const AT_ONCE: usize = 16;
const PATIENCE: Duration = Duration::from_secs(30);

/// Makes the clients and the tokens.
pub(crate) fn seed(workload: &Workload, admin_url: &Uri, operator: (&str, &str)) -> Result<Seeded, SeedError> {
    let admin =
        Target::admin(admin_url, operator.0, operator.1).map_err(|why| SeedError(format!("--admin-url: {why}")))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| SeedError(error.to_string()))?;
    LocalSet::new().block_on(&runtime, async {
        // Several runs may share a server, whatever their seeds.
        let run = format!("{:016x}", RandomState::new().build_hasher().finish());
        let issuer = Issuer { admin, owner: format!("load-owner-{run}"), caller: format!("load-caller-{run}") };
        let made = async {
            let caller = make_clients(workload, &issuer).await?;
            Ok((tokens(workload, &issuer).await?, caller))
        };
        match made.await {
            Ok((tokens, caller)) => Ok(Seeded { tokens, caller, issuer }),
            Err(error) => {
                // What went wrong first is what matters.
                let _ = issuer.remove_clients().await;
                Err(error)
            }
        }
    })
}

async fn make_clients(workload: &Workload, issuer: &Issuer) -> Result<Credentials, SeedError> {
    let Issuer { owner, caller, .. } = issuer;
    let mut connection = None;
    issuer
        .call(&mut connection, "POST", "/admin/clients", &json!({"client_id": owner, "audiences": [AUDIENCE]}))
        .await?;
    let method = match workload.authentication {
        Authentication::ClientSecretPost => "client_secret_post",
        Authentication::ClientSecretBasic | Authentication::Bearer => "client_secret_basic",
    };
    let asked = json!({
        "client_id": caller, "rights": ["introspect"], "audiences": [AUDIENCE],
        "token_endpoint_auth_method": method,
    });
    let made = issuer.call(&mut connection, "POST", "/admin/clients", &asked).await?;
    if workload.authentication == Authentication::Bearer {
        let asked = json!({"client_id": caller, "scope": "introspectd:introspect", "expires_in": LIFETIME_SECONDS});
        let issued = issuer.call(&mut connection, "POST", "/admin/tokens", &asked).await?;
        return Ok(Credentials::Bearer(text(&issued, "access_token")?));
    }
    let secret = text(&made, "client_secret")?;
    Ok(Credentials::Secret { client_id: caller.clone(), secret })
}

async fn tokens(workload: &Workload, issuer: &Issuer) -> Result<Vec<Known>, SeedError> {
    let mut random = Random::new(workload.seed, 3 << 32);
    let mut tokens = Vec::new();
    let mut asked = Vec::new();
    for kind in workload.kinds() {
        let count = workload.population.of(kind);
        match kind {
            Kind::Unknown | Kind::Malformed => {
                tokens.extend((0..count).map(|number| made_up(kind, number, &mut random)));
            }
            _ => asked.extend((0..count).map(|number| (kind, number))),
        }
    }
    // The last are to be expired by the time that the first are asked.
    asked.sort_by_key(|(kind, _)| *kind != Kind::Expired);
    let expires = asked.first().is_some_and(|(kind, _)| *kind == Kind::Expired);
    let asked = Rc::new(asked);
    let (next, made) = (Rc::new(Cell::new(0)), Rc::new(RefCell::new(Vec::new())));
    let mut tasks = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (issuer, asked, next, made) = (issuer.clone(), Rc::clone(&asked), Rc::clone(&next), Rc::clone(&made));
        tasks.spawn_local(async move {
            let mut connection = None;
            loop {
                let place = next.replace(next.get() + 1);
                let Some((kind, number)) = asked.get(place) else { return Ok(()) };
                let subject = format!("load-{}-{number}", kind.index());
                let known = issuer.issue(&mut connection, *kind, subject).await?;
                if *kind == Kind::Revoked {
                    issuer.revoke(&mut connection, &known.token).await?;
                }
                made.borrow_mut().push((place, known));
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(|error| SeedError(error.to_string()))??;
    }
    if expires {
        tokio::time::sleep(EXPIRY_WAIT).await;
    }
    let mut made = made.take();
    // In the order of asking, so that a seed gives the same order whichever answer came first.
    made.sort_by_key(|(place, _)| *place);
    tokens.extend(made.into_iter().map(|(_, known)| known));
    Ok(tokens)
}

/// Tokens that nobody has issued.
fn made_up(kind: Kind, number: u32, random: &mut Random) -> Known {
    /// As long as 256 bits are in base64url.
    const USUAL_LENGTH: usize = 43;
    let token = match (kind, number % 4) {
        (Kind::Unknown, _) => random.text(USUAL_LENGTH),
        (_, 0) => format!("not a token {number}"),
        (_, 1) => format!("\"<{}>\"", random.text(8)),
        (_, 2) => format!("\u{e9}\u{20ac}{number}"),
        _ => format!("{}..{}", random.text(20), random.text(20)),
    };
    Known { token, active: false, kind: Some(kind), sub: None }
}

impl Issuer {
    /// Issues a token of a kind.
    pub(crate) async fn issue(
        &self,
        connection: &mut Option<Http1>,
        kind: Kind,
        subject: String,
    ) -> Result<Known, SeedError> {
        let audience = if kind == Kind::WrongClient { OTHER_AUDIENCE } else { AUDIENCE };
        let lifetime = if kind == Kind::Expired { SHORT_LIFETIME_SECONDS } else { LIFETIME_SECONDS };
        let mut asked = json!({"client_id": self.owner, "sub": subject, "aud": audience, "expires_in": lifetime});
        if kind == Kind::Jwt {
            asked["format"] = json!("jwt");
        }
        let issued = self.call(connection, "POST", "/admin/tokens", &asked).await?;
        Ok(Known {
            token: text(&issued, "access_token")?,
            active: kind.is_active(),
            kind: Some(kind),
            sub: Some(subject),
        })
    }

    /// Revokes a token.
    pub(crate) async fn revoke(&self, connection: &mut Option<Http1>, token: &str) -> Result<(), SeedError> {
        self.call(connection, "POST", "/admin/tokens/revoke", &json!({"token": token})).await.map(drop)
    }

    /// Removes the clients that were made, and so makes their tokens inactive.
    pub(crate) fn clean_up(&self) -> Result<(), SeedError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| SeedError(error.to_string()))?;
        runtime.block_on(self.remove_clients())
    }

    async fn remove_clients(&self) -> Result<(), SeedError> {
        let mut connection = None;
        for client in [&self.owner, &self.caller] {
            self.call(&mut connection, "DELETE", &format!("/admin/clients/{client}"), &Value::Null).await?;
        }
        Ok(())
    }

    async fn call(
        &self,
        connection: &mut Option<Http1>,
        method: &str,
        path: &str,
        body: &Value,
    ) -> Result<Value, SeedError> {
        let failed = |why: String| SeedError(format!("{method} {path}: {why}"));
        let mut open = match connection.take() {
            Some(open) if open.is_usable() => open,
            _ => Http1::open(&self.admin).await.map_err(|error| failed(error.to_string()))?,
        };
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let answered = tokio::time::timeout(PATIENCE, open.call(&self.admin, method, path, &body)).await;
        let answer = answered.map_err(|_| failed("no answer".to_owned()))?;
        let answer = answer.map_err(|fault| failed(format!("{fault:?}")))?;
        let value: Value = serde_json::from_slice(answer.body).unwrap_or_default();
        if !(200..300).contains(&answer.status) {
            let why = value["error_description"].as_str().unwrap_or_default();
            return Err(failed(format!("status {} {why}", answer.status)));
        }
        if answer.keeps_alive {
            *connection = Some(open);
        }
        Ok(value)
    }
}

fn text(answer: &Value, member: &str) -> Result<String, SeedError> {
    answer[member].as_str().map(ToOwned::to_owned).ok_or_else(|| SeedError(format!("an answer has no {member}")))
}
