//! What the benches share: keys, a record, texts and numbers, the same in every run.

#![allow(dead_code, reason = "each bench is a program of its own, and uses a part of this")]

use introspectd::token::claims::Claims;
use introspectd::token::digest::{GrantId, TokenDigest};
use introspectd::token::keyring::{Key, KeyId, KeyRing};
use introspectd::token::record::{Grant, Record, State};
use introspectd::token::scope::Scope;
use introspectd::token::time::{Stamp, UnixSeconds};
use introspectd::token::value::TokenKind;
use serde_json::json;

/// When the benches take place.
pub(crate) const NOW: UnixSeconds = UnixSeconds(1_790_000_000);
/// What [`Numbers`] begin with.
pub(crate) const SEED: u64 = 0x1f2e_3d4c_5b6a_7988;

/// A ring of `count` keys, which takes imports.
pub(crate) fn keys(count: u8) -> KeyRing {
    let key = |number: u8| {
        let id = KeyId::from_bytes(&[b'0', b'0' + number]).expect("two digits are a key id");
        Key::derive(id, &[number; Key::MIN_MATERIAL_BYTES]).expect("this is as long as it must be")
    };
    KeyRing::new(key(0), (1..count).map(key).collect(), true).expect("these keys differ")
}

/// How much a token says: what most do, or all that it can.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Content {
    /// Client, user, two scopes, one audience, a grant.
    Usual,
    /// Also a user name, more scopes and audiences, a confirmation and two kilobytes of claims.
    Large,
}

impl Content {
    /// Both, with their names in the results.
    pub(crate) const ALL: [(&'static str, Self); 2] = [("usual", Self::Usual), ("large", Self::Large)];

    /// A live access token that says so much.
    pub(crate) fn record(self) -> Record {
        let mut record = Record {
            state: State::Approved,
            stamp: Stamp(NOW.0 * 1_000_000),
            owner_created: Stamp(0),
            kind: TokenKind::Access,
            issued_at: NOW,
            not_before: None,
            expires_at: NOW.plus(900),
            client_id: "s6BhdRkqt3".into(),
            subject: Some("248289761001".into()),
            username: None,
            scope: Scope::parse("read write").expect("a constant scope"),
            audience: vec!["https://api.example.com".into()],
            grant: Some(Grant { id: GrantId([7; GrantId::BYTES]), expires_at: NOW.plus(86_400), born: Stamp(0) }),
            claims: Claims::default(),
        };
        if matches!(self, Self::Large) {
            let scopes: Vec<String> = (0..20).map(|number| format!("resource{number}:read")).collect();
            let extra = json!({"roles": vec!["a role of some length"; 80], "tenant": "a tenant with \"quotes\""});
            record.username = Some("j.doe@example.com".into());
            record.scope = Scope::parse(&scopes.join(" ")).expect("a constant scope");
            record.audience = (0..5).map(|number| format!("https://api{number}.example.com").into()).collect();
            record.claims = Claims::build(
                Some(&json!({"x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"})),
                None,
                extra.as_object().expect("an object was written there"),
            )
            .expect("none of these names is reserved");
        }
        record
    }
}

/// Numbers that look random and are the same in every run (`SplitMix64`).
#[derive(Debug)]
pub(crate) struct Numbers(u64);

impl Numbers {
    /// From the beginning.
    pub(crate) fn new() -> Self {
        Self(SEED)
    }

    /// A digest that no token has.
    pub(crate) fn digest(&mut self) -> TokenDigest {
        let [one, other] = [self.next(), self.next()];
        TokenDigest((u128::from(one) << 64 | u128::from(other)).to_be_bytes())
    }

    /// A place among `count`.
    pub(crate) fn below(&mut self, count: usize) -> usize {
        let count = u64::try_from(count).expect("a length fits");
        usize::try_from(self.next() % count).expect("it is below a length")
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
