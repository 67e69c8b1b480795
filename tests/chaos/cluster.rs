//! A cluster of three primaries with a replica each. A shard is what one of them has at the start.

use std::time::Duration;

use introspectd::coherence::name::Name;
use introspectd::token::digest::GrantId;
use introspectd::token::epoch::EpochAxis;
use introspectd::token::identity;
use tokio::time::sleep;

use crate::is_full;
use crate::load::NODES;
use crate::sentinel::LAG;
use crate::site::{Setting, Site};
use crate::support::cluster::{RedisCluster, Takeover};
use crate::support::redis::{PREFIX, RedisServer};
use crate::tokens::Token;
use crate::witness::nanoseconds;

impl Setting {
    /// The usual promise over a cluster.
    pub(crate) fn cluster(cluster: &RedisCluster) -> Self {
        let addresses: Vec<_> = cluster.servers[..3].iter().map(RedisServer::address).collect();
        let variables = vec![
            ("INTROSPECTD_REDIS__URL", format!("redis://{}", addresses[0])),
            ("INTROSPECTD_REDIS__TOPOLOGY", "cluster".to_owned()),
            ("INTROSPECTD_REDIS__NODES", addresses[1..].join(",")),
        ];
        Self {
            redis: [(); NODES as usize].map(|()| variables.clone()),
            is_sharded: true,
            ..Self::standalone(Default::default())
        }
    }
}

/// The shards on which the keys of a token are.
pub(crate) fn shards_of(token: &Token) -> Vec<u8> {
    let digest = identity::from_text(&token.jti).expect("the name of an opaque token").digest();
    let client_id = token.client.as_str();
    let grant = token.grant.as_deref().and_then(GrantId::from_text).map(Name::Grant);
    let user = token.user.as_deref();
    let names = [
        Some(Name::Token(digest)),
        grant,
        Some(Name::Client(client_id)),
        Some(Name::Epoch(EpochAxis::Client(client_id))),
        user.map(|user| Name::Epoch(EpochAxis::User(user))),
        user.map(|subject| Name::Epoch(EpochAxis::ClientUser { client_id, subject })),
    ];
    let mut shards: Vec<_> =
        names.into_iter().flatten().map(|name| shard_of(slot_of(&format!("{PREFIX}{}", name.text())))).collect();
    shards.sort_unstable();
    shards.dedup();
    shards
}

fn shard_of(slot: u16) -> u8 {
    match slot {
        0..=5460 => 0,
        5461..=10_921 => 1,
        _ => 2,
    }
}

/// The slot of a key (Redis Cluster specification, "Hash tags", and the appendix for the checksum).
fn slot_of(key: &str) -> u16 {
    let tag = key.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map(|(tag, _)| tag);
    let checksum = tag.filter(|tag| !tag.is_empty()).unwrap_or(key).bytes().fold(0_u16, |checksum, byte| {
        (0..8).fold(checksum ^ (u16::from(byte) << 8), |checksum, _| {
            if checksum & 0x8000 == 0 { checksum << 1 } else { (checksum << 1) ^ 0x1021 }
        })
    });
    checksum % 16_384
}

#[test]
fn redis_cluster_specification_slots_of_keys() {
    for (key, slot) in [("123456789", 0x31C3), ("foo", 12_182), ("{user1000}.following", 3_443)] {
        assert_eq!(slot_of(key), slot, "{key}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn primaries_are_killed_frozen_and_replaced() {
    let mut cluster = RedisCluster::start().await;
    let mut site = Site::start(Setting::cluster(&cluster)).await;
    site.begin_load().await;
    let lag = nanoseconds(LAG);

    // No fault is of one shard alone here: for the moment in which the nodes of the cluster do not agree on who the
    // primaries are, nobody relies on any of them.
    let fault = site.begin("primary of shard 2 killed");
    let since = site.now().saturating_sub(lag);
    cluster.servers[2].kill();
    cluster.is_primary(5).await;
    cluster.servers[2].launch().await;
    cluster.is_healthy().await;
    site.end(fault.loses_since(since)).await;

    let ways: &[_] = if is_full() {
        &[(4, Takeover::Agreed), (1, Takeover::Forced), (4, Takeover::Alone)]
    } else {
        &[(4, Takeover::Alone)]
    };
    for (replica, how) in ways {
        let fault = site.begin(&format!("shard 1 taken over by its replica: {how:?}"));
        let since = site.now().saturating_sub(lag);
        cluster.failover(*replica, *how).await;
        cluster.is_healthy().await;
        site.end(fault.loses_since(since)).await;
    }

    for seconds in if is_full() { &[0.2, 2.0, 20.0][..] } else { &[2.0] } {
        let primary = cluster.owner(0).await.unwrap();
        let fault = site.begin(&format!("primary of shard 0 frozen for {seconds} s"));
        let since = site.now().saturating_sub(lag);
        cluster.servers[primary].freeze();
        sleep(Duration::from_secs_f64(*seconds)).await;
        cluster.servers[primary].thaw();
        cluster.is_healthy().await;
        site.end(fault.loses_since(since)).await;
    }
    site.judge("cluster-primaries").await;
}

/// The other two shards go on as if nothing were.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_is_down() {
    let mut cluster = RedisCluster::start().await;
    let mut site = Site::start(Setting::cluster(&cluster)).await;
    site.begin_load().await;
    let fault = site.begin("shard 1 down").shards(&[1]);
    cluster.servers[4].kill();
    cluster.servers[1].kill();
    let from = site.now();
    sleep(Duration::from_secs(if is_full() { 10 } else { 3 })).await;
    let to = site.now();
    cluster.servers[1].launch().await;
    cluster.servers[4].launch().await;
    cluster.is_healthy().await;
    site.end(fault.silent(from, to)).await;
    site.judge("cluster-shard").await;
}

/// Nobody who introspects notices. Who revokes may be told to try again: the nodes of the cluster take a moment to agree.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_are_moved_under_load() {
    let cluster = RedisCluster::start().await;
    let mut site = Site::start(Setting::cluster(&cluster)).await;
    site.begin_load().await;
    let mut slots: Vec<u16> = site.tokens.list().iter().map(|token| slot_of(&format!("{{{}}}", token.jti))).collect();
    slots.retain(|slot| shard_of(*slot) == 2);
    slots.truncate(if is_full() { 100 } else { 6 });
    let fault = site.begin("slots moved");
    for slot in &slots {
        cluster.begin_move(*slot, 2, 0).await;
        // Some of its keys are here and some there for a while.
        cluster.move_keys(*slot, 2, 0, 1).await;
        sleep(Duration::from_millis(150)).await;
        cluster.move_slot(*slot, 2, 0).await;
    }
    for slot in &slots {
        cluster.move_slot(*slot, 0, 2).await;
    }
    site.end(fault).await;
    let verdict = site.judge("cluster-slots").await;
    assert_eq!(verdict.counts.unavailable + verdict.counts.unanswered, 0);
}
