//! Grants: one refresh token in the place of another, and what of a grant is revoked.

use std::sync::LazyLock;

use super::{ALLOW_OOM, STAMPED, Script};
use crate::token::grant::{GrantMark, GrantRecord};

/// The reply of [`ROTATE`] when another refresh token is the current one.
pub(in super::super) const SUPERSEDED: i64 = 2;
/// The reply of [`ROTATE`] when the refresh token is revoked.
pub(in super::super) const REVOKED: i64 = 3;
/// The reply of [`ROTATE`] when there is no such grant.
pub(in super::super) const ABSENT: i64 = 0;

/// Keeps a new grant.
///
/// - KEYS: grant
/// - ARGV: what is kept of it, until when in milliseconds, the caller's time in milliseconds
/// - Reply: [`super::DONE`]; [`super::NOT_DONE`] when there is one of that id
///
/// Expired by either clock it is accepted and not kept, as a token is.
pub(in super::super) static INSERT: LazyLock<Script> = LazyLock::new(|| {
    let body = format!(
        "\
if redis.call('EXISTS', KEYS[1]) > 0 then return 0 end
if tonumber(ARGV[2]) <= math.max(millis, tonumber(ARGV[3])) then return 1 end
redis.call('SET', KEYS[1], stamped(ARGV[1], {}), 'PXAT', ARGV[2])
return 1
",
        GrantRecord::RECORD_OFFSET
    );
    Script::new("", &[STAMPED, &body].concat())
});

/// Puts one refresh token in the place of another; the grant is never made to end earlier.
///
/// - KEYS: grant, mark
/// - ARGV: the digest that must be the current one, what is kept from now on, until when in milliseconds
/// - Reply: [`super::DONE`], [`ABSENT`], [`SUPERSEDED`] or [`REVOKED`]
pub(in super::super) static ROTATE: LazyLock<Script> = LazyLock::new(|| {
    let (reason, current) = (GrantMark::REFRESH_OFFSET, GrantRecord::CURRENT_RANGE);
    let body = format!(
        "\
local mark = redis.call('GETRANGE', KEYS[2], 0, {reason})
if mark ~= '' then
    local reason = string.byte(mark, {reason} + 1)
    if not reason then return redis.error_reply('DAMAGED not as written') end
    if reason ~= 0 then return 3 end
end
local head = redis.call('GETRANGE', KEYS[1], 0, {end} - 1)
if head == '' then return 0 end
if #head < {end} then return redis.error_reply('DAMAGED not as written') end
if string.sub(head, {start} + 1) ~= ARGV[1] then return 2 end
local expires = math.max(redis.call('PEXPIRETIME', KEYS[1]), tonumber(ARGV[3]))
redis.call('SET', KEYS[1], ARGV[2], 'PXAT', expires)
return 1
",
        start = current.start,
        end = current.end
    );
    Script::new("", &body)
});

/// Puts one mark in the place of another; it is never made to end earlier.
///
/// - KEYS: mark
/// - ARGV: the mark that must be there, the one to be there; nothing stands for none; until when in milliseconds
/// - Reply: [`super::DONE`]; [`super::NOT_DONE`] when another is there
pub(in super::super) static MARK: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        ALLOW_OOM,
        "\
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
if ARGV[2] == '' then
    redis.call('DEL', KEYS[1])
    return 1
end
local expires = math.max(redis.call('PEXPIRETIME', KEYS[1]), tonumber(ARGV[3]))
if expires > millis then redis.call('SET', KEYS[1], ARGV[2], 'PXAT', expires) end
return 1
",
    )
});
