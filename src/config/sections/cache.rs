//! `[cache]`.

use std::time::Duration;

use crate::config::CacheConfig;
use crate::config::reader::Reader;

/// Some fifty thousand tokens of the usual size with their answers: what a fleet of APIs asks about within seconds.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// Nothing should ever need this end. It bounds what a mistake of ours or of Redis could do.
const MAX_AGE: Duration = Duration::from_secs(30);

/// A caller that asks for the same unknown token again and again costs one read per second.
const NEGATIVE_TTL: Duration = Duration::from_secs(1);

/// About a megabyte and a half. Whoever asks for ever other unknown tokens fills this, and nothing else.
const NEGATIVE_ENTRIES: usize = 10_000;

pub(super) fn cache(reader: &mut Reader<'_>) -> CacheConfig {
    reader.section("cache", "What a node remembers of what it has read.", |section| CacheConfig {
        enabled: section.value(
            "enabled",
            true,
            "Whether answers may be given from memory while it is certain that they still hold; off, each request reads \
             the store.",
        ),
        max_bytes: section.within(
            "max_bytes",
            MAX_BYTES,
            0..=4_294_967_295,
            "Memory for tokens and the answers about them; what is used least gives way. 0 to read each token at each \
             request, and still remember clients and epochs.",
        ),
        max_age: section.within(
            "max_age",
            MAX_AGE,
            Duration::from_millis(1)..=Duration::from_mins(5),
            "How long something is answered from memory at most, however certain it is.",
        ),
        negative_ttl: section.within(
            "negative_ttl",
            NEGATIVE_TTL,
            Duration::ZERO..=Duration::from_secs(10),
            "The same for tokens that the store does not have; 0 to read each time.",
        ),
        negative_entries: section.within(
            "negative_entries",
            NEGATIVE_ENTRIES,
            1..=1_000_000,
            "How many of those are remembered.",
        ),
    })
}
