//! Signed access tokens (RFC 9068): a record written as claims, and read back from them.
//!
//! A signed token has no record in the store. All that is known of it stands in its claims, and what revoking it needs
//! in its `jti`; only its revocation is stored. So it is looked up like any other token, but for the first read.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quick_cache::Weighter;
use quick_cache::sync::Cache;
use serde_json::{Map, Value, json};

use super::Service;
use super::issue::IssueError;
use super::lookup::Located;
use super::signing::{PublishedKey, Purpose, SignedText, SigningError};
use crate::jose::algorithm::Algorithm;
use crate::jose::compact::{Compact, numeric_date};
use crate::store::StoreError;
use crate::token::claims::Claims;
use crate::token::digest::TokenDigest;
use crate::token::identifier::Identifier;
use crate::token::identity::Identity;
use crate::token::record::{Record, State};
use crate::token::scope::Scope;
use crate::token::time::{Now, UnixSeconds};
use crate::token::value::{Presented, TokenKind, TokenValue};

/// The `typ` of an access token (RFC 9068 section 2.1).
const TYP: &str = "at+jwt";

/// How far the clock of the node that signed a token may be ahead of this one, in seconds.
const CLOCK_DIFFERENCE: u64 = 60;

/// A signed token of ours, as it says itself. Whether it is revoked is read for each request.
#[derive(Debug)]
pub(super) struct Verified {
    identity: Identity,
    record: Record,
    kid: Box<str>,
}

impl Verified {
    /// What a store knows it by.
    pub(super) fn digest(&self) -> TokenDigest {
        self.identity.digest()
    }

    /// Whether this is the token that was read: of the same name, and saying the same. Whoever has got hold of a key
    /// could sign another text with the name of a token of ours.
    pub(super) fn is(&self, identity: &Identity, record: &Record) -> bool {
        self.identity == *identity && self.record == *record
    }

    pub(super) fn located(&self) -> Located {
        Located { identity: self.identity.clone(), record: self.record.clone(), spent: false }
    }
}

/// The texts whose signature was verified, so that each token costs one signature check.
///
/// It says no more than "this key signed this text". Everything that can end a token is read anew for each request, and
/// an entry is used only as long as its key is there.
pub struct VerifiedTexts {
    /// Keyed with what no peer knows, so that none can make two texts meet.
    key: [u8; blake3::KEY_LEN],
    cache: Cache<[u8; blake3::OUT_LEN], Arc<Verified>, TextWeight>,
    checks: AtomicU64,
}

/// The most that the cache holds, in bytes of texts and what is known from them: some twenty thousand tokens of the
/// usual size.
const CACHE_BYTES: u64 = 32 * 1024 * 1024;

/// What an entry takes beside its texts, about.
const ENTRY_BYTES: u64 = 512;

#[derive(Clone, Copy, Debug)]
struct TextWeight;

impl Weighter<[u8; blake3::OUT_LEN], Arc<Verified>> for TextWeight {
    fn weight(&self, _: &[u8; blake3::OUT_LEN], verified: &Arc<Verified>) -> u64 {
        let record = &verified.record;
        let audience: usize = record.audience.iter().map(|name| name.len()).sum();
        let optional = |text: &Option<Box<str>>| text.as_deref().map_or(0, str::len);
        let texts = record.claims.as_str().len()
            + record.scope.as_str().len()
            + record.client_id.len()
            + optional(&record.subject)
            + optional(&record.username)
            + audience;
        // Scopes and claims are kept once more in the form in which they are searched.
        ENTRY_BYTES + 2 * texts as u64
    }
}

impl VerifiedTexts {
    /// An empty cache.
    ///
    /// # Errors
    /// The generator's own, when the operating system has no randomness to give.
    pub fn new() -> Result<Self, getrandom::Error> {
        let mut key = [0; blake3::KEY_LEN];
        getrandom::fill(&mut key)?;
        let entries = usize::try_from(CACHE_BYTES / ENTRY_BYTES / 2).unwrap_or(usize::MAX);
        Ok(Self { key, cache: Cache::with_weighter(entries, CACHE_BYTES, TextWeight), checks: AtomicU64::new(0) })
    }

    /// How many signatures of access tokens were checked so far.
    pub fn signature_checks(&self) -> u64 {
        self.checks.load(Ordering::Relaxed)
    }

    /// Whether this key has signed the text; what the cache is there to spare.
    fn check(&self, compact: &Compact<'_>, key: &PublishedKey) -> bool {
        self.checks.fetch_add(1, Ordering::Relaxed);
        compact.verify(key.public()).is_ok()
    }

    fn name(&self, text: &str) -> [u8; blake3::OUT_LEN] {
        *blake3::keyed_hash(&self.key, text.as_bytes()).as_bytes()
    }
}

impl fmt::Debug for VerifiedTexts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "VerifiedTexts({})", self.cache.len())
    }
}

impl Service {
    /// Signs an access token of this record. Its stamp is the moment of the store's clock, as that of a stored token
    /// is.
    pub(super) async fn sign_access_token(
        &self,
        record: Record,
        algorithm: Option<Algorithm>,
        now: Now,
    ) -> Result<(TokenValue, Identity), IssueError> {
        let identifier = Identifier {
            stamp: self.store.clock(now).await?,
            owner_created: record.owner_created,
            expires_at: record.expires_at,
            grant: record.grant,
        };
        let (jti, digest) = self.keys.identify(&identifier).map_err(IssueError::Randomness)?;
        let claims = self.claims_of(record, &jti).to_string();
        let algorithm = algorithm.unwrap_or(self.signing.usual_algorithm());
        let SignedText { text, kid } =
            self.signing.sign(Purpose::AccessToken, algorithm, TYP, claims.as_bytes(), now).await?;
        if text.len() > Compact::MAX_BYTES {
            return Err(IssueError::TooLarge);
        }
        Ok((TokenValue::signed(text), Identity::Signed { identifier: jti.into(), digest, key: Some(kid) }))
    }

    /// The claims of RFC 9068 section 2.2, of which none of the required ones is ever left out.
    ///
    /// `aud`: what the token is for, else the issuer itself: a token that names no resource is for nobody else (section
    /// 3 asks for a default). `sub`: the client, for a token that speaks for no user (section 2.2), with a prefix that
    /// keeps it apart from users (section 5).
    fn claims_of(&self, record: Record, jti: &str) -> Value {
        let mut claims = record.claims.to_members();
        let audience = match &record.audience[..] {
            [] => json!(self.issuer),
            [only] => json!(only),
            several => json!(several),
        };
        let subject = record.subject.unwrap_or_else(|| format!("client:{}", record.client_id).into());
        for (name, value) in [
            ("iss", json!(self.issuer)),
            ("aud", audience),
            ("sub", json!(subject)),
            ("client_id", json!(record.client_id)),
            ("exp", json!(record.expires_at)),
            ("iat", json!(record.issued_at)),
            ("jti", json!(jti)),
            ("nbf", json!(record.not_before)),
            ("scope", if record.scope.is_empty() { Value::Null } else { json!(record.scope) }),
            ("username", json!(record.username)),
        ] {
            if !value.is_null() {
                claims.insert(name.to_owned(), value);
            }
        }
        Value::Object(claims)
    }

    /// Verifies a signed token; `None` when the text is not one of ours.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be said whether there is a key of its name.
    pub(super) async fn locate_signed(
        &self,
        presented: Presented<'_>,
        now: Now,
    ) -> Result<Option<Located>, StoreError> {
        Ok(self.verified(presented, now).await?.map(|verified| verified.located()))
    }

    /// The same, with no more than what was verified.
    pub(super) async fn verified(
        &self,
        presented: Presented<'_>,
        now: Now,
    ) -> Result<Option<Arc<Verified>>, StoreError> {
        let Some(text) = presented.as_signed().filter(|text| text.len() <= Compact::MAX_BYTES) else {
            return Ok(None);
        };
        let name = self.verified.name(text);
        let known = self.verified.cache.get(&name).filter(|known| self.signing.knows(&known.kid, now));
        let verified = if known.is_some() {
            known
        } else {
            let verified = self.verify(text, now).await?.map(Arc::new);
            if let Some(verified) = &verified {
                self.verified.cache.insert(name, Arc::clone(verified));
            }
            verified
        };
        Ok(verified)
    }

    /// RFC 9068 section 4. The check value of the `jti` comes before anything that costs more than a hash: whoever has
    /// never had a token of ours can make us neither read the store nor check a signature.
    async fn verify(&self, text: &str, now: Now) -> Result<Option<Verified>, StoreError> {
        let Some((compact, claims)) = self.read_signed(text) else { return Ok(None) };
        let Some((identity, record)) = self.record_of(claims) else { return Ok(None) };
        let Some(kid) = compact.header().kid else { return Ok(None) };
        let Some(key) = self.signing.find(kid, now).await? else { return Ok(None) };
        if key.purpose() != Purpose::AccessToken || !self.verified.check(&compact, &key) {
            return Ok(None);
        }
        let kid: Box<str> = kid.into();
        let Identity::Signed { identifier, digest, .. } = identity else { return Ok(None) };
        let identity = Identity::Signed { identifier, digest, key: Some(kid.clone()) };
        Ok(Some(Verified { identity, record, kid }))
    }

    /// Whether a text was signed with one of our keys although its `jti` cannot be read: its digest key is one that
    /// this node does not have. Nothing can be done to such a token here, and nobody may be told that it was.
    pub(super) fn is_signed_with_unknown_digest_key(&self, presented: Presented<'_>, now: Now) -> bool {
        let signed = presented.as_signed().and_then(|text| self.read_signed(text));
        let Some((compact, claims)) = signed else { return false };
        let readable = claims.get("jti").and_then(Value::as_str).is_some_and(|jti| self.identify(jti).is_some());
        let by_us = |kid| self.signing.known(kid, now).is_some_and(|key| self.verified.check(&compact, &key));
        !readable && compact.header().kid.is_some_and(by_us)
    }

    /// Whether a text says that it is an access token of this issuer, with whichever key it was signed.
    pub(super) fn says_it_was_signed_here(&self, presented: Presented<'_>) -> bool {
        presented.as_signed().is_some_and(|text| self.read_signed(text).is_some())
    }

    /// The parts of a text that says it is an access token of ours.
    fn read_signed<'a>(&self, text: &'a str) -> Option<(Compact<'a>, Map<String, Value>)> {
        let compact = Compact::parse(text).ok()?;
        if !compact.header().is_typ(TYP) {
            return None;
        }
        let claims = compact.claims().ok()?;
        (claims.get("iss").and_then(Value::as_str) == Some(&*self.issuer)).then_some((compact, claims))
    }

    /// The record that these claims were written from; `None` when they are not such.
    fn record_of(&self, mut claims: Map<String, Value>) -> Option<(Identity, Record)> {
        let date = |name| numeric_date(&claims, name).ok();
        let (expires_at, issued_at, not_before) = (date("exp")??, date("iat")??, date("nbf")?);
        let mut text = |name: &str| match claims.remove(name) {
            None => Some(None),
            Some(Value::String(text)) => Some(Some(Box::<str>::from(text))),
            Some(_) => None,
        };
        let (jti, client_id, subject) = (text("jti")??, text("client_id")??, text("sub")??);
        let (scope, username) = (text("scope")?, text("username")?);
        let audience = match claims.remove("aud")? {
            Value::String(only) => vec![only.into()],
            Value::Array(several) if !several.is_empty() => {
                let name = |value: Value| value.as_str().map(Box::from);
                several.into_iter().map(name).collect::<Option<Vec<_>>>()?
            }
            _ => return None,
        };
        let (identity, identifier) = self.identify(&jti)?;
        if identifier.expires_at != UnixSeconds(expires_at) {
            return None;
        }
        let (confirmation, details) = (claims.remove("cnf"), claims.remove("authorization_details"));
        for written_above in ["iss", "exp", "iat", "nbf"] {
            claims.remove(written_above);
        }
        let record = Record {
            state: State::Approved,
            stamp: identifier.stamp,
            owner_created: identifier.owner_created,
            kind: TokenKind::Access,
            issued_at: UnixSeconds(issued_at),
            not_before: not_before.map(UnixSeconds),
            expires_at: identifier.expires_at,
            client_id,
            subject: Some(subject),
            username,
            scope: Scope::parse(scope.as_deref().unwrap_or_default()).ok()?,
            audience,
            grant: identifier.grant,
            claims: Claims::build(confirmation.as_ref(), details.as_ref(), &claims).ok()?,
        };
        Some((identity, record))
    }

    /// What the `jti` of a signed token says; `None` when it is none of ours.
    fn identify(&self, jti: &str) -> Option<(Identity, Identifier)> {
        let (identifier, digest): (Identifier, TokenDigest) = self.keys.read_identifier(jti)?;
        Some((Identity::Signed { identifier: jti.into(), digest, key: None }, identifier))
    }

    /// What is known of a signed token of which an operator has only the `jti`: enough to revoke it, and no more.
    pub(super) fn locate_identifier(&self, jti: &str) -> Option<Located> {
        let (identity, Identifier { stamp, owner_created, expires_at, grant }) = self.identify(jti)?;
        let record = Record {
            state: State::Approved,
            stamp,
            owner_created,
            kind: TokenKind::Access,
            issued_at: UnixSeconds(0),
            not_before: None,
            expires_at,
            client_id: "".into(),
            subject: None,
            username: None,
            scope: Scope::default(),
            audience: Vec::new(),
            grant,
            claims: Claims::default(),
        };
        Some(Located { identity, record, spent: false })
    }
}

/// Whether a signed token says that it was made in the future, by more than what clocks differ by.
pub(super) fn is_from_the_future(identity: &Identity, record: &Record, now: Now) -> bool {
    matches!(identity, Identity::Signed { .. }) && record.issued_at > now.seconds().plus(CLOCK_DIFFERENCE)
}

impl From<SigningError> for IssueError {
    fn from(error: SigningError) -> Self {
        match error {
            SigningError::Store(error) => Self::Store(error),
            other => Self::Signing(other.to_string()),
        }
    }
}
