//! What is found out about a request on its way to an answer, for the audit log.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use http::{HeaderMap, Request};

use super::error::ApiError;
use super::{Answer, Context, name};
use crate::auth::credentials::{BodyCredentials, Credentials};
use crate::auth::{Caller, Method};
use crate::client::ClientId;
use crate::server::{Peer, RequestBody};
use crate::service::Service;
use crate::service::revoke::Touched;
use crate::telemetry::audit::{Act, Actor, Details, Event, Origin, Outcome};
use crate::token::time::Now;
use crate::token::value::{Presented, TokenKind};
use crate::user::id::UserId;

/// Who does what to what.
#[derive(Clone, Debug, Default)]
pub struct Trail {
    /// What is done; none while nothing is to be recorded.
    pub act: Option<Act>,
    /// By whom.
    pub actor: Actor,
    /// To what.
    pub target: Details,
    /// Whether it has changed anything, where that is known.
    pub changed: Option<bool>,
    /// Whether its line has been promised room.
    pub promised: bool,
    /// Who it is, for those who hold another copy of this.
    pub proved: Arc<OnceLock<Actor>>,
}

impl Trail {
    /// That of a request, which travels with it.
    pub fn of(request: &mut Request<RequestBody>) -> &mut Self {
        request.extensions_mut().get_or_insert_default()
    }

    /// An act of a client.
    pub fn of_caller(act: Act, caller: &Caller) -> Self {
        Self { act: Some(act), actor: actor(caller), ..Self::default() }
    }

    /// An act of a user.
    pub fn of_user(act: Act, id: UserId) -> Self {
        Self { act: Some(act), actor: Actor::user(id), ..Self::default() }
    }

    /// Names a text that a peer has sent.
    pub async fn name(&mut self, service: &Service, member: &'static str, text: &str, now: Now) {
        name::add(service, &mut self.target, member, text, now).await;
    }

    /// Names tokens that were found.
    pub fn name_tokens(&mut self, tokens: &[Touched]) {
        for Touched { kind, jti, grant, client_id, subject } in tokens {
            let kind = if *kind == TokenKind::Access { "access" } else { "refresh" };
            self.target.text("token_kind", kind);
            if let Some(jti) = jti {
                self.target.text("jti", jti);
            }
            if let Some(grant) = grant {
                self.target.text("grant_id", grant.to_text().as_str());
            }
            if !client_id.is_empty() {
                self.target.text("client_id", client_id);
            }
            if let Some(subject) = subject {
                self.target.text("sub", subject);
            }
        }
    }
}

/// A refresh token that came a second time.
#[derive(Clone, Copy, Debug)]
pub struct Reuse<'a> {
    /// The token.
    pub token: Presented<'a>,
    /// The client that it was issued to.
    pub client: &'a str,
    /// What its sender is answered.
    pub refusal: &'a ApiError,
}

/// The caller, as the log names it.
pub fn actor(caller: &Caller) -> Actor {
    let method = match caller.method() {
        Method::SecretBasic => "client_secret_basic",
        Method::SecretPost => "client_secret_post",
        Method::Assertion => "private_key_jwt",
        Method::Certificate => "tls_client_auth",
        Method::Public => "none",
        Method::Bearer(_) => "bearer",
    };
    Actor::Client { id: caller.client().client_id.as_str().to_owned(), method }
}

/// Who a request that was refused says that it is from. Only names of clients that there are: a text that is sent in
/// the place of a name may be a secret.
pub async fn claimed(service: &Service, headers: &HeaderMap) -> Actor {
    let id = match Credentials::find(headers, BodyCredentials::default()) {
        Ok(Credentials::Basic { pair, .. }) => pair.forms().next().and_then(|form| ClientId::parse(form.id)),
        _ => None,
    };
    let Some(id) = id else { return Actor::Unknown };
    match service.registry.find(&id).await {
        Ok(Some(_)) => Actor::Claimed(id.as_str().to_owned()),
        Ok(None) | Err(_) => Actor::Unknown,
    }
}

/// An act that is being done. Whoever goes away in the middle of it has a line all the same: it may have been done.
pub struct Recording<'a> {
    context: &'a Context,
    origin: Origin,
    now: Now,
    trail: Mutex<Trail>,
}

impl<'a> Recording<'a> {
    /// That of a request, of which nothing is known yet.
    pub fn begin(context: &'a Context, headers: &HeaderMap, peer: &Peer, now: Now) -> Self {
        let origin = if context.audit.is_on() { context.origin(headers, peer) } else { Origin::default() };
        Self { context, origin, now, trail: Mutex::default() }
    }

    /// Notes what is found out.
    pub fn note(&self, change: impl FnOnce(&mut Trail)) {
        if self.context.audit.is_on() {
            change(&mut self.trail.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }

    fn take(&mut self) -> Trail {
        std::mem::take(self.trail.get_mut().unwrap_or_else(PoisonError::into_inner))
    }

    /// Records how it ended.
    pub fn finish(mut self, answer: Result<&Answer, &ApiError>) {
        let trail = self.take();
        self.context.record(trail, self.origin, answer, self.now);
    }

    /// Records how it ended, with what was noted elsewhere.
    pub fn finish_as(mut self, trail: Trail, answer: Result<&Answer, &ApiError>) {
        self.take();
        self.context.record(trail, self.origin, answer, self.now);
    }
}

impl Drop for Recording<'_> {
    fn drop(&mut self) {
        let Trail { act, actor, target, promised, proved, .. } = self.take();
        let Some(act) = act.filter(|act| !act.reads()) else { return };
        self.context.audit.record(Event {
            now: self.now,
            act,
            outcome: Outcome::Failed,
            status: None,
            code: "interrupted",
            actor: proved.get().cloned().unwrap_or(actor),
            origin: Some(self.origin),
            target,
            promised,
        });
    }
}

impl Context {
    fn record(&self, trail: Trail, origin: Origin, answer: Result<&Answer, &ApiError>, now: Now) {
        let Trail { act: Some(act), actor, target, changed, promised, .. } = trail else { return };
        let (status, code) = answer.map_or_else(|error| (error.status(), error.code()), |ok| (ok.status(), ""));
        if act.reads() && status.is_success() {
            return;
        }
        self.audit.record(Event {
            now,
            act,
            outcome: Outcome::of(status, changed),
            status: Some(status.as_u16()),
            code,
            actor,
            origin: Some(origin),
            target,
            promised,
        });
    }

    /// Records that a refresh token came a second time, and that its grant has ended.
    pub fn record_reuse(&self, reuse: &Reuse<'_>, headers: &HeaderMap, peer: &Peer, now: Now) {
        if !self.audit.is_on() {
            return;
        }
        let Reuse { token, client, refusal } = *reuse;
        let mut target = Details::default();
        if let Ok((grant, _)) = self.service.recognise_refresh_token(token) {
            target.text("grant_id", grant.to_text().as_str());
        }
        target.text("client_id", client);
        self.audit.record(Event {
            now,
            act: Act::TokenReuse,
            outcome: Outcome::Done,
            status: Some(refusal.status().as_u16()),
            code: refusal.code(),
            actor: Actor::Unknown,
            origin: Some(self.origin(headers, peer)),
            target,
            promised: false,
        });
    }
}
