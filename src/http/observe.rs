//! What is counted and logged of a request: never what was in it.

use std::cell::Cell;
use std::fmt;
use std::hash::BuildHasher as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::{HeaderMap, Method, StatusCode};

use super::error::ApiError;
use super::{Answer, correlation};
use crate::auth::credentials::Credentials;
use crate::auth::throttle::Limit;
use crate::auth::verify::Refused;
use crate::auth::{Caller, Refusal};
use crate::config::{AccessLog, LogConfig};
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
    sample: Sample,
    faults: Arc<FaultLog>,
}

impl Observer {
    /// An observer that counts in `metrics` and writes those requests to the log that the configuration wants.
    pub fn new(metrics: Arc<Metrics>, config: &LogConfig) -> Self {
        Self { metrics, access: config.access, sample: Sample::of(config.access_ratio), faults: Arc::default() }
    }

    /// The numbers.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Starts watching a request. Whether it is in the sample is decided here, before anything is known of it.
    pub fn begin(&self) -> Watch<'_> {
        let chosen = match self.access {
            AccessLog::Off | AccessLog::Errors => false,
            AccessLog::Sampled => self.sample.draw(),
            AccessLog::All => true,
        };
        Watch { observer: self, started: Instant::now(), chosen }
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
    /// Whether it is logged however it ends.
    chosen: bool,
}

/// What a line of the log says of a request beside its end.
pub struct Described<'a> {
    /// Its method.
    pub method: &'a Method,
    /// The path of its route, with names in braces for what differs; empty for a path that leads nowhere.
    pub route: &'static str,
    /// Its headers, of which only those are read that name it.
    pub headers: &'a HeaderMap,
    /// Who sent it; none for a unix socket.
    pub client: Option<IpAddr>,
}

impl Watch<'_> {
    /// Counts and logs how it ended, and gives the answer. `describe` is asked for requests that are logged.
    pub fn end<'d>(
        self,
        endpoint: Endpoint,
        answer: Result<(Answer, Outcome), ApiError>,
        describe: impl FnOnce() -> Described<'d>,
    ) -> Answer {
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
        let status = answer.status();
        if self.chosen || status.is_server_error() && self.observer.access != AccessLog::Off {
            log(&describe(), endpoint, status, code, duration);
        }
        answer
    }
}

#[cold]
fn log(request: &Described<'_>, endpoint: Endpoint, status: StatusCode, code: &str, duration: Duration) {
    tracing::info!(
        target: "introspectd::access",
        method = method_of(request.method),
        route = request.route,
        endpoint = endpoint.as_str(),
        status = status.as_u16(),
        code,
        microseconds = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX),
        client = request.client.map(tracing::field::display),
        request_id = correlation::request_id(request.headers),
        trace_id = correlation::trace_id(request.headers),
        "request"
    );
}

/// Any text of a peer's can be a method.
fn method_of(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "_OTHER",
    }
}

/// A share of all requests, each chosen or not without regard to any other.
#[derive(Clone, Copy, Debug)]
struct Sample {
    /// What drawn numbers of 32 bits must lie below.
    below: u64,
}

impl Sample {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a ratio between 0 and 1")]
    fn of(ratio: f64) -> Self {
        Self { below: (ratio * f64::from(u32::MAX)).ceil() as u64 }
    }

    /// Nobody else's cache line is written to, and no system is asked: it is drawn for each request.
    fn draw(self) -> bool {
        thread_local! {
            static STATE: Cell<u64> = Cell::new(std::hash::RandomState::new().hash_one(0));
        }
        // SplitMix64, whose every state is a good one.
        let state = STATE.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
        STATE.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) >> 32 < self.below
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_holds_the_share_that_was_asked_for() {
        const DRAWN: u32 = 200_000;
        for (ratio, least, most) in [(0.0, 0, 0), (0.01, 1_700, 2_300), (0.5, 98_500, 101_500), (1.0, DRAWN, DRAWN)] {
            let sample = Sample::of(ratio);
            let chosen = (0..DRAWN).filter(|_| sample.draw()).count();
            assert!((least..=most).contains(&u32::try_from(chosen).unwrap()), "{ratio}: {chosen}");
        }
    }
}
