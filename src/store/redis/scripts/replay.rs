//! Writing again what a primary may have lost, and agreeing on when all nodes have done so.
//!
//! Each takes the greater of what is there and what is given, in an order that all nodes share, so it makes no
//! difference who comes first and how often.

use std::sync::LazyLock;

use super::{ALLOW_OOM, Script};
use crate::store::redis::dataset::EPOCH_AT;
#[cfg(doc)]
use crate::store::redis::incarnation::Incarnation;
use crate::token::codec;

/// Compares byte by byte: Lua compares strings in the order of the locale that Redis was started in.
const ORDER: &str = "\
local function order(one, other)
    for place = 1, #one do
        local difference = string.byte(one, place) - string.byte(other, place)
        if difference ~= 0 then return difference end
    end
    return 0
end
";

/// Revokes a token as another primary had it revoked.
///
/// - KEYS: record, tombstone
/// - ARGV: the tombstone, until when to keep it in milliseconds
/// - Reply: [`super::DONE`]; [`super::NOT_DONE`] when one that says at least as much is there, or it has expired
///
/// A reason that is final says more than one that can be undone. Of two that can be undone the later one does: an
/// approval that named the one before stays void. Of two that are final the first one stays.
///
/// A record gives the token its end; without one the later end counts. There may be none: the token is signed, or its
/// record was lost as well, and is then refused when it comes again.
pub(in super::super) static TOMBSTONE: LazyLock<Script> = LazyLock::new(|| {
    let body = format!(
        "\
local given, expires = ARGV[1], tonumber(ARGV[2])
local kept, known = redis.call('GET', KEYS[2]), 0
if kept then
    known = redis.call('PEXPIRETIME', KEYS[2])
    if #kept ~= 9 or string.sub(kept, 9) == '\\0' or known < 0 then return redis.error_reply('DAMAGED not as written') end
    expires = math.max(expires, known)
end
local head = redis.call('GETRANGE', KEYS[1], 0, {state})
local state = false
if head ~= '' then
    expires = redis.call('PEXPIRETIME', KEYS[1])
    if #head ~= {state} + 1 or expires < 0 then return redis.error_reply('DAMAGED not as written') end
    state = string.sub(head, {state} + 1)
end
if expires <= millis then return 0 end
if kept then
    local theirs, ours = string.sub(kept, 9), string.sub(given, 9)
    local difference = order(kept, given)
    local stays
    if (theirs == '\\1') ~= (ours == '\\1') then stays = ours == '\\1'
    elseif ours == '\\1' then stays = difference >= 0
    else stays = difference <= 0 end
    if stays then given = kept end
end
if state and state ~= '\\0' and state ~= '\\1' and string.sub(given, 9) == '\\1' then
    given = string.sub(given, 1, 8) .. state
end
local reason = string.sub(given, 9)
local done = 0
if state and state ~= reason then
    redis.call('SETRANGE', KEYS[1], {state}, reason)
    done = 1
end
if given ~= kept or expires ~= known then
    redis.call('SET', KEYS[2], given, 'PXAT', expires)
    done = 1
end
return done
",
        state = codec::STATE_OFFSET,
    );
    Script::new(ALLOW_OOM, &[ORDER, &body].concat())
});

/// Puts the record of a client or a user in the place of an older one.
///
/// - KEYS: record
/// - ARGV: the record
/// - Reply: [`super::DONE`]; [`super::NOT_DONE`] when there is none, or one that is at least as new
///
/// Of two clients of one id the one that was created later counts, of two versions of one client the higher. One that
/// is not there stays away: it may have been deleted, and without it none of its tokens is active.
pub(in super::super) static RECORD: LazyLock<Script> = LazyLock::new(|| {
    let body = "\
local head = redis.call('GETRANGE', KEYS[1], 0, 15)
if head == '' then return 0 end
if #head < 16 then return redis.error_reply('DAMAGED not as written') end
local created = order(string.sub(head, 9), string.sub(ARGV[1], 9, 16))
if created > 0 or created == 0 and order(string.sub(head, 1, 8), string.sub(ARGV[1], 1, 8)) >= 0 then return 0 end
redis.call('SET', KEYS[1], ARGV[1])
return 1
";
    Script::new(ALLOW_OOM, &[ORDER, body].concat())
});

/// Deletes the record of a client or a user that was deleted.
///
/// - KEYS: record
/// - ARGV: a stamp of eight bytes at which it was gone
/// - Reply: [`super::DONE`]; [`super::NOT_DONE`] when there is none, or one that was created later
pub(in super::super) static RECORD_GONE: LazyLock<Script> = LazyLock::new(|| {
    let body = "\
local head = redis.call('GETRANGE', KEYS[1], 0, 15)
if head == '' then return 0 end
if #head < 16 then return redis.error_reply('DAMAGED not as written') end
if order(string.sub(head, 9), ARGV[1]) > 0 then return 0 end
redis.call('UNLINK', KEYS[1])
return 1
";
    Script::new(ALLOW_OOM, &[ORDER, body].concat())
});

/// Gives a name back to the user who had it.
///
/// - KEYS: name
/// - ARGV: whose it is, as `scripts/users.rs` writes it
/// - Reply: [`super::DONE`]; [`super::NOT_DONE`] when it was taken later by somebody else, or is theirs
///
/// Of two who took it the later one has it. One that was given back meanwhile is harmless when it comes again: it names
/// a user who is gone, and may be taken over.
pub(in super::super) static USER_NAME: LazyLock<Script> = LazyLock::new(|| {
    let body = "\
local kept = redis.call('GET', KEYS[1])
if kept then
    if #kept ~= 25 then return redis.error_reply('DAMAGED not as written') end
    local difference = order(string.sub(kept, 2), string.sub(ARGV[1], 2))
    if difference > 0 or difference == 0 and string.sub(kept, 1, 1) == '\\1' then return 0 end
end
redis.call('SET', KEYS[1], ARGV[1])
return 1
";
    Script::new(ALLOW_OOM, &[ORDER, body].concat())
});

/// Puts a document in the place of an older one, or of none.
///
/// - KEYS: document
/// - ARGV: the document, its version first
/// - Reply: [`super::DONE`]; [`super::NOT_DONE`] when one of at least this version is there
pub(in super::super) static DOCUMENT: LazyLock<Script> = LazyLock::new(|| {
    let body = "\
local head = redis.call('GETRANGE', KEYS[1], 0, 7)
if head ~= '' and #head < 8 then return redis.error_reply('DAMAGED not as written') end
if head ~= '' and order(head, string.sub(ARGV[1], 1, 8)) >= 0 then return 0 end
redis.call('SET', KEYS[1], ARGV[1])
return 1
";
    Script::new(ALLOW_OOM, &[ORDER, body].concat())
});

/// Raises the epoch of all tokens in a marker of the same dataset.
///
/// - KEYS: marker
/// - ARGV: the marker as it was, see [`crate::store::redis::dataset`]
/// - Reply: [`super::DONE`]; [`super::NOT_DONE`] when there is none, one of another dataset, or one at least as late
///
/// A marker that is not there stays away: without it nothing is believed of what else is missing.
pub(in super::super) static MARKER: LazyLock<Script> = LazyLock::new(|| {
    let body = format!(
        "\
local kept, given = redis.call('GET', KEYS[1]), ARGV[1]
local function dataset(marker) return string.sub(marker, 1, 1) .. string.sub(marker, {DATASET_AT} + 1, {DATASET_AT} + 16) end
if not kept or #kept ~= #given or dataset(kept) ~= dataset(given) then return 0 end
local theirs, ours = string.sub(kept, {EPOCH_AT} + 1), string.sub(given, {EPOCH_AT} + 1)
local difference = order(string.sub(theirs, 1, 8), string.sub(ours, 1, 8))
if difference > 0 then return 0 end
if difference == 0 and (string.sub(theirs, 9) ~= '\\1' or string.sub(ours, 9) == '\\1') then return 0 end
redis.call('SETRANGE', KEYS[1], {EPOCH_AT}, ours)
return 1
"
    );
    Script::new(ALLOW_OOM, &[ORDER, &body].concat())
});

/// Where the dataset begins in a marker.
const DATASET_AT: usize = 2;

/// The code of the error by which [`ARRIVE`] says that the primary is in another incarnation.
pub(in super::super) const STALE: &str = "STALE";

/// Says of a node that it lives and has caught up with this incarnation of the primary, and names those that have not
/// and were alive when the one before ended.
///
/// - KEYS: roster, a hash: for each node, 14 digits of milliseconds since 1970, then the incarnation; under `@` the
///   moment that the last word from before the present incarnation is from, then that incarnation
/// - ARGV: the node; the incarnation, as [`Incarnation::name`] has it; how long before that moment a node may have been
///   heard of to be waited for, after how long it is forgotten: milliseconds
/// - Reply: the nodes that are missing; an error with the code [`STALE`]
///
/// Who was alive is measured by the latest of all words from before, not by the present: no node can have given any
/// while there was no primary, however long that was. It is settled by whoever comes first, since his own word is no
/// longer from before.
pub(in super::super) static ARRIVE: LazyLock<Script> = LazyLock::new(|| {
    let body = format!(
        "\
local node, incarnation, alive, forget = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local process = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)') or ''
local data = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)') or ''
if process .. ':' .. data ~= incarnation then return redis.error_reply('{STALE} another incarnation') end
local roster, words, reference, latest = redis.call('HGETALL', KEYS[1]), {{}}, nil, 0
for place = 1, #roster, 2 do
    local name, at, of = roster[place], tonumber(string.sub(roster[place + 1], 1, 14)), string.sub(roster[place + 1], 15)
    if not at then return redis.error_reply('DAMAGED not as written') end
    if name == '@' then
        if of == incarnation then reference = at end
    else
        words[#words + 1] = {{name, at, of}}
        if of ~= incarnation then latest = math.max(latest, at) end
    end
end
if not reference then
    reference = latest
    redis.call('HSET', KEYS[1], '@', string.format('%014.0f', reference) .. incarnation)
end
redis.call('HSET', KEYS[1], node, string.format('%014.0f', millis) .. incarnation)
redis.call('PEXPIRE', KEYS[1], {ROSTER_LIFE})
local missing = {{}}
for _, word in ipairs(words) do
    local name, at, of = word[1], word[2], word[3]
    local since = reference
    if of == incarnation then since = millis end
    if name ~= node then
        if at < since - forget then redis.call('HDEL', KEYS[1], name)
        elseif of ~= incarnation and at >= reference - alive then missing[#missing + 1] = name end
    end
end
return missing
"
    );
    Script::new(ALLOW_OOM, &body)
});

/// For how many milliseconds a roster is kept that nobody writes to: a day, longer than anybody leaves all nodes off
/// and still expects them to wait for each other.
const ROSTER_LIFE: u32 = 86_400_000;

/// Writes something of no meaning: whatever a primary had acknowledged before is on its way to the replicas when this
/// is, and has arrived when this has (`WAIT`).
///
/// - KEYS: anything
/// - ARGV: for how many milliseconds it is kept
/// - Reply: [`super::DONE`]
///
/// A script because `SET` is refused when memory is full, and a revocation must not be.
pub(in super::super) static FENCE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        ALLOW_OOM,
        "\
redis.call('SET', KEYS[1], '', 'PX', ARGV[1])
return 1
",
    )
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_run_when_memory_is_full() {
        for script in [&TOMBSTONE, &RECORD, &RECORD_GONE, &USER_NAME, &DOCUMENT, &MARKER, &ARRIVE, &FENCE] {
            assert!(script.code.starts_with("#!lua flags=allow-oom\n"), "{}", script.code);
        }
    }
}
