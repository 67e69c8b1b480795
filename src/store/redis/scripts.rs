//! What must happen in one step inside Redis: the one file with Lua in it.
//!
//! A script touches keys of one slot only. It runs whole or not at all, and nothing runs beside it, so "is it there?"
//! and "write it" cannot be torn apart by another node. Redis refuses a script when memory is full, unless it is marked
//! `allow-oom`: that mark is on those that end something and on no other, because a revocation must get through when
//! nothing else does, while issuing must stop.
//!
//! Needs Redis 7.0 (script flags, `PEXPIRETIME`, `PEXPIREAT .. GT`) or any Valkey.

use std::sync::LazyLock;

use redis::Cmd;

/// What every script begins with: the time by Redis' own clock, also as the stamp of eight bytes that is stored.
///
/// Microseconds since 1970 stay below 2^53 until the year 2255, so the doubles that Lua counts in are exact. They are
/// split by hand since how wide `struct` packs depends on the platform that Redis was built for.
const PRELUDE: &str = "\
local now = redis.call('TIME')
local micros = now[1] * 1000000 + now[2]
local millis = math.floor(micros / 1000)
local stamp = struct.pack('>I4I4', math.floor(micros / 4294967296), micros % 4294967296)
";

/// A script and the name under which Redis remembers it.
#[derive(Debug)]
pub(super) struct Script {
    code: String,
    hash: String,
}

/// A script with its keys and arguments.
#[derive(Debug)]
pub(super) struct Invocation {
    script: &'static Script,
    keys: Vec<String>,
    arguments: Vec<Vec<u8>>,
}

impl Script {
    fn new(flags: &str, body: &str) -> Self {
        let code = format!("#!lua{flags}\n{PRELUDE}{body}");
        let hash = redis::Script::new(&code).get_hash().to_owned();
        Self { code, hash }
    }

    pub(super) fn on(
        &'static self,
        keys: impl IntoIterator<Item = String>,
        arguments: impl IntoIterator<Item = Vec<u8>>,
    ) -> Invocation {
        Invocation { script: self, keys: keys.into_iter().collect(), arguments: arguments.into_iter().collect() }
    }
}

impl Invocation {
    /// By name: all that is sent as long as Redis remembers the script.
    pub(super) fn by_hash(&self) -> Cmd {
        self.command("EVALSHA", &self.script.hash)
    }

    /// In full: what is sent when Redis does not know the script, and which makes it remember.
    pub(super) fn in_full(&self) -> Cmd {
        self.command("EVAL", &self.script.code)
    }

    fn command(&self, name: &str, script: &str) -> Cmd {
        let mut command = redis::cmd(name);
        command.arg(script).arg(self.keys.len()).arg(&self.keys).arg(&self.arguments);
        command
    }
}

/// Keeps a new token.
///
/// - KEYS: record, tombstone
/// - ARGV: the record, its `exp` in milliseconds, the caller's time in milliseconds
/// - Reply: [`DONE`]; [`NOT_DONE`] when there is a record or a tombstone already
///
/// Expired by either clock it is accepted and not kept: `SET` with a moment that has passed would keep it for an
/// instant, and delete what another node put there meanwhile. A token may be taken over in the revoked state, and then
/// has its tombstone from the start.
pub(super) static INSERT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "",
        "\
if redis.call('EXISTS', KEYS[1], KEYS[2]) > 0 then return 0 end
if tonumber(ARGV[2]) <= math.max(millis, tonumber(ARGV[3])) then return 1 end
local state = string.sub(ARGV[1], 2, 2)
redis.call('SET', KEYS[1], string.sub(ARGV[1], 1, 2) .. stamp .. string.sub(ARGV[1], 11), 'PXAT', ARGV[2])
if state ~= '\\0' then redis.call('SET', KEYS[2], stamp .. state, 'PXAT', ARGV[2]) end
return 1
",
    )
});

/// What revoking and approving begin with: the state that the record is in, and when it expires. What has expired by
/// Redis' clock is gone. The caller's clock has no say in a revocation: another node's may be behind.
///
/// A record that is cut short or lost its expiry is not ours to judge: it is reported as damaged, not as absent.
const FIND: &str = "\
local head = redis.call('GETRANGE', KEYS[1], 0, 1)
if head == '' then return 0 end
local expires = redis.call('PEXPIRETIME', KEYS[1])
if #head < 2 or expires < 0 then return redis.error_reply('DAMAGED not as written') end
local state = string.sub(head, 2, 2)
";

/// Revokes a token, in place, so that it can be approved again; its expiry stays.
///
/// - KEYS: record, tombstone
/// - ARGV: the reason as one byte
/// - Reply: [`ABSENT`], [`UNCHANGED`] (revoked already: the first reason stays) or [`CHANGED`]
pub(super) static REVOKE: LazyLock<Script> = LazyLock::new(|| {
    let body = "\
if state ~= '\\0' then return 1 end
redis.call('SETRANGE', KEYS[1], 1, ARGV[1])
redis.call('SET', KEYS[2], stamp .. ARGV[1], 'PXAT', expires)
return 2
";
    Script::new(ALLOW_OOM, &[FIND, body].concat())
});

/// Approves a token again; its expiry stays.
///
/// - KEYS: record, tombstone
/// - ARGV: the caller's time in milliseconds
/// - Reply: as of [`REVOKE`]
///
/// `SETRANGE` keeps the time to live. The tombstone is deleted rather than left to expire: that, too, is broadcast.
pub(super) static APPROVE: LazyLock<Script> = LazyLock::new(|| {
    let body = "\
if expires <= tonumber(ARGV[1]) then return 0 end
if state == '\\0' then return 1 end
redis.call('SETRANGE', KEYS[1], 1, '\\0')
redis.call('DEL', KEYS[2])
return 2
";
    Script::new("", &[FIND, body].concat())
});

/// Marks a grant as revoked. The first reason stays, and the mark is never made to end earlier.
///
/// - KEYS: mark
/// - ARGV: the reason as one byte, the grant's expiry in milliseconds
/// - Reply: [`DONE`]
pub(super) static REVOKE_GRANT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        ALLOW_OOM,
        "\
if redis.call('EXISTS', KEYS[1]) == 1 then
    redis.call('PEXPIREAT', KEYS[1], ARGV[2], 'GT')
elseif tonumber(ARGV[2]) > millis then
    redis.call('SET', KEYS[1], stamp .. ARGV[1], 'PXAT', ARGV[2])
end
return 1
",
    )
});

/// Keeps a new client.
///
/// - KEYS: client
/// - ARGV: its first version as eight bytes, its JSON
/// - Reply: [`DONE`]; [`NOT_DONE`] when there is one
pub(super) static CREATE_CLIENT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "",
        "\
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('SET', KEYS[1], ARGV[1] .. stamp .. ARGV[2])
return 1
",
    )
});

/// Replaces a client that still has the version and the creation stamp named; the stamp stays.
///
/// A deleted client and one created after it may have the same version, and never the same stamp.
///
/// - KEYS: client
/// - ARGV: version and creation stamp to be replaced, the new version, eight bytes each; the JSON
/// - Reply: [`DONE`]; [`NOT_DONE`] when it is gone or has another version
///
/// Allowed when memory is full, since this is how a client is revoked; it adds no key.
pub(super) static REPLACE_CLIENT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        ALLOW_OOM,
        "\
local head = redis.call('GETRANGE', KEYS[1], 0, 15)
if head == '' then return 0 end
if #head < 16 then return redis.error_reply('DAMAGED not as written') end
if head ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2] .. string.sub(head, 9, 16) .. ARGV[3])
return 1
",
    )
});

const ALLOW_OOM: &str = " flags=allow-oom";

/// Nothing was written.
pub(super) const NOT_DONE: i64 = 0;
/// Written.
pub(super) const DONE: i64 = 1;
/// There is no such token.
pub(super) const ABSENT: i64 = 0;
/// It was in that state before.
pub(super) const UNCHANGED: i64 = 1;
/// It was in another state before.
pub(super) const CHANGED: i64 = 2;
/// The code of the error by which a script says that what it read is not what was written. Redis takes the first word
/// for the code only when others follow.
pub(super) const DAMAGED: &str = "DAMAGED";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_scripts_that_end_something_run_when_memory_is_full() {
        for script in [&REVOKE, &REVOKE_GRANT, &REPLACE_CLIENT] {
            assert!(script.code.starts_with("#!lua flags=allow-oom\n"), "{}", script.code);
        }
        for script in [&INSERT, &APPROVE, &CREATE_CLIENT] {
            assert!(script.code.starts_with("#!lua\n"), "{}", script.code);
        }
    }

    #[test]
    fn an_invocation_names_the_script_its_keys_and_its_arguments() {
        let packed = INSERT.on(["k".to_owned()], [b"a\0b".to_vec()]).by_hash().get_packed_command();
        let expected = format!("*5\r\n$7\r\nEVALSHA\r\n$40\r\n{}\r\n$1\r\n1\r\n$1\r\nk\r\n$3\r\na\0b\r\n", INSERT.hash);
        assert_eq!(packed, expected.as_bytes());
    }
}
