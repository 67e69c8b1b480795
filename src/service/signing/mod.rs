//! The signing keys that all nodes share: made when they are first needed, rotated, and removed in an emergency.
//!
//! - `document` what is stored: public halves, sealed private halves, moments
//! - `lifecycle` what may become of a key: pure
//! - `snapshot` the keys as this node holds them
//!
//! Each node reads the document every few seconds, and at once when it meets a key that it does not know. A change
//! names the version that it is made to, so that of two nodes that change at the same time one begins anew.

mod document;
mod lifecycle;
mod snapshot;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, sleep_until};

pub use document::Purpose;
pub use snapshot::PublishedKey;

use self::document::{KeyDocument, StoredKey};
use self::lifecycle::{Maker, Timing};
use self::snapshot::Snapshot;
use crate::config::SigningConfig;
use crate::jose::algorithm::Algorithm;
use crate::jose::error::KeyError;
use crate::jose::signing::SigningKey;
use crate::store::{Store, StoreError, StoreErrorKind};
use crate::token::epoch::EpochAxis;
use crate::token::grant::Cover;
use crate::token::keyring::KeyRing;
use crate::token::record::Reason;
use crate::token::sealing::SealError;
use crate::token::time::Now;

/// Signs and verifies with the keys in the store.
#[derive(Debug)]
pub struct SigningKeys {
    store: Arc<Store>,
    ring: Arc<KeyRing>,
    settings: SigningConfig,
    /// How long the last text lives that a key signs, with what clocks may differ by; in seconds.
    longest: u64,
    snapshot: ArcSwap<Snapshot>,
    /// Whether the document has been read at all.
    has_read: AtomicBool,
    reading: Mutex<LastReading>,
    changing: Mutex<()>,
}

/// When the document was last read, and whether it could be.
#[derive(Debug, Default)]
struct LastReading {
    begun: Option<Instant>,
    failed: Option<StoreErrorKind>,
}

/// A text that was signed.
#[derive(Debug)]
pub struct SignedText {
    /// The compact form.
    pub text: String,
    /// Which key signed it.
    pub kid: Box<str>,
}

/// Why nothing was signed or changed.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    /// There is no key of that name.
    #[error("there is no such key")]
    Unknown,
    /// Too many retired keys are still needed to verify with.
    #[error(
        "there are {} keys already: a key is kept until the last token that it signed has ended",
        lifecycle::MAX_KEYS
    )]
    TooMany,
    /// A key could not be made or used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A private key could not be sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// It cannot be said what the keys are, or that they were changed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How often the document is read. A key signs no sooner than it has been published for `signing.publish_ahead`, so
/// that nothing depends on this but how soon a removed key is no longer signed with.
const READING_INTERVAL: Duration = Duration::from_secs(3);

/// The least time between two readings that unknown keys ask for: whoever asks in between waits for the next one
/// together.
const LEAST_INTERVAL: Duration = Duration::from_millis(100);

/// What the clocks of two nodes may differ by, in seconds: far more than they do.
const CLOCK_DIFFERENCE: u64 = 300;

/// How often a change is tried that another node overtakes. Keys are changed a few times a year.
const ATTEMPTS: usize = 20;

impl SigningKeys {
    /// The keys in this store, sealed with the keys of this ring. No token lives longer than `longest`.
    pub fn new(store: Arc<Store>, ring: Arc<KeyRing>, settings: SigningConfig, longest: Duration) -> Self {
        Self {
            store,
            ring,
            settings,
            longest: longest.as_secs().saturating_add(CLOCK_DIFFERENCE),
            snapshot: ArcSwap::default(),
            has_read: AtomicBool::new(false),
            reading: Mutex::default(),
            changing: Mutex::default(),
        }
    }

    /// What is signed with when nothing else is said.
    pub fn usual_algorithm(&self) -> Algorithm {
        self.settings.algorithm
    }

    /// Signs the JSON text of an object. The first text of an algorithm makes its keys.
    ///
    /// # Errors
    /// [`SigningError`].
    pub async fn sign(
        &self,
        purpose: Purpose,
        algorithm: Algorithm,
        typ: &str,
        claims: &[u8],
        now: Now,
    ) -> Result<SignedText, SigningError> {
        let key = self.active(purpose, algorithm, now).await?;
        let private = key.private().ok_or(SigningError::Unknown)?;
        Ok(SignedText { text: private.sign(typ, key.kid(), claims)?, kid: key.kid().into() })
    }

    /// Makes the keys of an algorithm that is going to be used, so that they are published before they sign.
    ///
    /// # Errors
    /// [`SigningError`].
    pub async fn prepare(&self, purpose: Purpose, algorithm: Algorithm, now: Now) -> Result<(), SigningError> {
        self.active(purpose, algorithm, now).await.map(drop)
    }

    async fn active(
        &self,
        purpose: Purpose,
        algorithm: Algorithm,
        now: Now,
    ) -> Result<Arc<PublishedKey>, SigningError> {
        if let Some(key) = self.snapshot.load().signer(purpose, algorithm, now.seconds()) {
            return Ok(Arc::clone(key));
        }
        self.change(now, move |document, timing, make| document.ensure(purpose, algorithm, timing, make)).await?;
        let snapshot = self.snapshot.load();
        snapshot.signer(purpose, algorithm, now.seconds()).cloned().ok_or(SigningError::Unknown)
    }

    /// The key that would sign at this moment, by what was read last; `None` before the first text of an algorithm.
    pub fn signer(&self, purpose: Purpose, algorithm: Algorithm, now: Now) -> Option<Arc<PublishedKey>> {
        self.snapshot.load().signer(purpose, algorithm, now.seconds()).cloned()
    }

    /// The key of this name, if what it has signed can be valid; `None` when there is none. A name that this node does
    /// not know is looked for in the store, together with all others that are asked for meanwhile.
    ///
    /// # Errors
    /// [`StoreError`] when the store could not be asked: the key may be one that another node has just made.
    pub async fn find(&self, kid: &str, now: Now) -> Result<Option<Arc<PublishedKey>>, StoreError> {
        let mut found = self.snapshot.load().find(kid).cloned();
        if found.is_none() && is_thumbprint(kid) {
            self.read_after(Instant::now()).await?;
            found = self.snapshot.load().find(kid).cloned();
        }
        Ok(found.filter(|key| key.stored.is_published(now.seconds())))
    }

    /// Whether this node knows a key whose texts can be valid, by what was read last: without a wait.
    pub fn knows(&self, kid: &str, now: Now) -> bool {
        self.known(kid, now).is_some()
    }

    /// The key of this name, by what was read last.
    pub fn known(&self, kid: &str, now: Now) -> Option<Arc<PublishedKey>> {
        self.snapshot.load().find(kid).filter(|key| key.stored.is_published(now.seconds())).cloned()
    }

    /// The keys to be published, in the order in which they were made.
    ///
    /// # Errors
    /// [`StoreError`] when they could never be read so far.
    pub async fn published(&self, now: Now) -> Result<Vec<Arc<PublishedKey>>, StoreError> {
        if !self.has_read.load(Ordering::Acquire) {
            self.read_after(Instant::now()).await?;
        }
        let snapshot = self.snapshot.load();
        Ok(snapshot.keys.iter().filter(|key| key.stored.is_published(now.seconds())).cloned().collect())
    }

    /// The keys as the store has them at this moment.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list(&self, now: Now) -> Result<Vec<Arc<PublishedKey>>, StoreError> {
        self.read_after(Instant::now()).await?;
        self.published(now).await
    }

    /// How long a verifier may keep the published keys: no longer than a key is published before it signs.
    pub fn publish_ahead(&self) -> Duration {
        self.settings.publish_ahead
    }

    /// Lets the standby of an algorithm take over, as soon as it has been published for long enough.
    ///
    /// # Errors
    /// [`SigningError`].
    pub async fn rotate(&self, purpose: Purpose, algorithm: Algorithm, now: Now) -> Result<(), SigningError> {
        self.change(now, move |document, timing, make| document.rotate(purpose, algorithm, timing, make)).await
    }

    /// Takes a key out of use. What it has signed stays valid.
    ///
    /// # Errors
    /// [`SigningError`].
    pub async fn retire(&self, kid: &str, now: Now) -> Result<(), SigningError> {
        let kid = kid.to_owned();
        self.change(now, move |document, timing, make| document.retire(&kid, timing, make)).await
    }

    /// Takes a key away with everything that it has signed, at once and on every node.
    ///
    /// First all its tokens are revoked, which every node reads with each of them; then the key is taken out of the
    /// document. A node that has not read that yet can only sign what is revoked already. Once begun it is carried
    /// through.
    ///
    /// # Errors
    /// [`SigningError`].
    pub async fn remove(self: &Arc<Self>, kid: &str, now: Now) -> Result<(), SigningError> {
        self.read_after(Instant::now()).await?;
        if self.snapshot.load().find(kid).is_none() {
            // Somebody else may have removed it just now.
            self.store.visible().await?;
            return Err(SigningError::Unknown);
        }
        let keys = Arc::clone(self);
        let kid: Box<str> = kid.into();
        let carried_through = tokio::spawn(async move {
            let keep_until = now.seconds().plus(keys.longest);
            let axis = EpochAxis::Key(&kid);
            keys.store.raise_epoch(axis, Some(Cover::ALL), Reason::KEY_REMOVED, keep_until, now).await?;
            keys.change(now, move |document, timing, make| document.remove(&kid, timing, make)).await
        });
        carried_through.await.map_err(|_| {
            StoreError::new(StoreErrorKind::Unavailable, "the removal was cut short by the end of the process")
        })??;
        // What the key has signed ends with it.
        Ok(self.store.visible().await?)
    }

    /// Reads the document again and again. Never ends.
    pub async fn watch(&self) {
        let mut failing = false;
        loop {
            let outcome = self.read_after(Instant::now()).await;
            if let (Err(error), false) = (&outcome, failing) {
                tracing::warn!(%error, "the signing keys cannot be read: those that are known stay in use");
            }
            failing = outcome.is_err();
            sleep(READING_INTERVAL).await;
        }
    }

    /// Makes sure that the document has been read by a reading that began after `asked`. Of all that wait, one reads.
    async fn read_after(&self, asked: Instant) -> Result<(), StoreError> {
        let mut last = self.reading.lock().await;
        if let Some(begun) = last.begun {
            if begun > asked {
                let failed = |kind| Err(StoreError::new(kind, "the signing keys could not be read"));
                return last.failed.map_or(Ok(()), failed);
            }
            sleep_until(begun + LEAST_INTERVAL).await;
        }
        last.begun = Some(Instant::now());
        // Stays so if this future is dropped meanwhile.
        last.failed = Some(StoreErrorKind::Unavailable);
        let outcome = self.read().await;
        last.failed = outcome.as_ref().err().map(StoreError::kind);
        self.snapshot.store(outcome?);
        self.has_read.store(true, Ordering::Release);
        Ok(())
    }

    async fn read(&self) -> Result<Arc<Snapshot>, StoreError> {
        let document = self.store.signing_keys().await?;
        let known = self.snapshot.load_full();
        if document.as_ref().map_or(0, |document| document.version) == known.version {
            return Ok(known);
        }
        let ring = Arc::clone(&self.ring);
        blocking(move || Snapshot::open(document.as_ref(), &ring, &known)).await?.map(Arc::new)
    }

    /// Makes a change to the document as it is in the store, and reads it back.
    async fn change(
        &self,
        now: Now,
        operation: impl Fn(&mut KeyDocument, Timing, &mut Maker<'_>) -> Result<(), SigningError> + Send + Sync + 'static,
    ) -> Result<(), SigningError> {
        let timing =
            Timing { now: now.seconds(), publish_ahead: self.settings.publish_ahead.as_secs(), longest: self.longest };
        let operation = Arc::new(operation);
        // One at a time here, so that a burst of first tokens makes one key.
        let _turn = self.changing.lock().await;
        for _ in 0..ATTEMPTS {
            let snapshot = self.read().await?;
            let (version, before) = (snapshot.version, snapshot.to_document());
            let (ring, operation) = (Arc::clone(&self.ring), Arc::clone(&operation));
            // Making a key takes up to a second.
            let changed = blocking(move || changed(&before, &*operation, &ring, timing)).await??;
            let written = match changed {
                None => true,
                Some(body) => self.store.write_signing_keys(version, body.into()).await?,
            };
            if written {
                return Ok(self.read_after(Instant::now()).await?);
            }
        }
        Err(StoreError::new(StoreErrorKind::Unavailable, "the signing keys kept changing").into())
    }
}

/// The document after a change; `None` when there was nothing to change.
fn changed(
    before: &KeyDocument,
    operation: &dyn Fn(&mut KeyDocument, Timing, &mut Maker<'_>) -> Result<(), SigningError>,
    ring: &KeyRing,
    timing: Timing,
) -> Result<Option<Vec<u8>>, SigningError> {
    let mut after = before.clone();
    after.tidy(timing.now);
    let mut make = |purpose, algorithm| {
        let key = SigningKey::generate(algorithm)?;
        let stored = StoredKey::new(purpose, &key, ring, timing.now)?;
        tracing::info!(kid = %stored.kid, algorithm = algorithm.name(), purpose = purpose.name(), "a signing key was made");
        Ok(stored)
    };
    operation(&mut after, timing, &mut make)?;
    if after == *before {
        return Ok(None);
    }
    for key in &mut after.keys {
        key.reseal(ring)?;
    }
    Ok(Some(serde_json::to_vec(&after).expect("a key document has only text keys")))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, StoreError> {
    let ended = |_| StoreError::new(StoreErrorKind::Unavailable, "the work was cut short by the end of the process");
    tokio::task::spawn_blocking(work).await.map_err(ended)
}

/// Whether a `kid` can be one of ours: 43 characters of base64url.
fn is_thumbprint(kid: &str) -> bool {
    kid.len() == 43 && kid.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}
