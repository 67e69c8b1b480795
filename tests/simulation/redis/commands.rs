//! The commands that read and write keys, as a script or a client asks for them.

use std::collections::{BTreeMap, BTreeSet};

use super::keyspace::{Entry, Keyspace, Value};
use super::resp::Reply;

/// A moment by the clock of the server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// Microseconds since 1970.
    pub(crate) micros: u64,
}

impl Moment {
    pub(crate) fn millis(self) -> u64 {
        self.micros / 1000
    }
}

/// Names of the commands below that write.
const WRITES: &[&str] = &[
    "SET",
    "SETRANGE",
    "DEL",
    "UNLINK",
    "ZADD",
    "ZREM",
    "PEXPIRE",
    "PEXPIREAT",
    "EXPIRE",
    "PERSIST",
    "HSET",
    "HDEL",
    "INCR",
];

pub(crate) fn is_write(name: &str) -> bool {
    WRITES.contains(&name)
}

/// The keys that a command names, of those below.
pub(crate) fn keys(name: &str, arguments: &[Vec<u8>]) -> Vec<Vec<u8>> {
    match name {
        "DEL" | "UNLINK" | "EXISTS" | "MGET" => arguments.to_vec(),
        "TIME" => Vec::new(),
        "EVAL" | "EVALSHA" => {
            let count = arguments.get(1).and_then(|count| number(count)).unwrap_or(0);
            arguments.iter().skip(2).take(usize::try_from(count).unwrap_or(0)).cloned().collect()
        }
        _ if is_data(name) => arguments.iter().take(1).cloned().collect(),
        _ => Vec::new(),
    }
}

/// Whether [`execute`] knows the command.
pub(crate) fn is_data(name: &str) -> bool {
    const READS: &[&str] = &[
        "GET",
        "MGET",
        "GETRANGE",
        "EXISTS",
        "PEXPIRETIME",
        "PTTL",
        "TTL",
        "STRLEN",
        "TYPE",
        "TIME",
        "ZRANGE",
        "ZSCORE",
        "ZCARD",
        "HGET",
        "HGETALL",
    ];
    READS.contains(&name) || is_write(name)
}

/// Carries out a command on the keys. `writes`: whether keys that have expired may be deleted on the way.
pub(crate) fn execute(keyspace: &mut Keyspace, name: &str, arguments: &[Vec<u8>], at: Moment, writes: bool) -> Reply {
    let outcome = Execution { keyspace, at, writes }.run(name, arguments);
    outcome.unwrap_or_else(Reply::error)
}

struct Execution<'a> {
    keyspace: &'a mut Keyspace,
    at: Moment,
    writes: bool,
}

const WRONG_TYPE: &str = "WRONGTYPE Operation against a key holding the wrong kind of value";
const SYNTAX: &str = "ERR syntax error";
const NO_NUMBER: &str = "ERR value is not an integer or out of range";
const ARITY: &str = "ERR wrong number of arguments";

impl Execution<'_> {
    fn run(&mut self, name: &str, arguments: &[Vec<u8>]) -> Result<Reply, &'static str> {
        match (name, arguments) {
            ("TIME", []) => {
                let part = |number: u64| Reply::bulk(number.to_string());
                Ok(Reply::Array(vec![part(self.at.micros / 1_000_000), part(self.at.micros % 1_000_000)]))
            }
            ("GET", [key]) => Ok(self.text(key)?.map_or(Reply::Null, Reply::Bulk)),
            ("MGET", keys) => {
                let values = keys.iter().map(|key| self.text(key).ok().flatten().map_or(Reply::Null, Reply::Bulk));
                Ok(Reply::Array(values.collect()))
            }
            ("STRLEN", [key]) => Ok(Reply::count(self.text(key)?.unwrap_or_default().len())),
            ("GETRANGE", [key, start, end]) => {
                let text = self.text(key)?.unwrap_or_default();
                Ok(Reply::Bulk(range(&text, integer(start)?, integer(end)?)))
            }
            ("EXISTS", keys) => Ok(Reply::count(keys.iter().filter(|key| self.entry(key).is_some()).count())),
            ("TYPE", [key]) => Ok(Reply::Status(match self.entry(key).map(|entry| &entry.value) {
                None => "none",
                Some(Value::Text(_)) => "string",
                Some(Value::Members(_)) => "zset",
                Some(Value::Fields(_)) => "hash",
            })),
            ("PEXPIRETIME", [key]) => Ok(Reply::Integer(self.expiry(key, 0))),
            ("PTTL", [key]) => Ok(Reply::Integer(self.expiry(key, self.at.millis()))),
            ("TTL", [key]) => {
                let left = self.expiry(key, self.at.millis());
                Ok(Reply::Integer(if left < 0 { left } else { (left + 500) / 1000 }))
            }
            ("SET", [key, value, options @ ..]) => self.set(key, value, options),
            ("SETRANGE", [key, start, value]) => {
                let start = usize::try_from(integer(start)?).map_err(|_| "ERR offset is out of range")?;
                let expires = self.entry(key).and_then(|entry| entry.expires);
                let mut text = self.text(key)?.unwrap_or_default();
                text.resize(text.len().max(start + value.len()), 0);
                text[start..start + value.len()].copy_from_slice(value);
                let length = text.len();
                self.keyspace.set(key, Entry { value: Value::Text(text), expires });
                Ok(Reply::count(length))
            }
            ("INCR", [key]) => {
                let expires = self.entry(key).and_then(|entry| entry.expires);
                let next = self.text(key)?.map_or(Ok(0), |text| integer(&text))? + 1;
                self.keyspace.set(key, Entry { value: Value::Text(next.to_string().into()), expires });
                Ok(Reply::Integer(next))
            }
            ("DEL" | "UNLINK", keys) => {
                let mut removed = 0;
                for key in keys {
                    let was_there = self.entry(key).is_some();
                    removed += usize::from(was_there && self.keyspace.remove(key));
                }
                Ok(Reply::count(removed))
            }
            ("PEXPIREAT" | "PEXPIRE" | "EXPIRE", [key, moment]) => {
                let number = u64::try_from(integer(moment)?).unwrap_or(0);
                let moment = match name {
                    "PEXPIREAT" => number,
                    "PEXPIRE" => self.at.millis() + number,
                    _ => self.at.millis() + number * 1000,
                };
                Ok(Reply::Integer(i64::from(self.change_expiry(key, Some(moment)))))
            }
            ("PERSIST", [key]) => {
                let had = self.entry(key).is_some_and(|entry| entry.expires.is_some());
                Ok(Reply::Integer(i64::from(had && self.change_expiry(key, None))))
            }
            ("ZADD" | "ZREM" | "ZRANGE" | "ZSCORE" | "ZCARD", [key, rest @ ..]) => self.sorted_set(name, key, rest),
            ("HSET" | "HDEL" | "HGET" | "HGETALL", [key, rest @ ..]) => self.hash(name, key, rest),
            _ => Err(ARITY),
        }
    }

    fn entry(&mut self, key: &[u8]) -> Option<&Entry> {
        self.keyspace.get(key, self.at.millis(), self.writes)
    }

    fn text(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, &'static str> {
        match self.entry(key).map(|entry| &entry.value) {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text.clone())),
            Some(_) => Err(WRONG_TYPE),
        }
    }

    /// When a key expires, less `since`; -1 when it does not, -2 when there is none.
    fn expiry(&mut self, key: &[u8], since: u64) -> i64 {
        match self.entry(key).map(|entry| entry.expires) {
            None => -2,
            Some(None) => -1,
            Some(Some(moment)) => i64::try_from(moment.saturating_sub(since)).unwrap_or(i64::MAX),
        }
    }

    fn change_expiry(&mut self, key: &[u8], expires: Option<u64>) -> bool {
        let Some(entry) = self.entry(key).cloned() else { return false };
        if expires.is_some_and(|moment| moment <= self.at.millis()) {
            self.keyspace.remove(key);
        } else {
            self.keyspace.set(key, Entry { expires, ..entry });
        }
        true
    }

    fn set(&mut self, key: &[u8], value: &[u8], options: &[Vec<u8>]) -> Result<Reply, &'static str> {
        let (mut expires, mut only_new, mut only_old, mut keeps, mut tells) = (None, false, false, false, false);
        let mut options = options.iter();
        while let Some(option) = options.next() {
            let unit = match option.to_ascii_uppercase().as_slice() {
                b"NX" => {
                    only_new = true;
                    continue;
                }
                b"XX" => {
                    only_old = true;
                    continue;
                }
                b"GET" => {
                    tells = true;
                    continue;
                }
                b"KEEPTTL" => {
                    keeps = true;
                    continue;
                }
                b"PXAT" => (0, 1),
                b"PX" => (self.at.millis(), 1),
                b"EX" => (self.at.millis(), 1000),
                b"EXAT" => (0, 1000),
                _ => return Err(SYNTAX),
            };
            let number = integer(options.next().ok_or(SYNTAX)?)?;
            let number = u64::try_from(number).ok().filter(|number| *number > 0);
            expires = Some(unit.0 + number.ok_or("ERR invalid expire time in 'set' command")? * unit.1);
        }
        let before = self.entry(key).cloned();
        let told = match &before {
            Some(Entry { value: Value::Text(text), .. }) if tells => Reply::Bulk(text.clone()),
            _ => Reply::Null,
        };
        if (only_new && before.is_some()) || (only_old && before.is_none()) {
            return Ok(told);
        }
        if keeps {
            expires = before.and_then(|entry| entry.expires);
        }
        self.keyspace.set(key, Entry { value: Value::Text(value.to_vec()), expires });
        // A moment that has passed keeps the value for an instant, and deletes it at the next look.
        Ok(if tells { told } else { Reply::OK })
    }

    fn sorted_set(&mut self, name: &str, key: &[u8], rest: &[Vec<u8>]) -> Result<Reply, &'static str> {
        let (mut members, expires) = match self.entry(key) {
            None => (BTreeSet::new(), None),
            Some(Entry { value: Value::Members(members), expires }) => (members.clone(), *expires),
            Some(_) => return Err(WRONG_TYPE),
        };
        let before = members.len();
        match (name, rest) {
            ("ZCARD", []) => return Ok(Reply::count(before)),
            ("ZSCORE", [member]) => {
                return Ok(if members.contains(member) { Reply::bulk("0") } else { Reply::Null });
            }
            ("ZADD", [score, member]) if score == b"0" => members.insert(member.clone()),
            ("ZREM", [member]) => members.remove(member),
            ("ZRANGE", [from, to, by, limit, offset, count])
                if to == b"+" && by == b"BYLEX" && limit == b"LIMIT" && offset == b"0" =>
            {
                let count = usize::try_from(integer(count)?).unwrap_or(usize::MAX);
                let follows = |member: &&Vec<u8>| match from.split_first() {
                    Some((b'(', after)) => member.as_slice() > after,
                    Some((b'[', from)) => member.as_slice() >= from,
                    _ => true,
                };
                let page = members.iter().filter(follows).take(count).map(Reply::bulk);
                return Ok(Reply::Array(page.collect()));
            }
            ("ZRANGE", [from, to]) if from == b"0" && to == b"-1" => {
                return Ok(Reply::Array(members.iter().map(Reply::bulk).collect()));
            }
            _ => return Err(SYNTAX),
        };
        let changed = before.abs_diff(members.len());
        if members.is_empty() {
            self.keyspace.remove(key);
        } else if changed > 0 {
            self.keyspace.set(key, Entry { value: Value::Members(members), expires });
        }
        Ok(Reply::count(changed))
    }

    fn hash(&mut self, name: &str, key: &[u8], rest: &[Vec<u8>]) -> Result<Reply, &'static str> {
        let (mut fields, expires) = match self.entry(key) {
            None => (BTreeMap::new(), None),
            Some(Entry { value: Value::Fields(fields), expires }) => (fields.clone(), *expires),
            Some(_) => return Err(WRONG_TYPE),
        };
        let before = fields.len();
        match (name, rest) {
            ("HGET", [field]) => return Ok(fields.get(field).map_or(Reply::Null, Reply::bulk)),
            ("HGETALL", []) => {
                let pairs = fields.iter().map(|(field, value)| (Reply::bulk(field), Reply::bulk(value)));
                return Ok(Reply::Map(pairs.collect()));
            }
            ("HSET", pairs) if !pairs.is_empty() && pairs.len() % 2 == 0 => {
                fields.extend(pairs.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())));
            }
            ("HDEL", names) => fields.retain(|field, _| !names.contains(field)),
            _ => return Err(ARITY),
        }
        let changed = before.abs_diff(fields.len());
        if fields.is_empty() {
            self.keyspace.remove(key);
        } else {
            self.keyspace.set(key, Entry { value: Value::Fields(fields), expires });
        }
        Ok(Reply::count(changed))
    }
}

pub(crate) fn number(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn integer(text: &[u8]) -> Result<i64, &'static str> {
    number(text).ok_or(NO_NUMBER)
}

/// Of a text the bytes from one place to another, both included; places below zero count from the end.
fn range(text: &[u8], start: i64, end: i64) -> Vec<u8> {
    let length = i64::try_from(text.len()).unwrap_or(i64::MAX);
    let place = |place: i64| if place < 0 { (length + place).max(0) } else { place };
    let (start, end) = (place(start), place(end).min(length - 1));
    if start > end || length == 0 {
        return Vec::new();
    }
    let place = |place: i64| usize::try_from(place).unwrap_or(0);
    text[place(start)..=place(end)].to_vec()
}
