//! What clients do all the time: ask, issue, revoke, approve, at a steady rate on any node.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use checker::history::event::Outcome;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::caller::{Caller, Wanted};
use crate::tokens::{Token, Tokens, random};

/// How many nodes there are.
pub(crate) const NODES: u16 = 3;
/// The clients whose tokens come and go. The last of them is itself revoked and approved now and then.
pub(crate) const CLIENTS: [&str; 4] = ["app0", "app1", "app2", "app3"];
/// How many users there are.
const USERS: usize = 8;
/// Who asks each node at the same time.
const ASKERS: u16 = 3;
/// How long each of them rests between two questions.
const REST: Duration = Duration::from_millis(8);

/// Everything that goes on. Ended when it is dropped.
pub(crate) struct Load {
    tasks: JoinSet<()>,
    stop: tokio::sync::watch::Sender<bool>,
}

/// Names for tokens, of which no two are alike.
#[derive(Default)]
pub(crate) struct Names(AtomicU64);

impl Names {
    pub(crate) fn next(&self) -> String {
        format!("t{}", self.0.fetch_add(1, Ordering::Relaxed))
    }
}

/// What the tasks of a load share.
#[derive(Clone)]
struct Shared {
    caller: Caller,
    tokens: Arc<Tokens>,
    names: Arc<Names>,
    stop: tokio::sync::watch::Receiver<bool>,
}

impl Load {
    /// Begins with some tokens that are there already.
    pub(crate) async fn begin(caller: Caller, tokens: Arc<Tokens>, names: Arc<Names>) -> Self {
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let shared = Shared { caller, tokens, names, stop: stopped };
        for _ in 0..30 {
            shared.issue().await;
        }
        let mut tasks = JoinSet::new();
        for node in 0..NODES {
            for _ in 0..ASKERS {
                tasks.spawn(shared.clone().ask(node));
            }
        }
        tasks.spawn(shared.clone().every(Duration::from_millis(80), async |shared| shared.issue().await));
        // A revocation takes a lease to be answered: several go on at once.
        for _ in 0..4 {
            tasks.spawn(shared.clone().every(Duration::from_millis(400), async |shared| shared.revoke().await));
        }
        tasks.spawn(shared.clone().every(Duration::from_millis(250), async |shared| shared.approve().await));
        tasks.spawn(shared.clone().every(Duration::from_millis(1500), async |shared| shared.revoke_issued().await));
        tasks.spawn(shared.every(Duration::from_secs(4), async |shared| shared.pause_a_client().await));
        Self { tasks, stop }
    }

    /// Lets everybody finish what they are at.
    pub(crate) async fn end(self) {
        self.stop.send_replace(true);
        self.tasks.join_all().await;
    }
}

impl Shared {
    fn is_over(&self) -> bool {
        *self.stop.borrow()
    }

    async fn every(self, pause: Duration, what: impl AsyncFn(&Self)) {
        let mut ticks = interval(pause);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !self.is_over() {
            ticks.tick().await;
            what(&self).await;
        }
    }

    async fn ask(self, node: u16) {
        while !self.is_over() {
            let token = if random(3) == 0 { self.tokens.any_changed() } else { self.tokens.any() };
            if let Some(token) = token {
                self.caller.introspect(node, &token).await;
            }
            sleep(REST).await;
        }
    }

    async fn issue(&self) {
        let user = (random(4) > 0).then(|| format!("user{}", random(USERS)));
        let wanted = Wanted {
            client: CLIENTS[random(CLIENTS.len())].to_owned(),
            user,
            // Some expire while they are asked about.
            lifetime: if random(4) == 0 { 2 + random(6) as u64 } else { 3600 },
            has_grant: random(3) == 0,
            is_signed: random(4) == 0,
        };
        if let Some(token) = self.caller.issue(any_node(), &self.names.next(), &wanted).await {
            self.tokens.add(token);
        }
    }

    async fn revoke(&self) {
        let Some(token) = self.tokens.any() else { return };
        self.tokens.change(&token);
        self.revoke_at(any_node(), &token).await;
    }

    async fn revoke_at(&self, node: u16, token: &Arc<Token>) -> Outcome {
        if random(2) == 0 { self.caller.revoke(node, token).await } else { self.caller.revoke_named(node, token).await }
    }

    async fn approve(&self) {
        if let Some(token) = self.tokens.any_changed() {
            self.caller.approve(any_node(), &token).await;
        }
    }

    async fn revoke_issued(&self) {
        let user = format!("user{}", random(USERS));
        let client = CLIENTS[random(CLIENTS.len())];
        // Of each scope that does not end everything at once.
        let client = (random(4) > 0).then_some(client);
        for token in self.tokens.list() {
            if token.user.as_ref() == Some(&user) && client.is_none_or(|client| client == token.client) {
                self.tokens.change(&token);
            }
        }
        self.caller.revoke_issued(any_node(), client, Some(&user)).await;
    }

    /// Revokes a client, and approves it again.
    async fn pause_a_client(&self) {
        let client = CLIENTS[CLIENTS.len() - 1];
        for token in self.tokens.list().iter().filter(|token| token.client == client).take(5) {
            self.tokens.change(token);
        }
        self.caller.set_client(any_node(), client, true).await;
        sleep(Duration::from_millis(500)).await;
        while self.caller.set_client(any_node(), client, false).await != Outcome::Done && !self.is_over() {
            sleep(Duration::from_millis(100)).await;
        }
    }
}

pub(crate) fn any_node() -> u16 {
    u16::try_from(random(usize::from(NODES))).unwrap()
}
