//! Which life of which data a server is in: a process that was started again, or became a primary again, may have
//! forgotten what it had answered.

use redis::{Cmd, Value};

use super::endpoint::text;
use super::fault::Fault;
use super::link::accept;

/// One life: from the moment at which a process became a primary to the moment at which it is none any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Incarnation {
    /// The process.
    run_id: Box<str>,
    /// Its data since it became a primary: Redis draws another number whenever that may have gone another way.
    replication_id: Box<str>,
}

impl Incarnation {
    /// What a server is asked to find out; the replies are read by [`Incarnation::read`].
    pub(super) fn ask() -> [Cmd; 2] {
        [info("server"), info("replication")]
    }

    /// Reads the replies; a fault when the server is no primary.
    pub(super) fn read(server: Value, replication: Value) -> Result<Self, Fault> {
        let server = accept(server)?;
        let run_id = member(&server, "run_id").ok_or_else(Fault::unexpected_reply)?.into();
        Ok(Self { run_id, replication_id: Self::read_replication(replication)? })
    }

    /// What it takes to see that a connection still leads to the same life: the process cannot change under it.
    pub(super) fn ask_again() -> Cmd {
        info("replication")
    }

    /// Judges the reply to [`Incarnation::ask_again`].
    pub(super) fn expect(&self, replication: Value) -> Result<(), Fault> {
        if Self::read_replication(replication)? == self.replication_id { Ok(()) } else { Err(changed()) }
    }

    /// How the log and other nodes tell it from others.
    pub(super) fn name(&self) -> String {
        format!("{}:{}", self.run_id, self.replication_id)
    }

    fn read_replication(reply: Value) -> Result<Box<str>, Fault> {
        let reply = accept(reply)?;
        match member(&reply, "role") {
            Some("master") => {}
            Some(_) => return Err(Fault::unavailable("this Redis is a replica")),
            None => return Err(Fault::unexpected_reply()),
        }
        Ok(member(&reply, "master_replid").ok_or_else(Fault::unexpected_reply)?.into())
    }
}

/// What is said of a server that was started again, or that became a primary again.
pub(super) fn changed() -> Fault {
    Fault::unavailable("this Redis has begun another life: what was revoked in the last one is being made sure of")
}

/// Whether a fault is [`changed`], which passes within moments.
pub(super) fn is_changing(fault: &Fault) -> bool {
    *fault == changed()
}

fn info(section: &str) -> Cmd {
    let mut command = redis::cmd("INFO");
    command.arg(section);
    command
}

/// A member of what `INFO` answers.
pub(super) fn member<'a>(reply: &'a Value, name: &str) -> Option<&'a str> {
    let lines = text(reply)?.lines();
    lines.filter_map(|line| line.split_once(':')).find(|(member, _)| *member == name).map(|(_, value)| value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(text: &str) -> Value {
        Value::BulkString(text.replace('\n', "\r\n").into())
    }

    #[test]
    fn a_life_is_a_process_and_its_data() {
        let server = || reply("# Server\nredis_version:7.0.15\nrun_id:abc\n");
        let replication = |role: &str, id: &str| reply(&format!("# Replication\nrole:{role}\nmaster_replid:{id}\n"));
        let life = Incarnation::read(server(), replication("master", "1")).unwrap();
        assert_eq!(life.name(), "abc:1");
        assert!(life.expect(replication("master", "1")).is_ok());
        assert!(life.expect(replication("master", "2")).is_err());
        assert!(life.expect(replication("slave", "1")).is_err());
        assert!(Incarnation::read(server(), replication("slave", "1")).is_err());
        assert!(Incarnation::read(reply(""), replication("master", "1")).is_err());
        assert!(Incarnation::read(server(), Value::Nil).is_err());
    }
}
