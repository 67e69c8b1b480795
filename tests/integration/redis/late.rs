//! Scripts that reach Redis late: an approval finds that it has been overtaken.

use std::time::Duration;

use introspectd::client::secret::Secret;
use introspectd::config::RedisConfig;
use introspectd::store::redis::RedisStore;
use introspectd::store::{StoreError, Transition};
use introspectd::token::record::{Reason, State};

use super::{REQUESTED, insert, key, now};
use crate::support::digest;
use crate::support::proxy::Proxy;
use crate::support::redis::RedisServer;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_approval_is_overtaken_by_every_revocation_that_it_has_not_seen() {
    let server = RedisServer::start().await;
    let (proxy, near) = (Proxy::start(server.port()).await, server.store().await);
    let url = Secret::new(proxy.url());
    let config = RedisConfig { url, response_timeout: Duration::from_secs(20), ..server.config() };
    let far = RedisStore::open(&config).await.unwrap();
    let end = now().seconds().plus(60);
    let set = async |store: &RedisStore, signed: bool, state: State| -> Result<Transition, StoreError> {
        match signed {
            true => store.set_signed_state(digest(2), state, end, now()).await,
            false => store.set_state(digest(1), state, now()).await,
        }
    };
    insert(&near, 1).await.unwrap();
    let (approved, reused) = (State::Approved, State::Revoked(Reason::REUSED));
    for (signed, number) in [(false, 1), (true, 2)] {
        let script = ["EVAL", &key("r", number)];
        for (before, meanwhile, outcome) in [
            (approved, &[REQUESTED][..], Transition::Overtaken),
            (REQUESTED, &[REQUESTED], Transition::Overtaken),
            (REQUESTED, &[approved, REQUESTED], Transition::Overtaken),
            (REQUESTED, &[approved], Transition::Unchanged),
            (REQUESTED, &[], Transition::Changed),
            (REQUESTED, &[reused], Transition::Final(Reason::REUSED)),
        ] {
            set(&near, signed, before).await.unwrap();
            let mut hold = proxy.hold(&script);
            let revoking = async {
                hold.is_there().await;
                for state in meanwhile {
                    set(&near, signed, *state).await.unwrap();
                }
                hold.release();
            };
            let (late, ()) = tokio::join!(set(&far, signed, approved), revoking);
            assert_eq!(late.unwrap(), outcome, "{signed} {before:?} {meanwhile:?}");
            let _ = set(&near, signed, approved).await.unwrap();
        }
    }
}

/// As long as a revocation can be undone, each one after it is a new one; of a final one there is nothing to renew.
#[tokio::test]
async fn every_revocation_that_can_be_undone_is_stamped_anew() {
    let server = RedisServer::start().await;
    let store = server.store().await;
    insert(&store, 1).await.unwrap();
    let end = now().seconds().plus(60);
    let stamps = async || {
        let tombstone = async |number| server.command::<Vec<u8>>(&["GET", &key("r", number)]).await;
        [tombstone(1).await, tombstone(2).await]
    };
    let revoke = async |reason| {
        store.set_state(digest(1), State::Revoked(reason), now()).await.unwrap();
        store.set_signed_state(digest(2), State::Revoked(reason), end, now()).await.unwrap();
    };
    revoke(Reason::REQUESTED).await;
    let mut before = stamps().await;
    for (reason, renewed) in [(Reason::REQUESTED, true), (Reason::BULK, true), (Reason::BULK, false)] {
        revoke(reason).await;
        let after = stamps().await;
        for (before, after) in before.iter().zip(&after) {
            assert_eq!(after[..8] > before[..8], renewed, "{reason:?}");
            assert_eq!(after[8], reason.to_byte());
        }
        before = after;
    }
}
