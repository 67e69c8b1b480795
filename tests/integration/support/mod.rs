//! What the tests share: records to keep, and waiting for a condition with a bound.

pub(crate) mod api;
pub(crate) mod certificates;
pub(crate) mod cluster;
pub(crate) mod jose;
pub(crate) mod life;
pub(crate) mod node;
mod port;
pub(crate) mod program;
pub(crate) mod proxy;
pub(crate) mod raw;
pub(crate) mod redis;
pub(crate) mod sentinel;

/// Makes each test two: the function is called with a kind of store, in a module of that kind's name.
macro_rules! over_both_stores {
    ($($name:ident)*) => {
        mod embedded {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name($crate::support::node::Kind::Embedded).await; })*
        }
        mod redis {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name($crate::support::node::Kind::Redis).await; })*
        }
    };
}

/// Makes each test four: the function is called with a kind of store and a form of access tokens, in modules of their
/// names.
macro_rules! over_both_stores_and_forms {
    ($($name:ident)*) => {
        over_both_stores_and_forms! { @form opaque Opaque $($name)* }
        over_both_stores_and_forms! { @form jwt Jwt $($name)* }
    };
    (@form $module:ident $form:ident $($name:ident)*) => {
        mod $module {
            use introspectd::token::grant::TokenFormat::$form as FORM;

            over_both_stores! { $($name)* }

            $(async fn $name(kind: $crate::support::node::Kind) { super::$name(kind, FORM).await; })*
        }
    };
}

use std::time::{Duration, Instant};

use introspectd::store::Around;
use introspectd::token::claims::Claims;
use introspectd::token::digest::{GrantId, TokenDigest};
use introspectd::token::grant::{GrantRecord, TokenFormat};
use introspectd::token::record::{Grant, Record, State};
use introspectd::token::scope::Scope;
use introspectd::token::time::{Stamp, UnixSeconds};
use introspectd::token::value::TokenKind;

/// How long a condition may take to come true: far longer than it ever should, on the slowest machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// Waits until a condition holds.
///
/// # Panics
/// When it does not hold within [`PATIENCE`].
pub(crate) async fn eventually(what: &str, condition: impl AsyncFn() -> bool) {
    let begun = Instant::now();
    while !condition().await {
        assert!(begun.elapsed() < PATIENCE, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A digest of its own for each number.
pub(crate) fn digest(number: u8) -> TokenDigest {
    TokenDigest([number; TokenDigest::BYTES])
}

/// A grant of its own for each number.
pub(crate) fn grant(number: u8, expires_at: UnixSeconds) -> Grant {
    Grant { id: GrantId([number; GrantId::BYTES]), expires_at, born: Stamp(0) }
}

/// A record in which every part is present. Its stamp is one that no store would give.
pub(crate) fn record(expires_at: UnixSeconds) -> Record {
    Record {
        state: State::Approved,
        stamp: Stamp(0),
        owner_created: Stamp(0),
        kind: TokenKind::Access,
        issued_at: UnixSeconds(1_700_000_000),
        not_before: Some(UnixSeconds(1_700_000_001)),
        expires_at,
        client_id: "app one".into(),
        subject: Some("élise".into()),
        username: Some("elise@example.com".into()),
        scope: Scope::parse("read write").unwrap(),
        audience: vec!["https://api.example.com".into(), "orders".into()],
        grant: Some(grant(200, expires_at)),
        claims: Claims::from_rendered(r#""department":"7\u0000""#.into()).unwrap(),
    }
}

/// What is kept of a grant whose refresh token has this number; it and the family end then.
pub(crate) fn grant_record(current: u8, expires_at: UnixSeconds) -> GrantRecord {
    GrantRecord {
        current: digest(current),
        previous: None,
        rotated_at: UnixSeconds(1_700_000_000),
        access: digest(100),
        format: TokenFormat::Opaque,
        token: Record { kind: TokenKind::Refresh, ..record(expires_at) },
    }
}

/// A token of the client `app` that speaks for nobody.
pub(crate) fn around() -> Around<'static> {
    Around::of_client("app")
}
