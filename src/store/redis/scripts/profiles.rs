//! Profiles of tokens.

use std::sync::LazyLock;

use super::Script;

/// Keeps a profile, until that moment at least.
///
/// - KEYS: profile
/// - ARGV: the profile, until when to keep it in milliseconds
/// - Reply: [`super::DONE`]; [`super::NOT_DONE`] when there is another under its name
///
/// What is kept longer stays so: tokens that other nodes have issued rely on it.
pub(in super::super) static KEEP: LazyLock<Script> = LazyLock::new(|| {
    let body = "\
local kept = redis.call('GET', KEYS[1])
if kept then
    if kept ~= ARGV[1] then return 0 end
    local expires = redis.call('PEXPIRETIME', KEYS[1])
    if expires < 0 or expires >= tonumber(ARGV[2]) then return 1 end
end
redis.call('SET', KEYS[1], ARGV[1], 'PXAT', ARGV[2])
return 1
";
    Script::new("", body)
});
