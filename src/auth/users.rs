//! Which user is logging in: a name and a password to a user. One answer for every failure, which takes as long for a
//! name that nobody has as for a wrong password.

use std::sync::Arc;

use super::login_throttle::{LoginLimits, LoginThrottle};
use super::throttle::{Source, Wait};
use crate::config::AccountsConfig;
use crate::service::Service;
use crate::service::accounts::KnownUser;
use crate::service::hashing::Busy;
use crate::store::StoreError;
use crate::token::time::Now;
use crate::user::hash::{HashMemory, HashParameters, PasswordHash};
use crate::user::id::UserId;
use crate::user::name::LoginName;
use crate::user::password::Password;

/// Compares passwords.
#[derive(Debug)]
pub struct UserVerifier {
    service: Arc<Service>,
    throttle: Arc<LoginThrottle>,
    /// What a password is compared with where there is nothing to compare it with.
    decoy: PasswordHash,
    /// A password that nobody has.
    nobodys: Password,
}

/// A user who has shown to know the password.
#[derive(Debug)]
pub struct VerifiedUser {
    /// The user.
    pub known: KnownUser,
    /// What is to be kept of the password from now on, if that is to be more than what is kept.
    pub rehashed: Option<PasswordHash>,
}

/// Why a login is refused.
#[derive(Debug, thiserror::Error)]
pub enum LoginRefusal {
    /// Unknown name, wrong password, disabled user: all the same.
    #[error("the name or the password is wrong")]
    Invalid,
    /// Too many failures before; even the right password is refused.
    #[error("too many failures before")]
    Throttled(Wait),
    /// Too many hashes are waiting.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// Whether it is right could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<Wait> for LoginRefusal {
    fn from(wait: Wait) -> Self {
        Self::Throttled(wait)
    }
}

fn limits(config: &AccountsConfig) -> LoginLimits {
    LoginLimits {
        per_account_and_source: config.failures_per_account_and_source,
        per_source: config.failures_per_source,
        per_account: config.failures_per_account,
        overall_per_minute: config.failures_per_minute,
        max_wait: config.max_wait,
    }
}

/// One comparison.
struct Comparison {
    known: Option<KnownUser>,
    password: Option<Password>,
    throttle: Arc<LoginThrottle>,
    account: Box<str>,
    source: Source,
    decoy: PasswordHash,
    nobodys: Password,
    parameters: HashParameters,
    now: Now,
}

impl UserVerifier {
    /// A verifier over the users of `service`; `None` when there are no accounts.
    ///
    /// # Errors
    /// When there is no randomness for a salt.
    pub fn new(service: Arc<Service>, config: &AccountsConfig) -> Result<Option<Self>, String> {
        let Some(accounts) = &service.accounts else { return Ok(None) };
        let nobody = UserId::generate().map_err(|error| error.to_string())?.to_text();
        let nobody = Password::parse(nobody.as_str().to_owned()).map_err(|error| error.to_string())?;
        let decoy = PasswordHash::of_nothing(&accounts.parameters).map_err(|error| error.to_string())?;
        let throttle = Arc::new(LoginThrottle::new(limits(config)));
        Ok(Some(Self { service, throttle, decoy, nobodys: nobody }))
    }

    /// Decides who logs in with this text for a name, and this password; `None` stands for one that nobody can have.
    ///
    /// # Errors
    /// [`LoginRefusal`], which never says what was wrong.
    pub async fn verify(
        &self,
        name: &str,
        password: Option<Password>,
        source: Source,
        now: Now,
    ) -> Result<VerifiedUser, LoginRefusal> {
        let account = LoginName::throttle_key(name);
        self.throttle.check(&account, source, now)?;
        let known = match LoginName::parse(name) {
            Some(name) => {
                let found = self.service.store.user_named(name.unique()).await?;
                found.map(|(id, document)| KnownUser::read(id, &document)).transpose()?
            }
            None => None,
        };
        self.compare(known, account, password, source, now).await
    }

    /// Decides whether this is the password of a user who is logged in.
    ///
    /// # Errors
    /// As of [`UserVerifier::verify`].
    pub async fn confirm(
        &self,
        known: KnownUser,
        password: Option<Password>,
        source: Source,
        now: Now,
    ) -> Result<VerifiedUser, LoginRefusal> {
        let account = known.user.username.canonical.clone();
        self.throttle.check(&account, source, now)?;
        self.compare(Some(known), account, password, source, now).await
    }

    /// One slow comparison, whatever there is to compare. The failure is counted in the same step, so that neither
    /// hanging up early nor asking many times at once is of any use.
    async fn compare(
        &self,
        known: Option<KnownUser>,
        account: Box<str>,
        password: Option<Password>,
        source: Source,
        now: Now,
    ) -> Result<VerifiedUser, LoginRefusal> {
        let accounts = self.service.accounts.as_ref().ok_or(LoginRefusal::Invalid)?;
        let comparison = Comparison {
            known,
            password,
            throttle: Arc::clone(&self.throttle),
            account,
            source,
            decoy: self.decoy.clone(),
            nobodys: self.nobodys.clone(),
            parameters: accounts.parameters,
            now,
        };
        accounts.hashing.run_for(source.address(), move |memory| comparison.decide(memory)).await?
    }
}

impl Comparison {
    fn decide(self, memory: &mut HashMemory) -> Result<VerifiedUser, LoginRefusal> {
        // What waited in the queue may have been overtaken by failures that make it wait longer.
        self.throttle.check(&self.account, self.source, self.now)?;
        let hash = self.known.as_ref().map_or(&self.decoy, |known| &known.user.password);
        // What nobody can have is compared like any other, and found to be wrong.
        let presented = self.password.as_ref().unwrap_or(&self.nobodys);
        let matched = hash.matches(presented, memory) && self.password.is_some();
        let Some(known) = self.known.clone().filter(|known| matched && known.user.is_active()) else {
            self.throttle.failed(&self.account, self.source, self.now);
            return Err(LoginRefusal::Invalid);
        };
        self.throttle.succeeded(&self.account, self.source);
        let outdated = known.user.password.is_outdated(&self.parameters);
        // That it cannot be hashed anew is no reason to refuse who has shown to know it.
        let rehashed = outdated.then(|| PasswordHash::of(presented, &self.parameters, memory).ok()).flatten();
        Ok(VerifiedUser { known, rehashed })
    }
}
