//! Counts as fractions and back, in the one place where precision may be lost.

use std::time::Duration;

/// A count as a fraction: exact up to 2^53, which no count of requests or nanoseconds of a run comes near.
#[expect(clippy::cast_precision_loss, reason = "counts here are far below 2^53")]
pub(crate) fn fraction(count: u64) -> f64 {
    count as f64
}

/// The same for lengths of lists.
pub(crate) fn fraction_of_length(length: usize) -> f64 {
    fraction(length as u64)
}

/// The whole part of a fraction; 0 for what is below it, and for what is no number.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates at both ends")]
pub(crate) fn whole(fraction: f64) -> u64 {
    fraction as u64
}

/// The same as an index, never beyond the last of `length` places.
pub(crate) fn index(fraction: f64, length: usize) -> usize {
    usize::try_from(whole(fraction)).unwrap_or(usize::MAX).min(length.saturating_sub(1))
}

/// Microseconds with a tenth: three digits of what can be measured, and none of binary fractions.
pub(crate) fn microseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e7).round() / 10.0
}
