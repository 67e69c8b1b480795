//! What refreshes, revocations and approvals do to each other, whichever begins first: a thousand times over each
//! store, in this process, through the same service that the listeners call.
//!
//! RFC 7009 section 2.1: the effect of a revocation is immediate. So once one was answered, nothing that anybody
//! received before or receives later from that grant is active.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use introspectd::client::ClientId;
use introspectd::service::Service;
use introspectd::service::approve::ApproveError;
use introspectd::service::issue::{GrantExpiry, NewToken};
use introspectd::service::refresh::{RefreshError, RefreshRequest};
use introspectd::service::registry::KnownClient;
use introspectd::service::revoke::Named;
use introspectd::token::claims::Claims;
use introspectd::token::epoch::EpochAxis;
use introspectd::token::grant::TokenFormat;
use introspectd::token::record::Reason;
use introspectd::token::scope::Scope;
use introspectd::token::value::Presented;
use tokio::task::JoinSet;

use crate::support::node::{AUDIENCE, Kind, Node, Registered};

over_both_stores! {
    of_approving_and_revoking_the_last_one_counts
    no_refresh_token_works_whose_access_token_was_revoked_alone
    no_descendant_outlives_a_bulk_revocation
    no_descendant_outlives_the_revocation_of_its_family
    no_refresh_token_works_once_its_family_was_reused
}

/// Rounds of each test; several run beside each other, and get into each other's way.
const ROUNDS: usize = 1_000;
const BESIDE: usize = 25;

/// The service, and a client that has tokens.
#[derive(Clone)]
struct Ground {
    service: Arc<Service>,
    owner: KnownClient,
}

/// Tokens that somebody received: the latest refresh token last.
#[derive(Clone)]
struct Received {
    grant: String,
    /// That of the first access token.
    access_jti: String,
    accesses: Vec<String>,
    refreshes: Vec<String>,
}

impl Ground {
    async fn of(node: &Node) -> Self {
        Self::with(node, node.refresher().await).await
    }

    /// One for each form that access tokens can have.
    async fn of_both_forms(node: &Node) -> [Self; 2] {
        [Self::of(node).await, Self::with(node, node.refresher_of(TokenFormat::Jwt).await).await]
    }

    async fn with(node: &Node, client: Registered) -> Self {
        let id = ClientId::parse(&client.id).unwrap();
        Self { service: Arc::clone(&node.service), owner: node.service.registry.find(&id).await.unwrap().unwrap() }
    }

    async fn issue(&self, subject: Option<String>) -> Received {
        let new = NewToken {
            owner: self.owner.clone(),
            subject: subject.map(Into::into),
            username: None,
            scope: Scope::default(),
            audience: vec![AUDIENCE.into()],
            not_before: None,
            expires_at: None,
            format: None,
            refresh: Some(GrantExpiry::Usual),
            claims: Claims::default(),
            import: None,
        };
        let issued = self.service.issue(new, self.service.now()).await.unwrap();
        Received {
            grant: issued.grant.unwrap().to_text().as_str().to_owned(),
            access_jti: issued.identity.to_text(),
            accesses: vec![issued.access.expose().to_owned()],
            refreshes: vec![issued.refresh.unwrap().expose().to_owned()],
        }
    }

    /// Exchanges the latest refresh token; `false` when it is refused.
    async fn refresh(&self, received: &mut Received) -> bool {
        let request = RefreshRequest {
            client: self.owner.clone(),
            token: Presented::new(received.refreshes.last().unwrap()),
            scope: None,
            resources: vec![],
            authorization_details: None,
            confirmation: None,
        };
        match self.service.refresh(&request, self.service.now()).await {
            Ok(refreshed) => {
                received.accesses.push(refreshed.issued.access.expose().to_owned());
                received.refreshes.push(refreshed.issued.refresh.unwrap().expose().to_owned());
                true
            }
            Err(RefreshError::InvalidGrant { .. }) => false,
            Err(other) => panic!("{other}"),
        }
    }

    async fn is_active(&self, token: &str) -> bool {
        self.service.lookup(Presented::new(token), self.service.now()).await.unwrap().is_ok()
    }

    /// Nothing of this is active, and no refresh token of it works.
    async fn expect_dead(&self, received: &Received, what: &str) {
        for token in received.accesses.iter().chain(&received.refreshes) {
            assert!(!self.is_active(token).await, "{what}");
        }
        for token in received.refreshes.iter().rev() {
            let mut one = Received { refreshes: vec![token.clone()], ..received.clone() };
            assert!(!self.refresh(&mut one).await, "{what}");
        }
    }

    /// Refreshes again and again until it is refused, and never succeeds with what it begins after `ended`.
    async fn refresh_until_refused(self, mut received: Received, ended: Arc<AtomicBool>, delay: Delay) -> Received {
        delay.pass().await;
        for _ in 0..6 {
            let late = ended.load(Ordering::SeqCst);
            if !self.refresh(&mut received).await {
                break;
            }
            assert!(!late, "refreshed after the end of the family was answered");
        }
        received
    }
}

/// How long somebody waits before it begins: nothing, a few turns of the scheduler, or some microseconds.
#[derive(Clone, Copy)]
struct Delay(usize);

impl Delay {
    async fn pass(self) {
        match self.0 % 8 {
            0 | 1 => {}
            turns @ 2..=4 => {
                for _ in 0..turns * 4 {
                    tokio::task::yield_now().await;
                }
            }
            steps => {
                let until = Instant::now() + Duration::from_micros(u64::try_from(steps).unwrap() * 150);
                while Instant::now() < until {
                    tokio::task::yield_now().await;
                }
            }
        }
    }
}

/// Runs the rounds, some beside each other; gives what each of them counted.
async fn rounds<F: Future<Output = usize> + Send + 'static>(round: impl Fn(usize) -> F) -> Vec<usize> {
    let (mut running, mut counted) = (JoinSet::new(), Vec::new());
    for number in 0..ROUNDS {
        if running.len() == BESIDE {
            counted.push(running.join_next().await.unwrap().unwrap());
        }
        running.spawn(round(number));
    }
    counted.extend(running.join_all().await);
    counted
}

/// In some rounds the one who refreshed was quicker, in some it was not: otherwise nothing was tested.
fn expect_both_to_have_won(refreshed: &[usize]) {
    let never = refreshed.iter().filter(|count| **count == 0).count();
    assert!(never > 0 && never < refreshed.len(), "{never} of {} rounds", refreshed.len());
}

async fn no_descendant_outlives_the_revocation_of_its_family(kind: Kind) {
    let node = Node::start_still(kind, &[]).await;
    let grounds = Ground::of_both_forms(&node).await;
    let refreshed = rounds(|number| {
        let ground = grounds[number / 7 % 2].clone();
        async move {
            let mut received = ground.issue(None).await;
            for _ in 0..number % 3 {
                assert!(ground.refresh(&mut received).await);
            }
            let (known, ended) = (received.clone(), Arc::new(AtomicBool::new(false)));
            let delays = (Delay(number), Delay(number / 8));
            let refreshing = tokio::spawn(ground.clone().refresh_until_refused(received, Arc::clone(&ended), delays.0));
            delays.1.pass().await;
            let (service, now) = (&ground.service, ground.service.now());
            // By its client with either token, also the oldest; by an operator with any name.
            let changed = match number % 7 {
                0 => service.revoke(&ground.owner.client, Presented::new(&known.refreshes[0]), now).await.map(drop),
                1 => service.revoke(&ground.owner.client, Presented::new(&known.accesses[0]), now).await.map(drop),
                2 => {
                    let last = known.refreshes.last().unwrap();
                    service.revoke(&ground.owner.client, Presented::new(last), now).await.map(drop)
                }
                3 => service.revoke_named(Named::Grant(&known.grant), true, now).await.map(drop),
                4 => {
                    let last = Presented::new(known.accesses.last().unwrap());
                    service.revoke_named(Named::Value(last), true, now).await.map(drop)
                }
                5 => {
                    let last = Presented::new(known.refreshes.last().unwrap());
                    service.revoke_named(Named::Value(last), true, now).await.map(drop)
                }
                _ => service.revoke_named(Named::Identifier(&known.access_jti), true, now).await.map(drop),
            };
            changed.unwrap();
            ended.store(true, Ordering::SeqCst);
            let received = refreshing.await.unwrap();
            ground.expect_dead(&received, "revoked").await;
            received.accesses.len() - known.accesses.len()
        }
    })
    .await;
    expect_both_to_have_won(&refreshed);
}

async fn no_descendant_outlives_a_bulk_revocation(kind: Kind) {
    let node = Node::start_still(kind, &[]).await;
    let grounds = Ground::of_both_forms(&node).await;
    let refreshed = rounds(|number| {
        let ground = grounds[number / 7 % 2].clone();
        async move {
            let user = format!("user-{number}");
            let received = ground.issue(Some(user.clone())).await;
            let known = received.clone();
            let ended = Arc::new(AtomicBool::new(false));
            let (early, late) = (Delay(number), Delay(number / 8));
            let refreshing = tokio::spawn(ground.clone().refresh_until_refused(received, Arc::clone(&ended), early));
            late.pass().await;
            let client_id = ground.owner.client.client_id.as_str();
            let axis = match number % 2 {
                0 => EpochAxis::User(&user),
                _ => EpochAxis::ClientUser { client_id, subject: &user },
            };
            ground.service.revoke_all(axis, None, Reason::PASSWORD_CHANGED, ground.service.now()).await.unwrap();
            ended.store(true, Ordering::SeqCst);
            // Who logs in anew is not concerned, even while the old session is still being refreshed.
            let mut anew = ground.issue(Some(user.clone())).await;
            let received = refreshing.await.unwrap();
            ground.expect_dead(&received, "revoked in bulk").await;
            assert!(ground.is_active(&anew.accesses[0]).await && ground.is_active(&anew.refreshes[0]).await);
            assert!(ground.refresh(&mut anew).await && ground.is_active(&anew.accesses[1]).await);
            received.accesses.len() - known.accesses.len()
        }
    })
    .await;
    expect_both_to_have_won(&refreshed);
}

/// The thief and the client refresh at the same time, each with what it has: whoever is told of success has nothing of
/// it once the other has been refused.
async fn no_refresh_token_works_once_its_family_was_reused(kind: Kind) {
    let node = Node::start_still(kind, &[]).await;
    let grounds = Ground::of_both_forms(&node).await;
    rounds(|number| {
        let ground = grounds[number / 7 % 2].clone();
        async move {
            let received = ground.issue(None).await;
            let spend = async |delay: Delay| {
                let mut own = received.clone();
                delay.pass().await;
                for _ in 0..=number % 3 {
                    if !ground.refresh(&mut own).await {
                        break;
                    }
                }
                own
            };
            let (one, other) = tokio::join!(spend(Delay(number)), spend(Delay(number / 8)));
            for all in [&one, &other] {
                ground.expect_dead(all, "used twice").await;
            }
            usize::from(one.refreshes.len() > 1)
        }
    })
    .await;
}

/// Of two that do not overlap, the later one; of two that do, either, but for the whole grant.
async fn of_approving_and_revoking_the_last_one_counts(kind: Kind) {
    let node = Node::start_still(kind, &[]).await;
    let grounds = Ground::of_both_forms(&node).await;
    let active = rounds(|number| {
        let ground = grounds[number / 7 % 2].clone();
        async move {
            let received = ground.issue(None).await;
            let service = &ground.service;
            if number % 2 == 0 {
                service.revoke_named(Named::Grant(&received.grant), true, service.now()).await.unwrap();
            }
            let name = |way: usize| match way % 4 {
                0 => Named::Grant(&received.grant),
                1 => Named::Value(Presented::new(&received.accesses[0])),
                2 => Named::Identifier(&received.access_jti),
                _ => Named::Value(Presented::new(&received.refreshes[0])),
            };
            let revoking = async {
                Delay(number).pass().await;
                let begun = Instant::now();
                service.revoke_named(name(number), true, service.now()).await.unwrap();
                (begun, Instant::now())
            };
            let approving = async {
                Delay(number / 8).pass().await;
                let begun = Instant::now();
                service.approve_named(name(number / 4), true, service.now()).await.unwrap();
                (begun, Instant::now())
            };
            let (revoked, approved) = tokio::join!(revoking, approving);
            let active = ground.is_active(&received.accesses[0]).await;
            assert_eq!(ground.is_active(&received.refreshes[0]).await, active, "the whole grant");
            if revoked.1 < approved.0 {
                assert!(active, "approved last");
            }
            if approved.1 < revoked.0 {
                assert!(!active, "revoked last");
            }
            // And one after the other it is always the last one.
            for last in [true, false, true] {
                if last {
                    service.approve_named(name(number), true, service.now()).await.unwrap();
                } else {
                    service.revoke_named(name(number), true, service.now()).await.unwrap();
                }
                assert_eq!(ground.is_active(&received.accesses[0]).await, last);
                assert_eq!(ground.is_active(&received.refreshes[0]).await, last);
            }
            usize::from(active)
        }
    })
    .await;
    expect_both_to_have_won(&active);
}

/// An access token that is revoked alone makes its refresh token unusable (rule 2), whatever is approved meanwhile.
async fn no_refresh_token_works_whose_access_token_was_revoked_alone(kind: Kind) {
    let node = Node::start_still(kind, &[]).await;
    let ground = Ground::of(&node).await;
    let active = rounds(|number| {
        let ground = ground.clone();
        async move {
            let received = ground.issue(None).await;
            let (service, name) = (&ground.service, Named::Value(Presented::new(&received.accesses[0])));
            service.revoke_named(name, number % 4 < 2, service.now()).await.unwrap();
            let revoking = async {
                Delay(number).pass().await;
                service.revoke_named(name, false, service.now()).await.unwrap();
            };
            let approving = async {
                Delay(number / 8).pass().await;
                match service.approve_named(name, true, service.now()).await {
                    Ok(_) => {}
                    // Overtaken by the revocation.
                    Err(ApproveError::Store(error)) => assert!(error.is_transient(), "{error}"),
                    Err(other) => panic!("{other}"),
                }
            };
            tokio::join!(revoking, approving);
            let [access, refresh] = [&received.accesses[0], &received.refreshes[0]];
            let (access, refresh) = (ground.is_active(access).await, ground.is_active(refresh).await);
            assert!(access || !refresh, "round {number}");
            usize::from(access)
        }
    })
    .await;
    expect_both_to_have_won(&active);
}
