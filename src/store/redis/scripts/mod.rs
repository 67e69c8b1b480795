//! What must happen in one step inside Redis: the one folder with Lua in it.
//!
//! - [`tokens`] tokens, with a record and without; [`grants`] grants, rotation and marks
//! - [`profiles`] what many tokens have in common
//! - [`shared`] epochs, what was used once, documents; [`clients`] clients; [`users`] users and their names
//! - [`replay`] what a primary may have lost
//!
//! A script touches keys of one slot only. It runs whole or not at all, and nothing runs beside it, so "is it there?"
//! and "write it" cannot be torn apart by another node. Redis refuses a script when memory is full, unless it is marked
//! `allow-oom`: that mark is on those that end something and on no other, because a revocation must get through when
//! nothing else does, while issuing must stop.
//!
//! Needs Redis 7.0 (script flags, `PEXPIRETIME`) or any Valkey.

pub(super) mod clients;
pub(super) mod grants;
pub(super) mod profiles;
pub(super) mod replay;
pub(super) mod shared;
pub(super) mod tokens;
pub(super) mod users;

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

/// Writes the stamp into a record that has none, in a value in which the record begins at `at`.
const STAMPED: &str = "\
local function stamped(value, at)
    if string.sub(value, at + 3, at + 10) ~= string.rep('\\0', 8) then return value end
    return string.sub(value, 1, at + 2) .. stamp .. string.sub(value, at + 11)
end
";

/// A script and the name under which Redis remembers it.
#[derive(Debug)]
pub(super) struct Script {
    code: String,
    hash: String,
}

/// A script with its keys and arguments.
#[derive(Clone, Debug)]
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
    /// The first of its keys, which tells where all of them lie.
    pub(super) fn key(&self) -> &[u8] {
        self.keys.first().map_or(&[], |key| key.as_bytes())
    }

    /// All of its keys.
    pub(super) fn keys(&self) -> &[String] {
        &self.keys
    }

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

const ALLOW_OOM: &str = " flags=allow-oom";

/// Nothing was written.
pub(super) const NOT_DONE: i64 = 0;
/// Written.
pub(super) const DONE: i64 = 1;
/// The code of the error by which a script says that what it read is not what was written. Redis takes the first word
/// for the code only when others follow.
pub(super) const DAMAGED: &str = "DAMAGED";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_scripts_that_end_something_run_when_memory_is_full() {
        let ending = [
            &tokens::REVOKE,
            &tokens::REVOKE_SIGNED,
            &grants::MARK,
            &shared::RAISE_EPOCH,
            &shared::USE_ONCE,
            &shared::WRITE_DOCUMENT,
            &clients::REPLACE,
            &clients::DELETE,
            &users::RELEASE,
            &users::WITHDRAW,
            &shared::RAISE_MARKER,
        ];
        for script in ending {
            assert!(script.code.starts_with("#!lua flags=allow-oom\n"), "{}", script.code);
        }
        let others = [
            &tokens::INSERT,
            &profiles::KEEP,
            &tokens::APPROVE,
            &tokens::APPROVE_SIGNED,
            &grants::INSERT,
            &grants::ROTATE,
            &clients::CREATE,
            &users::CLAIM,
            &users::BEGIN,
            &users::KEEP_NAME,
            &users::FINISH,
        ];
        for script in others {
            assert!(script.code.starts_with("#!lua\n"), "{}", script.code);
        }
    }

    #[test]
    fn an_invocation_names_the_script_its_keys_and_its_arguments() {
        let packed = tokens::INSERT.on(["k".to_owned()], [b"a\0b".to_vec()]).by_hash().get_packed_command();
        let expected =
            format!("*5\r\n$7\r\nEVALSHA\r\n$40\r\n{}\r\n$1\r\n1\r\n$1\r\nk\r\n$3\r\na\0b\r\n", tokens::INSERT.hash);
        assert_eq!(packed, expected.as_bytes());
    }
}
