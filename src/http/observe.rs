//! What is counted and logged of a request: never what was in it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::StatusCode;

use super::Answer;
use super::error::ApiError;
use crate::auth::credentials::Credentials;
use crate::auth::throttle::Limit;
use crate::auth::verify::Refused;
use crate::auth::{Caller, Refusal};
use crate::config::AccessLog;
use crate::telemetry::metrics::{
    AccountAction, AccountResult, ClientAuthMethod, ClientAuthResult, Endpoint, LimitedBy, Metrics, Outcome,
    RefreshResult,
};
use crate::token::decision::Inactive;
use crate::token::value::TokenKind;

/// Counts and logs for one face.
#[derive(Clone)]
pub struct Observer {
    metrics: Arc<Metrics>,
    access: AccessLog,
    faults: Arc<FaultLog>,
}

impl Observer {
    /// An observer that counts in `metrics` and writes these requests to the log.
    pub fn new(metrics: Arc<Metrics>, access: AccessLog) -> Self {
        Self { metrics, access, faults: Arc::default() }
    }

    /// The numbers.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Starts watching a request.
    pub fn begin(&self) -> Watch<'_> {
        Watch { observer: self, started: Instant::now() }
    }

    /// Counts how a caller fared.
    pub fn authentication(&self, credentials: &Credentials<'_>, outcome: &Result<Caller, Refused>) {
        let method = match credentials {
            Credentials::Basic { .. } => ClientAuthMethod::Basic,
            Credentials::Post { .. } => ClientAuthMethod::Post,
            Credentials::Assertion(_) => ClientAuthMethod::Assertion,
            Credentials::Certificate { .. } => ClientAuthMethod::Certificate,
            Credentials::IdOnly(_) => ClientAuthMethod::None,
            Credentials::Bearer(_) => ClientAuthMethod::Bearer,
        };
        let result = match outcome {
            Ok(_) => ClientAuthResult::Accepted,
            Err(refused) => match refused.refusal {
                Refusal::Throttled { .. } => ClientAuthResult::Limited,
                Refusal::Busy | Refusal::Unavailable(_) => ClientAuthResult::Unavailable,
                _ => ClientAuthResult::Rejected,
            },
        };
        self.metrics.client_auth.increment((method, result));
        if let Err(Refused { limit: Some(limit), .. }) = outcome {
            self.metrics.rate_limited.increment(match limit {
                Limit::Client => LimitedBy::Client,
                Limit::Source => LimitedBy::Source,
                Limit::Account => LimitedBy::Account,
                Limit::Overall => LimitedBy::Logins,
            });
        }
    }

    /// Counts a caller that was accepted as before.
    pub fn authenticated_again(&self) {
        self.metrics.client_auth.increment((ClientAuthMethod::Basic, ClientAuthResult::Accepted));
    }

    /// Counts why a token was answered as not active.
    pub fn inactive(&self, reason: Inactive) {
        self.metrics.inactive.increment(reason);
    }

    /// Counts the tokens of a batch.
    pub fn batch(&self, tokens: usize) {
        self.metrics.batch_tokens.add((), tokens as u64);
    }

    /// Counts a caller that has asked about too many unknown tokens.
    pub fn scanning(&self) {
        self.metrics.rate_limited.increment(LimitedBy::UnknownTokens);
    }

    /// Counts a caller that some other limit turned away.
    pub fn limited(&self, by: LimitedBy) {
        self.metrics.rate_limited.increment(by);
    }

    /// Counts how something that a user asked for ended.
    pub fn account(&self, action: AccountAction, result: AccountResult) {
        self.metrics.accounts.increment((action, result));
    }

    /// Counts an issued token.
    pub fn issued(&self, kind: TokenKind) {
        self.metrics.tokens_issued.increment(kind);
    }

    /// Counts a revoked token.
    pub fn revoked(&self) {
        self.metrics.tokens_revoked.increment(());
    }

    /// Counts a token that was approved again.
    pub fn approved(&self) {
        self.metrics.tokens_approved.increment(());
    }

    /// Counts a revocation of many tokens at once.
    pub fn revoked_in_bulk(&self) {
        self.metrics.bulk_revocations.increment(());
    }

    /// Counts how a refresh token was taken.
    pub fn refreshed(&self, result: RefreshResult) {
        self.metrics.refreshes.increment(result);
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Observer").field("access", &self.access).finish_non_exhaustive()
    }
}

/// A request that is being answered.
pub struct Watch<'a> {
    observer: &'a Observer,
    started: Instant,
}

impl Watch<'_> {
    /// Counts and logs how it ended, and gives the answer.
    pub fn end(self, endpoint: Endpoint, answer: Result<(Answer, Outcome), ApiError>) -> Answer {
        let duration = self.started.elapsed();
        let (answer, outcome, code) = match answer {
            Ok((answer, outcome)) => (answer, outcome, ""),
            Err(error) => {
                if let Some(message) = error.log() {
                    self.observer.faults.write(error.status(), message);
                }
                let (outcome, code) = (outcome_of(&error), error.code());
                (error.into_answer(), outcome, code)
            }
        };
        self.observer.metrics.observe_request(endpoint, outcome, duration);
        self.observer.access(endpoint, answer.status(), code, duration);
        answer
    }
}

impl Observer {
    fn access(&self, endpoint: Endpoint, status: StatusCode, code: &str, duration: Duration) {
        let wanted = match self.access {
            AccessLog::Off => false,
            AccessLog::Errors => status.is_server_error(),
            AccessLog::All => true,
        };
        if wanted {
            let microseconds = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
            tracing::info!(
                target: "introspectd::access",
                endpoint = endpoint.as_str(),
                status = status.as_u16(),
                code,
                microseconds,
                "request"
            );
        }
    }
}

fn outcome_of(error: &ApiError) -> Outcome {
    match error.status() {
        StatusCode::UNAUTHORIZED => Outcome::Unauthorized,
        StatusCode::FORBIDDEN => Outcome::Forbidden,
        StatusCode::TOO_MANY_REQUESTS => Outcome::RateLimited,
        StatusCode::SERVICE_UNAVAILABLE if error.is_overload() => Outcome::Overloaded,
        StatusCode::SERVICE_UNAVAILABLE => Outcome::StoreError,
        status if status.is_server_error() => Outcome::InternalError,
        _ => Outcome::BadRequest,
    }
}

/// Writes faults to the log, at most one a second: when a store goes down, every request has the same to say.
#[derive(Debug, Default)]
struct FaultLog {
    last: AtomicU64,
    withheld: AtomicU64,
}

impl FaultLog {
    fn write(&self, status: StatusCode, message: &str) {
        let second = crate::token::time::Clock::System.now().seconds().0;
        if self.last.swap(second, Ordering::Relaxed) == second {
            self.withheld.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let withheld = self.withheld.swap(0, Ordering::Relaxed);
        tracing::error!(status = status.as_u16(), withheld, "{message}");
    }
}
