//! One server: a process with its clients, its keys and its part in replication. One command runs at a time.
//!
//! What counts here is the order in which things leave. In one turn of its loop a server reads what has arrived, carries
//! it out, then gives every tracker what was written, and only then sends what it answered: whoever is told that a
//! write was done knows that word of it is on its way (`beforeSleep` in `server.c` of Redis 7.0).

use std::collections::{BTreeMap, BTreeSet};

use super::cluster::Membership;
use super::commands::{self, Moment, number};
use super::keyspace::{Effect, Entry, Keyspace};
use super::resp::{Reply, Request, take_request};
use super::scripts;
use super::sentinel::Watch;
use crate::chance::Chance;
use crate::network::{Address, ConnectionId};

/// A server's place in the list of all.
pub(crate) type ServerId = usize;

/// A server process, or what is left of it while it does not run.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) id: ServerId,
    pub(crate) address: Address,
    pub(crate) kind: Kind,
    pub(crate) running: bool,
    /// Runs, and is given no time: `SIGSTOP`.
    pub(crate) frozen: bool,
    pub(crate) run_id: String,
    pub(crate) replication: Replication,
    pub(crate) keyspace: Keyspace,
    pub(crate) clients: BTreeMap<ConnectionId, Client>,
    /// Memory is full.
    pub(crate) full: bool,
    scripts: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Those whose input has not been looked at yet.
    readable: BTreeSet<ConnectionId>,
    chance: Chance,
}

/// What a process is.
#[derive(Debug)]
pub(crate) enum Kind {
    /// Keeps keys, on its own or with replicas.
    Alone,
    /// Keeps the keys of some slots.
    Member(Membership),
    /// Keeps nothing: watches a primary.
    Sentinel(Watch),
}

#[derive(Debug)]
pub(crate) struct Replication {
    /// Whose copy this is; `None` for a primary.
    pub(crate) of: Option<ServerId>,
    /// Whether the copy was complete once.
    pub(crate) linked: bool,
    pub(crate) id: String,
    pub(crate) offset: u64,
    /// What each replica says that it has.
    pub(crate) acknowledged: BTreeMap<ServerId, u64>,
}

/// Somebody who is connected.
#[derive(Debug, Default)]
pub(crate) struct Client {
    number: u64,
    input: Vec<u8>,
    output: Vec<u8>,
    /// The prefixes that it tracks.
    pub(crate) tracks: Option<Vec<Vec<u8>>>,
    subscribed: bool,
    /// The next command may be about a slot that is being taken in.
    asks: bool,
    /// The offset of its last write.
    wrote: u64,
    waits: Option<Waiting>,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    replicas: u64,
    offset: u64,
    deadline: u64,
}

/// What a turn of the loop leaves to be carried elsewhere.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    pub(crate) replies: Vec<(ConnectionId, Vec<u8>)>,
    pub(crate) effects: Vec<Effect>,
}

impl Server {
    pub(crate) fn new(id: ServerId, address: Address, kind: Kind, mut chance: Chance) -> Self {
        let replication = Replication {
            of: None,
            linked: true,
            id: identifier(&mut chance),
            offset: 0,
            acknowledged: BTreeMap::new(),
        };
        Self {
            id,
            address,
            kind,
            running: true,
            frozen: false,
            run_id: identifier(&mut chance),
            replication,
            keyspace: Keyspace::default(),
            clients: BTreeMap::new(),
            full: false,
            scripts: BTreeMap::new(),
            readable: BTreeSet::new(),
            chance,
        }
    }

    // --- what happens to the process ---

    /// The process ends; returns who was connected.
    pub(crate) fn kill(&mut self) -> Vec<ConnectionId> {
        self.running = false;
        self.frozen = false;
        self.scripts.clear();
        self.readable.clear();
        std::mem::take(&mut self.clients).into_keys().collect()
    }

    /// The process is started again, with what it kept or with nothing.
    pub(crate) fn start(&mut self, with_data: bool) {
        self.running = true;
        self.run_id = identifier(&mut self.chance);
        self.replication.acknowledged.clear();
        self.replication.linked = self.replication.of.is_none();
        // An append-only file does not say whose history it holds.
        self.replication.id = identifier(&mut self.chance);
        if !with_data {
            self.keyspace = Keyspace::default();
            self.replication.offset = 0;
        }
    }

    /// Becomes a primary.
    pub(crate) fn promote(&mut self) {
        self.replication.of = None;
        self.replication.linked = true;
        self.replication.id = identifier(&mut self.chance);
        self.replication.acknowledged.clear();
    }

    /// Becomes a copy of another. Those who are connected stay so.
    pub(crate) fn follow(&mut self, primary: ServerId) {
        self.replication.of = Some(primary);
        self.replication.linked = false;
        self.replication.acknowledged.clear();
    }

    /// Takes the whole of what another has in the place of what it had.
    pub(crate) fn copy(&mut self, keyspace: Keyspace, id: &str, offset: u64) {
        self.keyspace = keyspace;
        id.clone_into(&mut self.replication.id);
        self.replication.offset = offset;
        self.replication.linked = true;
        self.say_everything_changed();
    }

    /// Does what its primary did; trackers of a replica hear of it, too.
    pub(crate) fn replay(&mut self, effects: &[Effect], offset: u64) {
        for effect in effects {
            self.keyspace.apply(effect);
        }
        self.replication.offset = offset;
        let applied = self.keyspace.take_effects();
        self.tell_trackers(&applied);
    }

    pub(crate) fn is_primary(&self) -> bool {
        self.replication.of.is_none()
    }

    // --- connections ---

    pub(crate) fn accept(&mut self, connection: ConnectionId) {
        self.clients.insert(connection, Client { number: connection, ..Client::default() });
    }

    /// Whether the connection is known here.
    pub(crate) fn receive(&mut self, connection: ConnectionId, bytes: &[u8]) -> bool {
        let Some(client) = self.clients.get_mut(&connection) else { return false };
        client.input.extend_from_slice(bytes);
        self.readable.insert(connection);
        true
    }

    pub(crate) fn disconnected(&mut self, connection: ConnectionId) {
        self.clients.remove(&connection);
        self.readable.remove(&connection);
    }

    // --- one turn of the loop ---

    /// Whether there is anything to do in a turn.
    pub(crate) fn is_busy(&self) -> bool {
        self.running
            && !self.frozen
            && (!self.readable.is_empty()
                || self.clients.values().any(|client| client.waits.is_some() || !client.output.is_empty()))
    }

    /// Carries out what has arrived. `micros` is the clock, which moves on with each command.
    pub(crate) fn turn(&mut self, micros: &mut u64, out: &mut Outbox) {
        let before = out.effects.len();
        let readable: Vec<_> = std::mem::take(&mut self.readable).into_iter().collect();
        for connection in readable {
            while let Some(client) = self.clients.get_mut(&connection) {
                if client.waits.is_some() {
                    // Its next command is looked at when this one has ended.
                    break;
                }
                let Some(request) = take_request(&mut client.input) else { break };
                *micros += 1;
                let reply = self.answer(connection, &request, Moment { micros: *micros });
                let effects = self.keyspace.take_effects();
                self.replication.offset += effects.len() as u64;
                let offset = self.replication.offset;
                if let Some(client) = self.clients.get_mut(&connection) {
                    reply.write(&mut client.output);
                    if !effects.is_empty() {
                        client.wrote = offset;
                    }
                }
                out.effects.extend(effects);
            }
        }
        self.end_waits(*micros / 1000);
        let written = out.effects[before..].to_vec();
        self.tell_trackers(&written);
        self.flush(out);
    }

    /// Deletes what has expired.
    pub(crate) fn expire(&mut self, micros: u64, out: &mut Outbox) {
        if !self.is_primary() {
            return;
        }
        for key in self.keyspace.expired(micros / 1000) {
            self.keyspace.remove(&key);
        }
        let effects = self.keyspace.take_effects();
        self.replication.offset += effects.len() as u64;
        self.tell_trackers(&effects);
        out.effects.extend(effects);
        self.flush(out);
    }

    /// A key comes with its slot, or goes with it.
    pub(crate) fn put(&mut self, key: &[u8], entry: Option<Entry>, out: &mut Outbox) {
        match entry {
            Some(entry) => self.keyspace.set(key, entry),
            None => {
                self.keyspace.remove(key);
            }
        }
        let effects = self.keyspace.take_effects();
        self.replication.offset += effects.len() as u64;
        self.tell_trackers(&effects);
        out.effects.extend(effects);
    }

    /// A replica says what it has.
    pub(crate) fn acknowledge(&mut self, replica: ServerId, offset: u64) {
        let known = self.replication.acknowledged.entry(replica).or_default();
        *known = offset.max(*known);
    }

    fn flush(&mut self, out: &mut Outbox) {
        for (connection, client) in &mut self.clients {
            if !client.output.is_empty() {
                out.replies.push((*connection, std::mem::take(&mut client.output)));
            }
        }
    }

    fn tell_trackers(&mut self, effects: &[Effect]) {
        if effects.is_empty() {
            return;
        }
        for client in self.clients.values_mut() {
            for prefix in client.tracks.iter().flatten() {
                let keys: BTreeSet<_> =
                    effects.iter().map(|effect| &effect.key).filter(|key| key.starts_with(prefix)).collect();
                if !keys.is_empty() {
                    invalidation(Reply::Array(keys.into_iter().map(Reply::bulk).collect())).write(&mut client.output);
                }
            }
        }
    }

    /// Tells trackers once more of keys of which nothing is to be said. Redis may do that at any time.
    pub(crate) fn tell_trackers_again(&mut self) {
        let keys: Vec<_> = self.keyspace.keys().cloned().collect();
        if keys.is_empty() {
            return;
        }
        let key = self.chance.pick(&keys).clone();
        self.tell_trackers(&[Effect { entry: None, key }]);
    }

    /// All keys go.
    pub(crate) fn empty(&mut self) -> Vec<Effect> {
        let keys: Vec<_> = self.keyspace.keys().cloned().collect();
        self.keyspace.clear();
        let effects: Vec<_> = keys.into_iter().map(|key| Effect { key, entry: None }).collect();
        self.replication.offset += effects.len() as u64;
        self.say_everything_changed();
        effects
    }

    fn say_everything_changed(&mut self) {
        for client in self.clients.values_mut().filter(|client| client.tracks.is_some()) {
            invalidation(Reply::Null).write(&mut client.output);
        }
    }

    /// Says something to all who have subscribed.
    pub(crate) fn publish(&mut self, channel: &str, text: &str) {
        for client in self.clients.values_mut().filter(|client| client.subscribed) {
            let message = [Reply::bulk("message"), Reply::bulk(channel), Reply::bulk(text)];
            Reply::Push(message.to_vec()).write(&mut client.output);
        }
    }

    fn end_waits(&mut self, now: u64) {
        for (connection, client) in &mut self.clients {
            let Some(waiting) = client.waits else { continue };
            let reached = self.replication.acknowledged.values().filter(|offset| **offset >= waiting.offset).count();
            if reached as u64 >= waiting.replicas || waiting.deadline <= now {
                Reply::count(reached).write(&mut client.output);
                client.waits = None;
                self.readable.insert(*connection);
            }
        }
    }

    // --- commands ---

    fn answer(&mut self, connection: ConnectionId, request: &Request, at: Moment) -> Reply {
        let Some((name, arguments)) = request.split_first() else { return Reply::error("ERR empty command") };
        let name = String::from_utf8_lossy(name).to_uppercase();
        let asks = self.clients.get_mut(&connection).is_some_and(|client| std::mem::take(&mut client.asks));
        if let Some(reply) = self.answer_about_connection(connection, &name, arguments, at) {
            return reply;
        }
        if let Kind::Sentinel(watch) = &self.kind {
            return watch.answer(&name, arguments);
        }
        if let Kind::Member(membership) = &self.kind {
            if name == "CLUSTER" {
                return membership.answer(arguments);
            }
            if let Err(error) = membership.admit(&self.keyspace, &commands::keys(&name, arguments), asks) {
                return Reply::Error(error);
            }
        } else if name == "CLUSTER" {
            return Reply::error("ERR This instance has cluster support disabled");
        }
        match name.as_str() {
            "EVAL" | "EVALSHA" => self.run_script(name == "EVAL", arguments, at),
            "ROLE" => self.role(),
            "INFO" => Reply::bulk(self.information(at)),
            "CONFIG" => settings(arguments),
            "DBSIZE" => Reply::count(self.keyspace.len()),
            "WAIT" => self.wait(connection, arguments, at),
            _ if commands::is_data(&name) => self.run_command(&name, arguments, at),
            _ => unknown(&name, arguments),
        }
    }

    fn run_command(&mut self, name: &str, arguments: &[Vec<u8>], at: Moment) -> Reply {
        let writes = commands::is_write(name);
        if writes && !self.is_primary() {
            return read_only();
        }
        if writes && self.full && matches!(name, "SET" | "SETRANGE" | "ZADD" | "HSET" | "INCR") {
            return out_of_memory();
        }
        let may_delete = self.is_primary();
        commands::execute(&mut self.keyspace, name, arguments, at, may_delete)
    }

    fn run_script(&mut self, in_full: bool, arguments: &[Vec<u8>], at: Moment) -> Reply {
        let [script, count, rest @ ..] = arguments else { return Reply::error("ERR wrong number of arguments") };
        let Some(count) = number(count).and_then(|count| usize::try_from(count).ok()) else {
            return Reply::error("ERR value is not an integer or out of range");
        };
        let code = if in_full {
            let name = redis::Script::new(&String::from_utf8_lossy(script)).get_hash().as_bytes().to_vec();
            self.scripts.insert(name, script.clone());
            script.clone()
        } else {
            match self.scripts.get(script) {
                Some(code) => code.clone(),
                None => return Reply::error("NOSCRIPT No matching script. Please use EVAL."),
            }
        };
        if !self.is_primary() {
            return read_only();
        }
        if self.full && !scripts::allows_out_of_memory(&code) {
            return out_of_memory();
        }
        let (keys, arguments) = rest.split_at(count.min(rest.len()));
        let information = self.information(at);
        scripts::run(&mut self.keyspace, &code, keys, arguments, at, information)
    }

    fn wait(&mut self, connection: ConnectionId, arguments: &[Vec<u8>], at: Moment) -> Reply {
        let [replicas, timeout] = arguments else { return Reply::error("ERR wrong number of arguments") };
        let (Some(replicas), Some(timeout)) = (number(replicas), number(timeout)) else {
            return Reply::error("ERR value is not an integer or out of range");
        };
        if !self.is_primary() {
            return Reply::error("ERR WAIT cannot be used with replica instances.");
        }
        let deadline = if timeout == 0 { u64::MAX } else { at.millis() + timeout.unsigned_abs() };
        let Some(client) = self.clients.get_mut(&connection) else { return Reply::Later };
        client.waits = Some(Waiting { replicas: replicas.unsigned_abs(), offset: client.wrote, deadline });
        Reply::Later
    }

    /// What any kind of server answers.
    fn answer_about_connection(
        &mut self,
        connection: ConnectionId,
        name: &str,
        arguments: &[Vec<u8>],
        at: Moment,
    ) -> Option<Reply> {
        if name == "HELLO" {
            return Some(self.hello(connection));
        }
        let client = self.clients.get_mut(&connection)?;
        let words: Vec<String> =
            arguments.iter().map(|word| String::from_utf8_lossy(word).to_uppercase()).take(2).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        Some(match (name, words.as_slice()) {
            ("PING", _) => arguments.first().map_or(Reply::Status("PONG"), Reply::bulk),
            ("ECHO", [_]) => Reply::bulk(&arguments[0]),
            ("AUTH" | "SELECT" | "UNWATCH" | "READONLY" | "READWRITE", _)
            | ("CLIENT", ["SETINFO" | "SETNAME" | "NO-EVICT" | "NO-TOUCH", ..] | ["TRACKING", "OFF"]) => Reply::OK,
            ("CLIENT", ["ID", ..]) => Reply::Integer(i64::try_from(client.number).unwrap_or_default()),
            ("CLIENT", ["TRACKING", "ON"]) => {
                let prefixes = arguments[2..].windows(2).filter(|two| two[0].eq_ignore_ascii_case(b"PREFIX"));
                client.tracks = Some(prefixes.map(|two| two[1].clone()).collect());
                Reply::OK
            }
            ("ASKING", _) => {
                client.asks = true;
                Reply::OK
            }
            ("SUBSCRIBE", _) => {
                client.subscribed = true;
                for (place, channel) in arguments.iter().enumerate() {
                    let confirmed = [Reply::bulk("subscribe"), Reply::bulk(channel), Reply::count(place + 1)];
                    Reply::Push(confirmed.to_vec()).write(&mut client.output);
                }
                Reply::Later
            }
            ("TIME", _) => commands::execute(&mut self.keyspace, "TIME", &[], at, false),
            _ => return None,
        })
    }

    fn hello(&self, connection: ConnectionId) -> Reply {
        let (mode, role) = match &self.kind {
            Kind::Alone => ("standalone", Some(())),
            Kind::Member(_) => ("cluster", Some(())),
            Kind::Sentinel(_) => ("sentinel", None),
        };
        let text = |name: &str, value: &str| (Reply::bulk(name), Reply::bulk(value));
        let mut members = vec![
            text("server", "redis"),
            text("version", VERSION),
            (Reply::bulk("proto"), Reply::Integer(3)),
            (Reply::bulk("id"), Reply::Integer(i64::try_from(connection).unwrap_or_default())),
            text("mode", mode),
        ];
        if role.is_some() {
            members.push(text("role", if self.is_primary() { "master" } else { "replica" }));
        }
        members.push((Reply::bulk("modules"), Reply::Array(Vec::new())));
        Reply::Map(members)
    }

    fn role(&self) -> Reply {
        let offset = Reply::Integer(i64::try_from(self.replication.offset).unwrap_or_default());
        match self.replication.of {
            None => Reply::Array(vec![Reply::bulk("master"), offset, Reply::Array(Vec::new())]),
            Some(primary) => Reply::Array(vec![
                Reply::bulk("slave"),
                Reply::bulk(format!("server-{primary}")),
                Reply::Integer(6379),
                Reply::bulk(if self.replication.linked { "connected" } else { "connect" }),
                offset,
            ]),
        }
    }

    fn information(&self, at: Moment) -> String {
        let Replication { of, linked, id, offset, acknowledged } = &self.replication;
        let mode = if matches!(self.kind, Kind::Member(_)) { "cluster" } else { "standalone" };
        let mut text = format!(
            "# Server\r\nredis_version:{VERSION}\r\nredis_mode:{mode}\r\nrun_id:{}\r\ntcp_port:{}\r\n\
             server_time_usec:{}\r\n\r\n# Replication\r\n",
            self.run_id, self.address.port, at.micros
        );
        let role = if of.is_none() {
            format!("role:master\r\nconnected_slaves:{}\r\n", acknowledged.len())
        } else {
            let link = if *linked { "up" } else { "down" };
            format!("role:slave\r\nmaster_link_status:{link}\r\nconnected_slaves:0\r\n")
        };
        let second = "0".repeat(40);
        let numbers = format!("master_replid:{id}\r\nmaster_replid2:{second}\r\nmaster_repl_offset:{offset}\r\n");
        text.push_str(&role);
        text.push_str(&numbers);
        text
    }
}

const VERSION: &str = "7.0.15";

fn invalidation(keys: Reply) -> Reply {
    Reply::Push(vec![Reply::bulk("invalidate"), keys])
}

fn read_only() -> Reply {
    Reply::error("READONLY You can't write against a read only replica.")
}

fn out_of_memory() -> Reply {
    Reply::error("OOM command not allowed when used memory > 'maxmemory'.")
}

/// A command that a real server has and this one does not would make the simulation say nothing.
pub(super) fn unknown(name: &str, arguments: &[Vec<u8>]) -> Reply {
    let arguments: Vec<_> = arguments.iter().map(|word| String::from_utf8_lossy(word)).collect();
    panic!("the fake server does not have {name} {arguments:?}");
}

fn settings(arguments: &[Vec<u8>]) -> Reply {
    const SETTINGS: &[(&str, &str)] = &[
        ("maxmemory", "0"),
        ("maxmemory-policy", "noeviction"),
        ("appendonly", "yes"),
        ("appendfsync", "always"),
        ("min-replicas-to-write", "0"),
        ("min-slaves-to-write", "0"),
        ("min-replicas-max-lag", "10"),
        ("replica-serve-stale-data", "no"),
        (
            "client-output-buffer-limit",
            "normal 67108864 16777216 10 slave 268435456 67108864 60 pubsub 33554432 8388608 60",
        ),
        ("timeout", "0"),
        ("cluster-node-timeout", "2000"),
    ];
    let wanted = &arguments[1..];
    let named = SETTINGS.iter().filter(|(name, _)| wanted.iter().any(|word| word == name.as_bytes()));
    Reply::Map(named.map(|(name, value)| (Reply::bulk(name), Reply::bulk(value))).collect())
}

fn identifier(chance: &mut Chance) -> String {
    let parts: Vec<_> = (0..5).map(|_| format!("{:08x}", chance.next() >> 32)).collect();
    parts.concat()
}
