//! Which requests are recorded: decided from their head alone, before anything of a span exists.

use std::cell::Cell;
use std::hash::{BuildHasher as _, RandomState};

use http::HeaderMap;

use super::context::{Parent, SpanId, TraceId};

/// Bits of the random part of a trace's id that its sampling is decided by (W3C Trace Context 2, section 4.2.2.2).
const RANDOM_BITS: u32 = 56;

/// Follows the caller's decision, and takes its own share of the requests whose caller has none.
#[derive(Clone, Copy, Debug)]
pub struct Sampler {
    /// Of 2 to the power of 56: traces whose random part is at least this are recorded.
    threshold: u64,
    follows_callers: bool,
}

/// A request that is to be recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampled {
    /// The trace that it belongs to.
    pub trace: TraceId,
    /// Its own span.
    pub span: SpanId,
    /// The caller's.
    pub parent: Option<SpanId>,
}

impl Sampler {
    /// A sampler that records `ratio` of the requests whose caller has not decided; from 0 to 1.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "the ratio is from 0 to 1, and a float of 53 bits is exact enough for a share"
    )]
    pub fn new(ratio: f64, follows_callers: bool) -> Self {
        let all = 1u64 << RANDOM_BITS;
        let threshold = all - ((ratio.clamp(0.0, 1.0) * all as f64) as u64).min(all);
        Self { threshold, follows_callers }
    }

    /// Decides. `None` for a request that is not recorded: then nothing was allocated, and no system call made.
    pub fn decide(&self, headers: &HeaderMap) -> Option<Sampled> {
        let parent = if self.follows_callers { Parent::of(headers) } else { None };
        if let Some(parent) = parent {
            if !parent.sampled {
                return None;
            }
            let mut span = SpanId::default();
            getrandom::fill(&mut span).ok()?;
            return Some(Sampled { trace: parent.trace, span: not_zero(span), parent: Some(parent.span) });
        }
        if self.threshold >> RANDOM_BITS != 0 {
            return None;
        }
        let random = cheap_random() >> (u64::BITS - RANDOM_BITS);
        if random < self.threshold {
            return None;
        }
        let mut fresh = [0; 24];
        getrandom::fill(&mut fresh).ok()?;
        let (trace, span) = fresh.split_at(16);
        let (mut trace, span) = (<TraceId>::try_from(trace).ok()?, <SpanId>::try_from(span).ok()?);
        // Whoever samples the same trace by the same rule comes to the same decision.
        trace[9..].copy_from_slice(&random.to_be_bytes()[1..]);
        trace[0] |= 1;
        Some(Sampled { trace, span: not_zero(span), parent: None })
    }
}

/// An id of zeros is none.
fn not_zero(span: SpanId) -> SpanId {
    if span == [0; 8] { [1; 8] } else { span }
}

/// Numbers that spread evenly: nothing is kept secret by them, and each costs a nanosecond (`SplitMix64`).
fn cheap_random() -> u64 {
    thread_local! {
        static STATE: Cell<u64> = Cell::new(RandomState::new().hash_one(0));
    }
    STATE.with(|state| {
        state.set(state.get().wrapping_add(0x9e37_79b9_7f4a_7c15));
        mixed(state.get())
    })
}

/// The number that follows from `seed`: different for different seeds.
pub(super) fn mixed(seed: u64) -> u64 {
    let mut value = seed;
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn parent(flags: &str) -> HeaderMap {
        let line = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-{flags}");
        HeaderMap::from_iter([(http::HeaderName::from_static("traceparent"), HeaderValue::from_str(&line).unwrap())])
    }

    #[test]
    fn callers_decide_whatever_the_ratio_is() {
        for ratio in [0.0, 1.0] {
            let sampler = Sampler::new(ratio, true);
            let sampled = sampler.decide(&parent("01")).unwrap();
            assert_eq!((sampled.trace[0], sampled.parent.unwrap()[1]), (0x4b, 0xf0));
            assert_ne!(Some(sampled.span), sampled.parent);
            assert_eq!(sampler.decide(&parent("00")), None);
        }
    }

    #[test]
    fn callers_that_are_not_followed_decide_nothing() {
        assert_eq!(Sampler::new(0.0, false).decide(&parent("01")), None);
        let sampled = Sampler::new(1.0, false).decide(&parent("00")).unwrap();
        assert_eq!(sampled.parent, None);
        assert_ne!(sampled.trace[..8], [0x4b, 0xf9, 0x2f, 0x35, 0x77, 0xb3, 0x4d, 0xa6]);
    }

    #[test]
    fn the_ratio_is_what_was_asked_for() {
        let count = |ratio: f64| {
            let sampler = Sampler::new(ratio, true);
            (0..20_000).filter(|_| sampler.decide(&HeaderMap::new()).is_some()).count()
        };
        assert_eq!(count(0.0), 0);
        assert_eq!(count(1.0), 20_000);
        let quarter = count(0.25);
        assert!((4_500..5_500).contains(&quarter), "{quarter}");
    }

    #[test]
    fn a_malformed_parent_leaves_the_decision_to_the_ratio() {
        let mut headers = parent("01");
        headers.insert("traceparent", HeaderValue::from_static("00-zz"));
        assert_eq!(Sampler::new(0.0, true).decide(&headers), None);
        assert_eq!(Sampler::new(1.0, true).decide(&headers).unwrap().parent, None);
    }
}
