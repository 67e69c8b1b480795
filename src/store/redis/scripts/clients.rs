//! Clients: replaced only by whoever knows the version that is there.

use std::sync::LazyLock;

use super::{ALLOW_OOM, Script};

/// Keeps a new client.
///
/// - KEYS: client
/// - ARGV: its first version as eight bytes, its JSON
/// - Reply: [`super::DONE`]; [`super::NOT_DONE`] when there is one
pub(in super::super) static CREATE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "",
        "\
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('SET', KEYS[1], ARGV[1] .. stamp .. ARGV[2])
return 1
",
    )
});

/// Replaces the record of a client or a user that still has the version and the creation stamp named; the stamp stays.
///
/// A deleted client and one created after it may have the same version, and never the same stamp.
///
/// - KEYS: record
/// - ARGV: version and creation stamp to be replaced, the new version, eight bytes each; the JSON
/// - Reply: [`super::DONE`]; [`super::NOT_DONE`] when it is gone or has another version
///
/// Allowed when memory is full, since this is how a client is revoked and an account disabled; it adds no key.
pub(in super::super) static REPLACE: LazyLock<Script> = LazyLock::new(|| {
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

/// Deletes the record of a client or a user.
///
/// - KEYS: record
/// - ARGV: none
/// - Reply: how many there were, 0 or 1
pub(in super::super) static DELETE: LazyLock<Script> =
    LazyLock::new(|| Script::new(ALLOW_OOM, "return redis.call('DEL', KEYS[1])\n"));
