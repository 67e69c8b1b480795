//! From credentials to a caller.

use std::sync::Arc;

use super::credentials::{Credentials, SEVERAL};
use super::memory::PassedChecks;
use super::throttle::{Limit, Source, Throttle};
use super::{Caller, Method, Refusal};
use crate::client::secret::{Secret, SecretHash};
use crate::client::{AuthenticationMethod, Client, ClientId, ClientState};
use crate::config::AuthenticationConfig;
use crate::service::Service;
use crate::token::time::Now;
use crate::token::value::{Presented, TokenKind};

/// Checks credentials. One for the whole process.
#[derive(Debug)]
pub struct Authenticator {
    service: Arc<Service>,
    throttle: Throttle,
    passed: PassedChecks,
    /// What a secret is compared with where there is nothing to compare it with.
    decoy: SecretHash,
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

/// Why no authenticator could be made: no randomness for its keys.
#[derive(Debug, thiserror::Error)]
#[error("no randomness: {0}")]
pub struct AuthenticatorError(String);

impl Authenticator {
    /// An authenticator over the clients and tokens of `service`.
    ///
    /// # Errors
    /// [`AuthenticatorError`] when the operating system has no randomness to give.
    pub fn new(service: Arc<Service>, config: &AuthenticationConfig) -> Result<Self, AuthenticatorError> {
        let failed = |error: &dyn std::fmt::Display| AuthenticatorError(error.to_string());
        let nobody = Secret::generate().map_err(|error| failed(&error))?;
        Ok(Self {
            service,
            throttle: Throttle::new(config),
            passed: PassedChecks::new().map_err(|error| failed(&error))?,
            decoy: SecretHash::argon2id(&nobody).map_err(|error| failed(&error))?,
        })
    }

    /// Decides who is calling.
    ///
    /// A failed attempt costs one argon2id for each way to read the credentials, whether or not the client exists, whatever
    /// hash it has, and whatever else is wrong: time says no more than the answer.
    ///
    /// # Errors
    /// [`Refused`], which never says which part of the credentials was wrong.
    pub async fn authenticate(
        &self,
        credentials: &Credentials<'_>,
        source: Source,
        now: Now,
    ) -> Result<Caller, Refused> {
        if let Credentials::Bearer(presented) = credentials {
            return self.bearer(*presented, now).await.map_err(Refused::from);
        }
        let claimed = credentials.claimed_id().unwrap_or_default();
        self.throttle.check(claimed, source, now).map_err(|wait| Refused {
            refusal: Refusal::Throttled { seconds: wait.seconds },
            limit: Some(wait.limit),
        })?;
        let caller = match credentials {
            Credentials::IdOnly(id) => return self.public(id).await.map_err(Refused::from),
            Credentials::Basic { pair, .. } => {
                let forms: Vec<(&str, &str)> = pair.forms().map(|form| (form.id, form.secret)).collect();
                self.by_secret(AuthenticationMethod::ClientSecretBasic, &forms, now).await?
            }
            Credentials::Post { id, secret } => {
                self.by_secret(AuthenticationMethod::ClientSecretPost, &[(id, secret)], now).await?
            }
            Credentials::Bearer(_) => None,
        };
        if let Some(caller) = caller {
            self.throttle.succeeded(claimed, source);
            let repeated = matches!(credentials, Credentials::Basic { repeated: true, .. });
            if repeated && !caller.client().repeated_credentials {
                return Err(SEVERAL.into());
            }
            Ok(caller)
        } else {
            self.throttle.failed(claimed, source, now);
            Err(Refusal::InvalidClient.into())
        }
    }

    async fn by_secret(
        &self,
        method: AuthenticationMethod,
        forms: &[(&str, &str)],
        now: Now,
    ) -> Result<Option<Caller>, Refusal> {
        let mut owed = forms.len();
        for (id, secret) in forms {
            if secret.len() > Secret::MAX_BYTES {
                continue;
            }
            let Some(known) = self.find(id).await? else { continue };
            for stored in known.secrets.iter().filter(|stored| stored.is_live(now.seconds())) {
                let matched = if !stored.hash.is_slow() {
                    stored.hash.matches(&self.service.keys, secret)
                } else if self.passed.contains(&stored.hash, secret) {
                    true
                } else {
                    owed = owed.saturating_sub(1);
                    self.slow_match(&stored.hash, secret).await?
                };
                if matched && known.takes(method) && known.state == ClientState::Approved {
                    let method = match method {
                        AuthenticationMethod::ClientSecretPost => Method::SecretPost,
                        _ => Method::SecretBasic,
                    };
                    return Ok(Some(Caller { client: known, method }));
                }
            }
        }
        for _ in 0..owed {
            self.slow_match(&self.decoy, "").await?;
        }
        Ok(None)
    }

    async fn slow_match(&self, hash: &SecretHash, secret: &str) -> Result<bool, Refusal> {
        let (service, own_hash, own_secret) = (Arc::clone(&self.service), hash.clone(), Secret::new(secret));
        let matched = self.service.hashing.run(move || own_hash.matches(&service.keys, own_secret.expose())).await?;
        if matched {
            self.passed.remember(hash, secret);
        }
        Ok(matched)
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
    async fn bearer(&self, presented: Presented<'_>, now: Now) -> Result<Caller, Refusal> {
        match self.service.lookup(presented, now).await? {
            Ok(token) if token.record.kind == TokenKind::Access && !token.record.claims.has_confirmation() => {
                Ok(Caller { client: token.owner.client, method: Method::Bearer(token.record.scope) })
            }
            _ => Err(Refusal::InvalidToken),
        }
    }

    async fn find(&self, id: &str) -> Result<Option<Arc<Client>>, Refusal> {
        let Some(id) = ClientId::parse(id) else { return Ok(None) };
        Ok(self.service.registry.find(&id).await?.map(|known| known.client))
    }
}
