//! Users and their names: each lies in a slot of its own, so that creating one takes steps. See
//! [`crate::store::redis::users`].
//!
//! A name is kept as its state (one byte, 0 while it is claimed, 1 when it is theirs), the stamp of the claim (eight
//! bytes), and the id of the user (16 bytes).

use std::sync::LazyLock;

use super::{ALLOW_OOM, Script};

/// Reads whose a name is.
const NAME: &str = "\
local kept = redis.call('GET', KEYS[1])
if kept and #kept ~= 25 then return redis.error_reply('DAMAGED not as written') end
";

/// Claims a name that nobody has.
///
/// - KEYS: name
/// - ARGV: id; what the name may be taken over from, as it is kept, or nothing; for how many milliseconds
/// - Reply: [`super::DONE`]; [`super::NOT_DONE`] when it is kept otherwise
pub(in super::super) static CLAIM: LazyLock<Script> = LazyLock::new(|| {
    let body = "\
if kept and kept ~= ARGV[2] then return 0 end
redis.call('SET', KEYS[1], '\\0' .. stamp .. ARGV[1], 'PX', ARGV[3])
return 1
";
    Script::new("", &[NAME, body].concat())
});

/// Makes a name theirs who have claimed it.
///
/// - KEYS: name
/// - ARGV: id
/// - Reply: [`super::DONE`]; [`super::NOT_DONE`] when it is not claimed by this user any longer
pub(in super::super) static KEEP_NAME: LazyLock<Script> = LazyLock::new(|| {
    let body = "\
if not kept or string.sub(kept, 10) ~= ARGV[1] then return 0 end
if string.sub(kept, 1, 1) == '\\0' then redis.call('SET', KEYS[1], '\\1' .. string.sub(kept, 2)) end
return 1
";
    Script::new("", &[NAME, body].concat())
});

/// Gives a name back.
///
/// - KEYS: name
/// - ARGV: id
/// - Reply: [`super::DONE`]; [`super::NOT_DONE`] when it is not this user's
pub(in super::super) static RELEASE: LazyLock<Script> = LazyLock::new(|| {
    let body = "\
if not kept or string.sub(kept, 10) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
";
    Script::new(ALLOW_OOM, &[NAME, body].concat())
});

/// Keeps the record of a user who is still to come: under version 0, which nobody is shown.
///
/// - KEYS: user
/// - ARGV: the JSON; for how many milliseconds
/// - Reply: [`super::DONE`]; [`super::NOT_DONE`] when there is one
pub(in super::super) static BEGIN: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "",
        "\
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('SET', KEYS[1], string.rep('\\0', 8) .. stamp .. ARGV[1], 'PX', ARGV[2])
return 1
",
    )
});

/// Lets the user be.
///
/// - KEYS: user
/// - ARGV: the first version as eight bytes
/// - Reply: [`super::DONE`]; [`super::NOT_DONE`] when the record has expired, or is no longer one of version 0
pub(in super::super) static FINISH: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "",
        "\
local kept = redis.call('GET', KEYS[1])
if not kept or string.sub(kept, 1, 8) ~= string.rep('\\0', 8) then return 0 end
redis.call('SET', KEYS[1], ARGV[1] .. string.sub(kept, 9))
return 1
",
    )
});

/// Takes back the record of a user who is not to come after all.
///
/// - KEYS: user
/// - ARGV: none
/// - Reply: [`super::DONE`] when there is none now; [`super::NOT_DONE`] when the user has come
pub(in super::super) static WITHDRAW: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        ALLOW_OOM,
        "\
local head = redis.call('GETRANGE', KEYS[1], 0, 7)
if head ~= '' and head ~= string.rep('\\0', 8) then return 0 end
redis.call('DEL', KEYS[1])
return 1
",
    )
});
