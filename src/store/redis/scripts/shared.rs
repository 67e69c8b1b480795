//! What is about many tokens at once, or about none: epochs, what was used once, documents.

use std::sync::LazyLock;

use super::{ALLOW_OOM, Script};

/// Raises an epoch: of two the later one stays, of two of the same moment the one whose reason is final, and it is
/// never made to end earlier.
///
/// - KEYS: epoch
/// - ARGV: the moment as a stamp of eight bytes, or nothing for the present one; the reason as one byte; until when in
///   milliseconds
/// - Reply: [`super::DONE`]; [`super::NOT_DONE`] when one at least as late is there
pub(in super::super) static RAISE_EPOCH: LazyLock<Script> = LazyLock::new(|| {
    let body = "\
local moment, reason, expires = ARGV[1], ARGV[2], tonumber(ARGV[3])
if moment == '' then moment = stamp end
local kept, known, raised = redis.call('GET', KEYS[1]), 0, 1
if kept then
    known = redis.call('PEXPIRETIME', KEYS[1])
    local before = string.sub(kept, 9)
    if #kept ~= 9 or before == '\\0' or known < 0 then return redis.error_reply('DAMAGED not as written') end
    local difference = order(string.sub(kept, 1, 8), moment)
    if difference >= 0 then
        raised = 0
        if difference > 0 or before ~= '\\1' then reason = before end
        moment = string.sub(kept, 1, 8)
    end
    expires = math.max(expires, known)
end
if expires > millis and (moment .. reason ~= kept or expires ~= known) then
    redis.call('SET', KEYS[1], moment .. reason, 'PXAT', expires)
end
return raised
";
    Script::new(ALLOW_OOM, &[ORDER, body].concat())
});

/// Raises the epoch of all tokens, in one marker of the dataset: of two the later one stays, of two of the same moment
/// the one whose reason is final. It stays as long as the marker.
///
/// - KEYS: marker
/// - ARGV: the moment as a stamp of eight bytes, or nothing for the present one; the reason as one byte
/// - Reply: [`super::DONE`]; [`super::NOT_DONE`] when one at least as late is there
pub(in super::super) static RAISE_MARKER: LazyLock<Script> = LazyLock::new(|| {
    let body = "\
local moment, reason = ARGV[1], ARGV[2]
if moment == '' then moment = stamp end
local kept = redis.call('GET', KEYS[1])
if not kept or #kept ~= 31 then return redis.error_reply('DAMAGED the marker of the dataset is missing') end
local before = string.sub(kept, 31)
local difference = order(string.sub(kept, 23, 30), moment)
if difference > 0 then return 0 end
if difference == 0 and (before ~= '\\1' or before == reason) then return 0 end
redis.call('SETRANGE', KEYS[1], 22, moment .. reason)
if difference == 0 then return 0 end
return 1
";
    Script::new(ALLOW_OOM, &[ORDER, body].concat())
});

/// Compares two stamps byte by byte: Lua compares strings in the order of the locale that Redis was started in.
const ORDER: &str = "\
local function order(one, other)
    for place = 1, 8 do
        local difference = string.byte(one, place) - string.byte(other, place)
        if difference ~= 0 then return difference end
    end
    return 0
end
";

/// Notes that something was used.
///
/// - KEYS: what was used
/// - ARGV: until when in milliseconds, the caller's time in milliseconds
/// - Reply: [`super::DONE`]; [`super::NOT_DONE`] when it was noted before, or has expired by either clock
///
/// `SET` alone would say of what has expired by Redis' clock that it was noted, and to everybody. Allowed when memory
/// is full: a client that proves itself with a signed assertion could not revoke its tokens otherwise, and what is
/// noted goes when the assertion ends.
pub(in super::super) static USE_ONCE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        ALLOW_OOM,
        "\
if tonumber(ARGV[1]) <= math.max(millis, tonumber(ARGV[2])) then return 0 end
if redis.call('SET', KEYS[1], '', 'NX', 'PXAT', ARGV[1]) then return 1 end
return 0
",
    )
});

/// Writes a document that still has the version named.
///
/// - KEYS: document
/// - ARGV: the version to be replaced as eight bytes, or nothing when there must be none; the new version; the document
/// - Reply: [`super::DONE`]; [`super::NOT_DONE`] when it has another version
///
/// Allowed when memory is full, since this is how a key that is not to be trusted any longer is taken out of use.
pub(in super::super) static WRITE_DOCUMENT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        ALLOW_OOM,
        "\
local head = redis.call('GETRANGE', KEYS[1], 0, 7)
if head ~= '' and #head < 8 then return redis.error_reply('DAMAGED not as written') end
if head ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2] .. ARGV[3])
return 1
",
    )
});
