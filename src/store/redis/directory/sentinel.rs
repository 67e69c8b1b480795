//! The primary by the word of the Sentinels that are configured.
//!
//! They are the electorate, all of them and nobody else: a majority of those that are configured must name the same
//! address, whatever the quorum is that they need among themselves. So each has to be configured, under an address of
//! its own. What else a Sentinel says of others is not followed: a node that learnt of another set of Sentinels than
//! its neighbour might find a majority that shares no member with the neighbour's.
//!
//! A Sentinel's word moves forward only: it names another primary after it has taken over a configuration with a
//! higher epoch, which it keeps on disk (Redis Sentinel documentation, "Configuration epochs" and "Configuration
//! propagation").

use std::collections::BTreeMap;
use std::sync::Arc;

use redis::{Cmd, PushInfo, PushKind, Value};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::View;
use super::member::{Answer, Member, Subscription};
use super::slots::{number, parse_host};
use crate::config::RedisConfig;
use crate::store::redis::dial::Address;
use crate::store::redis::endpoint::{Endpoint, text};
use crate::store::redis::fault::Fault;
use crate::store::redis::link::{Listener, accept};

/// The Sentinels.
pub(in crate::store::redis) struct Sentinels {
    service: Box<str>,
    members: Vec<Member>,
    /// The questions on their way; ended with it.
    asking: JoinSet<()>,
    /// The primary that was named last.
    primary: Option<Address>,
    /// How many primaries there have been.
    epoch: u64,
}

/// Where a Sentinel announces that it knows of another primary: the name of the service, the old address, the new one.
const SWITCH: &str = "+switch-master";

impl Sentinels {
    /// Starts to keep up a connection to each. `news` is rung when one announces another primary.
    pub(super) fn new(
        config: &RedisConfig,
        endpoint: &Endpoint,
        addresses: Vec<Address>,
        news: &Arc<Notify>,
        seed: u64,
    ) -> Self {
        let endpoint = endpoint.with_login(config.sentinel_username.as_deref(), config.sentinel_password.as_ref());
        let subscription = Subscription { channel: SWITCH, listener: listener(&config.sentinel_service, news) };
        let seeds = (1_u64..).map(|place| seed.wrapping_mul(place));
        let members = addresses.into_iter().zip(seeds);
        let members =
            members.map(|(address, seed)| Member::start(address, endpoint.clone(), Some(subscription.clone()), seed));
        Self {
            service: config.sentinel_service.as_str().into(),
            members: members.collect(),
            asking: JoinSet::new(),
            primary: None,
            epoch: 0,
        }
    }

    /// Asks all of them.
    pub(super) async fn look(&mut self, deadline: Instant) -> Result<View, Fault> {
        while self.asking.try_join_next().is_some() {}
        let (sender, mut answers) = mpsc::unbounded_channel();
        for member in &self.members {
            member.ask(vec![self.question()], deadline, sender.clone(), &mut self.asking);
        }
        drop(sender);
        let mut votes = BTreeMap::<Address, usize>::new();
        let mut fault = None;
        while let Ok(Some(Answer { replies, .. })) = timeout_at(deadline, answers.recv()).await {
            match replies.and_then(read) {
                Ok(address) => {
                    let count = votes.entry(address.clone()).or_default();
                    *count += 1;
                    if 2 * *count > self.members.len() {
                        return Ok(self.adopt(address));
                    }
                }
                Err(of_one) => fault = fault.or(Some(of_one)),
            }
        }
        if 2 * votes.values().sum::<usize>() > self.members.len() {
            return Err(Fault::unavailable("the Sentinels do not agree on the primary"));
        }
        Err(fault.unwrap_or_else(Fault::silence))
    }

    fn question(&self) -> Cmd {
        let mut command = redis::cmd("SENTINEL");
        command.arg("GET-MASTER-ADDR-BY-NAME").arg(&*self.service);
        command
    }

    fn adopt(&mut self, address: Address) -> View {
        if self.primary.as_ref() != Some(&address) {
            self.epoch += 1;
            self.primary = Some(address.clone());
        }
        View { epoch: self.epoch, ..View::single(address) }
    }
}

/// The address that one Sentinel names: its host and its port.
fn read(replies: Vec<Value>) -> Result<Address, Fault> {
    let reply = replies.into_iter().next().ok_or_else(Fault::unexpected_reply)?;
    match accept(reply)? {
        Value::Nil => Err(Fault::refused("the Sentinels watch no primary by the name of redis.sentinel_service")),
        Value::Array(parts) => {
            let [host, port] = parts.as_slice() else { return Err(Fault::unexpected_reply()) };
            let host = text(host).and_then(parse_host).ok_or_else(Fault::unexpected_reply)?;
            let port = text(port).and_then(number).filter(|&port| port != 0).ok_or_else(Fault::unexpected_reply)?;
            Ok(Address::tcp(host, port))
        }
        _ => Err(Fault::unexpected_reply()),
    }
}

fn listener(service: &str, news: &Arc<Notify>) -> Listener {
    let (service, news) = (service.to_owned(), Arc::clone(news));
    Arc::new(move |push: PushInfo| {
        let announced = push.data.get(1).and_then(text).and_then(|message| message.split(' ').next());
        if push.kind == PushKind::Message && announced == Some(&service) {
            news.notify_one();
        }
    })
}
