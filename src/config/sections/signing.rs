//! `[signing]`.

use super::{DAY, HOUR, WholeSeconds, seconds};
use crate::config::SigningConfig;
use crate::config::reader::Reader;
use crate::jose::algorithm::Algorithm;

/// Small texts, and taken by every library. RS256, which RFC 9068 section 2.1 wants to be supported, is one setting
/// away.
const ALGORITHM: Algorithm = Algorithm::Es256;

/// As long as verifiers keep the published keys, by what they are told.
const PUBLISH_AHEAD: WholeSeconds = seconds(HOUR);

pub(super) fn signing(reader: &mut Reader<'_>) -> SigningConfig {
    reader.section("signing", "What signed tokens and signed answers are signed with.", |section| SigningConfig {
        algorithm: section.value(
            "algorithm",
            ALGORITHM,
            "`ES256`, `EdDSA`, `RS256` or `PS256`: for clients that are registered for none of them.",
        ),
        publish_ahead: section
            .within(
                "publish_ahead",
                PUBLISH_AHEAD,
                seconds(0)..=seconds(30 * DAY),
                "How long a key is published before it signs, so that verifiers have it by then.",
            )
            .0,
    })
}
