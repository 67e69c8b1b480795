//! Where the primaries are, as those who must know have just confirmed.
//!
//! One **look** asks them all. What it returns was so at some moment after the look began: two looks, of any two nodes,
//! that named different primaries for the same keys were confirmed by majorities that share a member, and every
//! member's knowledge only moves forward. So a node that stops using what its last good look named one lease after that
//! look began has stopped before a revocation is answered that was written through a newer primary.
//!
//! - [`slots`] which keys lie on which primary
//! - `sentinel` and `cluster` who is asked, and when they agree; `member` one of them

mod cluster;
mod member;
mod sentinel;
pub(super) mod slots;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use tokio::sync::Notify;
use tokio::time::Instant;

use self::cluster::Cluster;
use self::sentinel::Sentinels;
use self::slots::SlotMap;
use super::dial::Address;
use super::endpoint::Endpoint;
use super::fault::Fault;
use crate::config::{RedisConfig, RedisTopology};

/// What a look has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct View {
    /// The primaries, in the order of their first slots.
    pub(super) primaries: Vec<Address>,
    /// Which keys lie on which of them.
    pub(super) slots: Arc<SlotMap>,
    /// Which state of the cluster this is; 0 where there is no such number.
    pub(super) epoch: u64,
}

impl View {
    /// One primary with all keys.
    pub(super) fn single(address: Address) -> Self {
        Self { primaries: vec![address], slots: Arc::new(SlotMap::single()), epoch: 0 }
    }
}

/// Who is asked.
pub(super) enum Directory {
    /// Nobody: the primary is where the configuration says.
    Fixed(View),
    /// The Sentinels.
    Sentinel(Sentinels, Arc<Notify>),
    /// The nodes of the cluster.
    Cluster(Box<Cluster>),
}

impl Directory {
    /// As configured, over the servers at these addresses. `seed` spreads attempts to reach them.
    ///
    /// Must be called inside a tokio runtime: what keeps up the connections ends with the directory.
    pub(super) fn new(config: &RedisConfig, endpoint: &Endpoint, mut addresses: Vec<Address>, seed: u64) -> Self {
        match config.topology {
            RedisTopology::Standalone => Self::Fixed(View::single(addresses.swap_remove(0))),
            RedisTopology::Sentinel => {
                let news = Arc::default();
                Self::Sentinel(Sentinels::new(config, endpoint, addresses, &news, seed), news)
            }
            RedisTopology::Cluster => Self::Cluster(Box::new(Cluster::new(endpoint, addresses, seed))),
        }
    }

    /// Whether a primary can be replaced by another without anybody having told this node.
    pub(super) fn can_change(&self) -> bool {
        match self {
            Self::Fixed(_) => false,
            Self::Sentinel(..) | Self::Cluster(_) => true,
        }
    }

    /// Looks once. What comes back was confirmed after the look began.
    pub(super) async fn look(&mut self, deadline: Instant) -> Result<View, Fault> {
        match self {
            Self::Fixed(view) => Ok(view.clone()),
            Self::Sentinel(sentinels, _) => sentinels.look(deadline).await,
            Self::Cluster(cluster) => cluster.look(deadline).await,
        }
    }

    /// Returns when somebody has announced another primary: then it is time to look.
    pub(super) async fn news(&self) {
        match self {
            Self::Sentinel(_, news) => news.notified().await,
            Self::Fixed(_) | Self::Cluster(_) => std::future::pending().await,
        }
    }
}
