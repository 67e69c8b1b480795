//! Tokens: those that have a record, and those that have none because they are signed.

use std::sync::LazyLock;

use super::{ALLOW_OOM, STAMPED, Script};

/// There is no such token.
pub(in super::super) const ABSENT: i64 = 0;
/// It was in that state before.
pub(in super::super) const UNCHANGED: i64 = 1;
/// It was in another state before.
pub(in super::super) const CHANGED: i64 = 2;
/// It is not approved: its tombstone is not the one that was seen.
pub(in super::super) const OVERTAKEN: i64 = 3;
/// It is revoked for good: this, and the reason.
pub(in super::super) const FINAL: i64 = 256;

/// Keeps a new token.
///
/// - KEYS: record, tombstone
/// - ARGV: the record, its `exp` in milliseconds, the caller's time in milliseconds
/// - Reply: [`super::DONE`]; [`super::NOT_DONE`] when there is a record or a tombstone already
///
/// Expired by either clock it is accepted and not kept: `SET` with a moment that has passed would keep it for an
/// instant, and delete what another node put there meanwhile. A token may be taken over in the revoked state, and then
/// has its tombstone from the start.
pub(in super::super) static INSERT: LazyLock<Script> = LazyLock::new(|| {
    let body = "\
if redis.call('EXISTS', KEYS[1], KEYS[2]) > 0 then return 0 end
if tonumber(ARGV[2]) <= math.max(millis, tonumber(ARGV[3])) then return 1 end
redis.call('SET', KEYS[1], stamped(ARGV[1], 0), 'PXAT', ARGV[2])
local state = string.sub(ARGV[1], 2, 2)
if state ~= '\\0' then redis.call('SET', KEYS[2], stamp .. state, 'PXAT', ARGV[2]) end
return 1
";
    Script::new("", &[STAMPED, body].concat())
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
/// - Reply: [`ABSENT`], [`UNCHANGED`] (revoked already: the first reason stays, unless it can be undone and the new one
///   cannot) or [`CHANGED`]
///
/// As long as it could be approved, its tombstone is stamped anew: an approval that named the one before is void.
pub(in super::super) static REVOKE: LazyLock<Script> = LazyLock::new(|| {
    let body = "\
if state ~= '\\0' and state ~= '\\1' then return 1 end
redis.call('SETRANGE', KEYS[1], 1, ARGV[1])
redis.call('SET', KEYS[2], stamp .. ARGV[1], 'PXAT', expires)
if state == '\\0' then return 2 end
return 1
";
    Script::new(ALLOW_OOM, &[FIND, body].concat())
});

/// Approves a token again; its expiry stays.
///
/// - KEYS: record, tombstone
/// - ARGV: the caller's time in milliseconds, the tombstone that the caller has seen
/// - Reply: as of [`REVOKE`], [`OVERTAKEN`], or [`FINAL`] and the reason
///
/// `SETRANGE` keeps the time to live. The tombstone is deleted rather than left to expire: that, too, is broadcast.
pub(in super::super) static APPROVE: LazyLock<Script> = LazyLock::new(|| {
    let body = "\
if expires <= tonumber(ARGV[1]) then return 0 end
if state == '\\0' then return 1 end
if state ~= '\\1' then return 256 + string.byte(state) end
if (redis.call('GET', KEYS[2]) or '') ~= ARGV[2] then return 3 end
redis.call('SETRANGE', KEYS[1], 1, '\\0')
redis.call('DEL', KEYS[2])
return 2
";
    Script::new("", &[FIND, body].concat())
});

/// The state of a signed token, and when its tombstone expires: approved as long as it has none.
const FIND_SIGNED: &str = "\
local state, expires = '\\0', 0
local kept = redis.call('GET', KEYS[1])
if kept then
    state, expires = string.sub(kept, 9), redis.call('PEXPIRETIME', KEYS[1])
    if #kept ~= 9 or state == '\\0' or expires < 0 then return redis.error_reply('DAMAGED not as written') end
end
";

/// Revokes a signed token.
///
/// - KEYS: tombstone
/// - ARGV: the reason as one byte, until when to keep it in milliseconds
/// - Reply: as of [`REVOKE`]; [`ABSENT`] when that moment has passed
///
/// The tombstone is stamped anew as by [`REVOKE`].
pub(in super::super) static REVOKE_SIGNED: LazyLock<Script> = LazyLock::new(|| {
    let body = "\
if state ~= '\\0' and state ~= '\\1' then return 1 end
expires = math.max(expires, tonumber(ARGV[2]))
if expires <= millis then return 0 end
redis.call('SET', KEYS[1], stamp .. ARGV[1], 'PXAT', expires)
if state == '\\0' then return 2 end
return 1
";
    Script::new(ALLOW_OOM, &[FIND_SIGNED, body].concat())
});

/// Approves a signed token again.
///
/// - KEYS: tombstone
/// - ARGV: the tombstone that the caller has seen
/// - Reply: [`UNCHANGED`], [`CHANGED`], [`OVERTAKEN`], or [`FINAL`] and the reason
pub(in super::super) static APPROVE_SIGNED: LazyLock<Script> = LazyLock::new(|| {
    let body = "\
if state == '\\0' then return 1 end
if state ~= '\\1' then return 256 + string.byte(state) end
if kept ~= ARGV[1] then return 3 end
redis.call('DEL', KEYS[1])
return 2
";
    Script::new("", &[FIND_SIGNED, body].concat())
});
