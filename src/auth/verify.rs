//! From credentials to a caller.

use std::sync::Arc;

use http::HeaderMap;

use super::assertion::{Assertion, AssertionError};
use super::budget::Budget;
use super::certificate::{Authorities, AuthoritiesError};
use super::credentials::{Credentials, SEVERAL};
use super::endpoints::Endpoints;
use super::memory::PassedChecks;
use super::proven::{self, Proven};
use super::throttle::{Limit, Source, Throttle, Wait};
use super::{Caller, Method, Refusal};
use crate::client::secret::{Secret, SecretHash};
use crate::client::{AuthenticationMethod, Client, ClientId, ClientState};
use crate::config::AuthenticationConfig;
use crate::server::{ConnectionMemory, PeerCertificate};
use crate::service::Service;
use crate::token::time::{Now, UnixSeconds};
use crate::token::value::{Presented, TokenKind};
use crate::user::hash::HashMemory;

/// Checks credentials. One for the whole process.
#[derive(Debug)]
pub struct Authenticator {
    service: Arc<Service>,
    throttle: Arc<Throttle>,
    passed: Arc<PassedChecks>,
    bearers: Budget<Source>,
    /// What a secret is compared with where there is nothing to compare it with.
    decoy: SecretHash,
    endpoints: Endpoints,
    authorities: Authorities,
}

/// A refusal, and what is to be counted of it.
#[derive(Debug)]
pub struct Refused {
    /// What to answer.
    pub refusal: Refusal,
    /// The counter that made the caller wait, if one did.
    pub limit: Option<Limit>,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, limit: None }
    }
}

impl From<Wait> for Refused {
    fn from(wait: Wait) -> Self {
        Self { refusal: Refusal::Throttled { seconds: wait.seconds }, limit: Some(wait.limit) }
    }
}

/// One slow comparison, and whom it would identify.
struct SlowCheck {
    hash: SecretHash,
    secret: Secret,
    client: Option<Arc<Client>>,
}

fn caller_of(client: &Arc<Client>, method: AuthenticationMethod) -> Caller {
    let method = match method {
        AuthenticationMethod::ClientSecretPost => Method::SecretPost,
        _ => Method::SecretBasic,
    };
    Caller { client: Arc::clone(client), method }
}

/// Why no authenticator could be made.
#[derive(Debug, thiserror::Error)]
pub enum AuthenticatorError {
    /// There is no randomness for its keys.
    #[error("no randomness: {0}")]
    Randomness(String),
    /// The authorities of clients' certificates cannot be read.
    #[error(transparent)]
    Authorities(#[from] AuthoritiesError),
}

impl Authenticator {
    /// An authenticator over the clients and tokens of `service`.
    ///
    /// # Errors
    /// [`AuthenticatorError`] when the operating system has no randomness to give, or a file cannot be used.
    pub fn new(service: Arc<Service>, config: &AuthenticationConfig) -> Result<Self, AuthenticatorError> {
        let failed = |error: &dyn std::fmt::Display| AuthenticatorError::Randomness(error.to_string());
        let nobody = Secret::generate().map_err(|error| failed(&error))?;
        Ok(Self {
            endpoints: Endpoints::new(&service.issuer),
            authorities: config.client_ca_file.as_deref().map(Authorities::read).transpose()?.unwrap_or_default(),
            service,
            throttle: Arc::new(Throttle::new(config)),
            passed: Arc::new(PassedChecks::new().map_err(|error| failed(&error))?),
            bearers: Budget::new(config.unknown_tokens_per_second),
            decoy: SecretHash::argon2id(&nobody).map_err(|error| failed(&error))?,
        })
    }

    /// Where we are reached, as assertions and proofs must say.
    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// Decides who is calling.
    ///
    /// A failed attempt costs one argon2id for each way to read the credentials, whether or not the client exists,
    /// whatever hash it has, and whatever else is wrong: time says no more than the answer. An assertion or a
    /// certificate costs what it takes to check it. It is counted in the same step in which it is found to have failed,
    /// so that hanging up early or asking many times at once is of no use.
    ///
    /// # Errors
    /// [`Refused`], which never says which part of the credentials was wrong.
    pub async fn authenticate(
        &self,
        credentials: &Credentials<'_>,
        source: Source,
        now: Now,
    ) -> Result<Caller, Refused> {
        let claimed = credentials.claimed_id().unwrap_or_default();
        let caller = match credentials {
            Credentials::Bearer(presented) => return self.bearer(*presented, source, now).await,
            Credentials::IdOnly(id) => {
                self.throttle.check(claimed, source, now)?;
                return self.public(id).await.map_err(Refused::from);
            }
            // On the heap: seldom used, they would make the future of every introspection larger.
            Credentials::Assertion(assertion) => Box::pin(self.by_assertion(assertion, source, now)).await?,
            Credentials::Certificate { id, certificate } => {
                let caller = Box::pin(self.by_certificate(id, certificate, source, now)).await?;
                if *caller.method() == Method::Public {
                    return Ok(caller);
                }
                caller
            }
            Credentials::Basic { pair, .. } => {
                let forms: Vec<(&str, &str)> = pair.forms().map(|form| (form.id, form.secret)).collect();
                self.by_secret(AuthenticationMethod::ClientSecretBasic, claimed, &forms, source, now).await?
            }
            Credentials::Post { id, secret } => {
                self.by_secret(AuthenticationMethod::ClientSecretPost, claimed, &[(id, secret)], source, now).await?
            }
        };
        self.throttle.succeeded(caller.client().client_id.as_str(), source);
        let repeated = matches!(credentials, Credentials::Basic { repeated: true, .. });
        if repeated && !caller.client().repeated_credentials {
            return Err(SEVERAL.into());
        }
        Ok(caller)
    }

    /// Who is calling, if the request carries the very header that was accepted last on its connection, and nothing can
    /// have changed since. To be asked only of requests whose body says nothing about the caller.
    pub fn again(&self, headers: &HeaderMap, source: Source, memory: &ConnectionMemory, now: Now) -> Option<Caller> {
        let line = proven::line(headers)?;
        let proven = memory.recall::<Proven>()?;
        let is_so = proven.source == source
            && proven.failures == self.throttle.failures()
            && now.seconds() < proven.until
            && proven.is(line)
            && self.service.registry.holds(&proven.client);
        is_so.then(|| proven.caller.clone())
    }

    /// Decides who is calling, and notes on the connection what [`Authenticator::again`] needs.
    ///
    /// # Errors
    /// As of [`Authenticator::authenticate`].
    pub async fn authenticate_on(
        &self,
        credentials: &Credentials<'_>,
        headers: &HeaderMap,
        source: Source,
        memory: &ConnectionMemory,
        now: Now,
    ) -> Result<Caller, Refused> {
        let failures = self.throttle.failures();
        let caller = self.authenticate(credentials, source, now).await?;
        if let (Credentials::Basic { repeated: false, .. }, Some(line)) = (credentials, proven::line(headers))
            && let Some(client) = self.service.registry.lasting(&caller.client)
        {
            let ends = caller.client.secrets.iter().filter_map(|secret| secret.expires_at);
            let until = ends.filter(|end| now.seconds() < *end).min().unwrap_or(UnixSeconds::MAX);
            memory.keep(Proven::new(line, source, caller.clone(), client, until, failures));
        }
        Ok(caller)
    }

    async fn by_secret(
        &self,
        method: AuthenticationMethod,
        claimed: &str,
        forms: &[(&str, &str)],
        source: Source,
        now: Now,
    ) -> Result<Caller, Refused> {
        self.throttle.check(claimed, source, now)?;
        let mut clients = Vec::with_capacity(forms.len());
        for (id, secret) in forms {
            let client = self.find(id).await?.filter(|_| secret.len() <= Secret::MAX_BYTES);
            clients.push((client, *secret));
        }
        // From here to the count there is nothing to wait for. Others may have failed while the store was read.
        self.throttle.check(claimed, source, now)?;
        let mut slow = Vec::new();
        for (client, secret) in &clients {
            let Some(client) = client else { continue };
            let acceptable = client.takes(method) && client.state == ClientState::Approved;
            for stored in client.secrets.iter().filter(|stored| stored.is_live(now.seconds())) {
                let is_slow = stored.hash.is_slow();
                let matched = if is_slow {
                    self.passed.contains(&stored.hash, secret)
                } else {
                    stored.hash.matches(&self.service.keys, secret)
                };
                if matched && acceptable {
                    return Ok(caller_of(client, method));
                }
                if is_slow && !matched {
                    let secret = Secret::new(*secret);
                    slow.push(SlowCheck {
                        hash: stored.hash.clone(),
                        secret,
                        client: acceptable.then(|| Arc::clone(client)),
                    });
                }
            }
        }
        let decided = slow.is_empty();
        if decided {
            self.throttle.failed(claimed, source, now);
        }
        while slow.len() < forms.len() {
            slow.push(SlowCheck { hash: self.decoy.clone(), secret: Secret::new(""), client: None });
        }
        match self.slowly(slow, claimed, source, now, decided).await? {
            Some(client) => Ok(caller_of(&client, method)),
            None => Err(Refusal::InvalidClient.into()),
        }
    }

    /// Compares slowly, in one turn of the pool; with `decided`, only so that it takes as long as if it mattered.
    async fn slowly(
        &self,
        checks: Vec<SlowCheck>,
        claimed: &str,
        source: Source,
        now: Now,
        decided: bool,
    ) -> Result<Option<Arc<Client>>, Refused> {
        let (service, passed, throttle) =
            (Arc::clone(&self.service), Arc::clone(&self.passed), Arc::clone(&self.throttle));
        let claimed = claimed.to_owned();
        let job = move |_: &mut HashMemory| {
            // What waited in the queue may have been overtaken by failures that make it wait longer.
            if !decided {
                throttle.check(&claimed, source, now)?;
            }
            let mut found = None;
            for check in checks {
                if check.hash.matches(&service.keys, check.secret.expose()) {
                    passed.remember(&check.hash, check.secret.expose());
                    found = found.or(check.client);
                }
            }
            if found.is_none() && !decided {
                throttle.failed(&claimed, source, now);
            }
            Ok(found)
        };
        self.service.hashing.run(job).await.map_err(Refusal::from)?
    }

    /// What a client has signed. It is noted as used only once it is known to be the client's: nobody else can use it
    /// up.
    async fn by_assertion(&self, assertion: &Assertion<'_>, source: Source, now: Now) -> Result<Caller, Refused> {
        let id = assertion.client_id();
        self.throttle.check(id.as_str(), source, now)?;
        let client = self.find(id.as_str()).await?.filter(|client| {
            client.takes(AuthenticationMethod::PrivateKeyJwt) && client.state == ClientState::Approved
        });
        // Others may have failed while the store was read.
        self.throttle.check(id.as_str(), source, now)?;
        let outcome = match &client {
            Some(client) => assertion.verify(client, &self.endpoints, now),
            None => return Err(self.failed(id.as_str(), source, now)),
        };
        let outcome = match outcome {
            Ok(Some(single_use)) => {
                let first = self.service.store.use_once(single_use.name, single_use.until, now).await;
                if first.map_err(Refusal::from)? { Ok(()) } else { Err(AssertionError::Replayed) }
            }
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        match (client, outcome) {
            (Some(client), Ok(())) => Ok(Caller { client, method: Method::Assertion }),
            (_, refused) => {
                if let Err(reason) = refused {
                    tracing::debug!(client_id = %id, %reason, "a client assertion was refused");
                }
                Err(self.failed(id.as_str(), source, now))
            }
        }
    }

    /// A client that names itself over a connection with a certificate (RFC 8705 section 2).
    async fn by_certificate(
        &self,
        id: &str,
        certificate: &PeerCertificate,
        source: Source,
        now: Now,
    ) -> Result<Caller, Refused> {
        self.throttle.check(id, source, now)?;
        let client = self.find(id).await?.filter(|client| client.state == ClientState::Approved);
        self.throttle.check(id, source, now)?;
        match client {
            Some(client) if client.is_public() => Ok(Caller { client, method: Method::Public }),
            Some(client) => match self.authorities.verify(&client, certificate, now) {
                Ok(()) => Ok(Caller { client, method: Method::Certificate }),
                Err(reason) => {
                    tracing::debug!(client_id = %client.client_id, %reason, "a client certificate was refused");
                    Err(self.failed(id, source, now))
                }
            },
            None => Err(self.failed(id, source, now)),
        }
    }

    fn failed(&self, claimed: &str, source: Source, now: Now) -> Refused {
        self.throttle.failed(claimed, source, now);
        Refusal::InvalidClient.into()
    }

    /// A client that only names itself must be registered as one that has no secret (RFC 6749 section 2.2).
    async fn public(&self, id: &str) -> Result<Caller, Refusal> {
        match self.find(id).await? {
            Some(client) if client.is_public() && client.state == ClientState::Approved => {
                Ok(Caller { client, method: Method::Public })
            }
            _ => Err(Refusal::InvalidClient),
        }
    }

    /// An access token as credentials (RFC 7662 section 2.1). What it may be used for is [`Caller::has`]'s to say.
    ///
    /// One that is bound to a key or a certificate is worth nothing without their proof, which a Bearer token does not
    /// bring along (RFC 9449 section 7.2, RFC 8705 section 3).
    async fn bearer(&self, presented: Presented<'_>, source: Source, now: Now) -> Result<Caller, Refused> {
        match self.service.lookup(presented, now).await.map_err(Refusal::from)? {
            Ok(token) if token.record.kind == TokenKind::Access && !token.record.claims.has_confirmation() => {
                let method = Method::Bearer(token.record.scope.clone());
                Ok(Caller { client: Arc::clone(&token.owner.client), method })
            }
            _ => {
                let spent = |seconds| Refused { refusal: Refusal::Throttled { seconds }, limit: Some(Limit::Source) };
                self.bearers.spend(&source, now).map_err(spent)?;
                Err(Refusal::InvalidToken.into())
            }
        }
    }

    async fn find(&self, id: &str) -> Result<Option<Arc<Client>>, Refusal> {
        let Some(id) = ClientId::parse(id) else { return Ok(None) };
        Ok(self.service.registry.find(&id).await?.map(|known| known.client))
    }
}
