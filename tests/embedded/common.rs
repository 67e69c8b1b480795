//! Tokens to write, numbers that look random, and waiting with a bound.

use std::time::{Duration, Instant};

use introspectd::client::ClientId;
use introspectd::store::embedded::EmbeddedStore;
use introspectd::token::claims::Claims;
use introspectd::token::digest::TokenDigest;
use introspectd::token::grant::{GrantRecord, TokenFormat};
use introspectd::token::record::{Record, State};
use introspectd::token::scope::Scope;
use introspectd::token::time::{Stamp, UnixSeconds};
use introspectd::token::value::TokenKind;

/// When the clocks of these tests start.
pub(crate) const START: UnixSeconds = UnixSeconds(1_700_000_000);

/// A record that expires then.
pub(crate) fn record(expires_at: UnixSeconds) -> Record {
    Record {
        state: State::Approved,
        stamp: Stamp(0),
        owner_created: Stamp(0),
        kind: TokenKind::Access,
        issued_at: START,
        not_before: None,
        expires_at,
        client_id: "app".into(),
        subject: Some("248289761001".into()),
        username: None,
        scope: Scope::parse("read write").unwrap(),
        audience: vec!["https://api.example".into()],
        grant: None,
        claims: Claims::default(),
    }
}

/// Token number `number`, at a place in the tables that looks random, expiring then.
pub(crate) fn token(number: u64, expires_at: UnixSeconds) -> (TokenDigest, Record) {
    (TokenDigest(Dice(number).id()), record(expires_at))
}

/// What is kept of a grant whose refresh token has this number, expiring then.
pub(crate) fn grant(number: u64, expires_at: UnixSeconds) -> GrantRecord {
    let (current, token) = token(number, expires_at);
    GrantRecord {
        current,
        previous: None,
        rotated_at: START,
        access: current,
        format: TokenFormat::Opaque,
        token: Record { kind: TokenKind::Refresh, stamp: Stamp(1), ..token },
    }
}

/// Numbers that look random and are the same in every run (splitmix64).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, sides: u64) -> u64 {
        self.next() % sides
    }

    pub(crate) fn id(&mut self) -> [u8; 16] {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&self.next().to_be_bytes());
        id[8..].copy_from_slice(&self.next().to_be_bytes());
        id
    }
}

/// Waits until something is so, and fails when it does not become so.
pub(crate) async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !done().await {
        assert!(start.elapsed() < Duration::from_secs(30), "not within 30 s: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// When a client was created.
pub(crate) async fn created(store: &EmbeddedStore, id: &ClientId) -> Stamp {
    store.client(id.as_str()).await.unwrap().unwrap().created
}
