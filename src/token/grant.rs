//! A grant: what ties a refresh token, its successors and their access tokens together (the family), and what ends it.
//!
//! ```text
//! GrantRecord   one per grant that can be refreshed: the refresh token that works now, and what it may be exchanged for
//! GrantMark     beside it once something was revoked: absent as long as nothing was
//! ```
//!
//! The two are apart because introspection reads the mark of every token that has a grant, and needs nothing of the
//! record; and because a mark outlives the record of a refresh token that has been idle for too long.

use super::codec::{self, DecodeError, EncodeError};
use super::digest::TokenDigest;
use super::packed;
use super::record::{Reason, Record};
use super::time::{Stamp, UnixSeconds};

/// What is kept of a grant that can be refreshed.
///
/// A refresh token names its grant, so spent ones need no record of their own: whatever names a grant and is not its
/// current refresh token has been used before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantRecord {
    /// The one refresh token that works.
    pub current: TokenDigest,
    /// The one before it; `None` as long as the first one is current.
    pub previous: Option<TokenDigest>,
    /// When the current one took the place of the one before it, by the clock of the node that did it.
    pub rotated_at: UnixSeconds,
    /// The access token that was issued last: what approving the refresh token brings back with it.
    pub access: TokenDigest,
    /// Which form the access tokens of the grant have.
    pub format: TokenFormat,
    /// The refresh token as introspection sees it. Its `expires_at` is the current token's own end; that of its `grant`
    /// is the end of the whole family, which no rotation moves. Its `stamp` is the moment of the grant's birth.
    pub token: Record,
}

/// Which form access tokens have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenFormat {
    /// A random text that only the server can make sense of.
    #[default]
    Opaque,
    /// A signed text that a resource server can read by itself (RFC 9068).
    Jwt,
}

impl GrantRecord {
    /// Where the digest of the current refresh token lies in the stored form.
    pub const CURRENT_RANGE: std::ops::Range<usize> = 1..17;
    /// Where the record of the refresh token begins in the stored form.
    pub const RECORD_OFFSET: usize = 54;

    /// Writes the stored form.
    ///
    /// ```text
    /// 0        format: 0 opaque, 1 JWT
    /// 1..17    digest of the current refresh token      17..33  of the one before it, zeros when there is none
    /// 33..49   digest of the access token issued last   49..53  rotated_at, seconds, big-endian
    /// 53       reserved, 0
    /// 54..     the refresh token, as token/codec.rs writes it
    /// ```
    ///
    /// # Errors
    /// [`EncodeError`] as of [`codec::encode`].
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        let record = codec::encode(&self.token)?;
        let mut bytes = Vec::with_capacity(Self::RECORD_OFFSET + record.len());
        bytes.push(u8::from(self.format == TokenFormat::Jwt));
        bytes.extend(self.current.0);
        bytes.extend(self.previous.map_or([0; TokenDigest::BYTES], |digest| digest.0));
        bytes.extend(self.access.0);
        bytes.extend(packed::seconds(self.rotated_at, "rotated_at")?);
        bytes.push(0);
        bytes.extend(record);
        Ok(bytes)
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (head, record) = bytes.split_at_checked(Self::RECORD_OFFSET).ok_or(DecodeError::Damaged)?;
        let digest =
            |at: usize| head[at..at + TokenDigest::BYTES].try_into().map(TokenDigest).expect("cut to its size");
        let previous = digest(17);
        let seconds = u32::from_be_bytes(head[49..53].try_into().expect("cut to its size"));
        Ok(Self {
            format: match head[0] {
                0 => TokenFormat::Opaque,
                1 => TokenFormat::Jwt,
                _ => return Err(DecodeError::Damaged),
            },
            current: digest(1),
            previous: (previous.0 != [0; TokenDigest::BYTES]).then_some(previous),
            access: digest(33),
            rotated_at: UnixSeconds(seconds.into()),
            token: codec::decode(record)?,
        })
    }
}

/// What of a grant is revoked. Nothing, by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GrantMark {
    /// Its access tokens.
    pub access: Option<Cover>,
    /// Its refresh token, with all successors.
    pub refresh: Option<Reason>,
    /// Access tokens that were approved again although `access` covers them.
    pub exempt: Vec<TokenDigest>,
    /// A number that every revocation renews, also one that changes nothing else. An approval replaces the very mark
    /// that it has read; one whose write is late must not find the same mark again once more has been revoked, not
    /// even the same again.
    pub nonce: u64,
}

/// Which access tokens of a grant are revoked, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cover {
    /// Those stamped at or before this moment; [`Cover::ALL`] covers those still to come as well.
    pub until: Stamp,
    /// Why.
    pub reason: Reason,
}

impl Cover {
    /// Every access token of the grant, whenever it is issued: no difference between clocks lets one slip through.
    pub const ALL: Stamp = Stamp(u64::MAX);
}

impl GrantMark {
    /// How many access tokens can be approved one by one while their grant stays revoked.
    pub const MAX_EXEMPT: usize = 32;
    /// Where the reason lies in the stored form for which the refresh token is revoked; 0 when it is not. A store looks
    /// at it in the same step in which it rotates.
    pub const REFRESH_OFFSET: usize = 9;

    /// Whether anything is revoked.
    pub fn is_empty(&self) -> bool {
        self.access.is_none() && self.refresh.is_none()
    }

    /// Whether an access token of the grant is revoked by it.
    pub fn covers(&self, token: TokenDigest, stamp: Stamp) -> bool {
        self.access.is_some_and(|cover| stamp <= cover.until) && !self.exempt.contains(&token)
    }

    /// The same mark after everything of the grant is revoked. A final reason takes the place of one that could be
    /// undone, and never the other way round. What had been exempted is not any longer.
    #[must_use]
    pub fn revoked(&self, reason: Reason) -> Self {
        let access = self.access.map_or(reason, |cover| cover.reason.or(reason));
        Self {
            access: Some(Cover { until: Cover::ALL, reason: access }),
            refresh: Some(self.refresh.map_or(reason, |known| known.or(reason))),
            exempt: Vec::new(),
            nonce: self.nonce,
        }
    }

    /// The same mark with another nonce.
    #[must_use]
    pub fn renewed(self, nonce: u64) -> Self {
        Self { nonce, ..self }
    }

    /// Whether the same is revoked by both, whatever their nonces.
    pub fn revokes_the_same(&self, other: &Self) -> bool {
        self.clone().renewed(other.nonce) == *other
    }

    /// Whether something is revoked, and for good: no approval can change the mark any longer.
    pub fn is_final(&self) -> bool {
        let mut reasons = self.access.map(|cover| cover.reason).into_iter().chain(self.refresh);
        !self.is_empty() && reasons.all(Reason::is_final)
    }

    /// The same mark after the refresh token is revoked; its access tokens stay as they are.
    #[must_use]
    pub fn refresh_revoked(&self, reason: Reason) -> Self {
        Self { refresh: Some(self.refresh.map_or(reason, |known| known.or(reason))), ..self.clone() }
    }

    /// The same mark after everything is approved again.
    ///
    /// # Errors
    /// The final reason that stands in the way; nothing is approved then.
    pub fn approved(&self) -> Result<Self, Reason> {
        self.undoable(true, true)?;
        Ok(Self::default())
    }

    /// The same mark after the refresh token alone is approved again. Access tokens that were issued up to `now` stay
    /// revoked if they were; those that the refresh token is exchanged for are not.
    ///
    /// # Errors
    /// The final reason that stands in the way.
    pub fn refresh_approved(&self, now: Stamp) -> Result<Self, Reason> {
        self.undoable(true, true)?;
        let access = self.access.map(|cover| Cover { until: cover.until.min(now), ..cover });
        Ok(Self { access, refresh: None, ..self.clone() })
    }

    /// The same mark after one access token alone is approved again; the others and the refresh token stay as they are.
    ///
    /// # Errors
    /// The final reason that stands in the way; [`ExemptionError::Full`] when no more can be noted.
    pub fn exempted(&self, token: TokenDigest, stamp: Stamp) -> Result<Self, ExemptionError> {
        if !self.covers(token, stamp) {
            return Ok(self.clone());
        }
        self.undoable(true, false).map_err(ExemptionError::Final)?;
        if self.exempt.len() == Self::MAX_EXEMPT {
            return Err(ExemptionError::Full);
        }
        let mut exempted = self.clone();
        exempted.exempt.push(token);
        Ok(exempted)
    }

    fn undoable(&self, access: bool, refresh: bool) -> Result<(), Reason> {
        let reasons = [self.access.filter(|_| access).map(|cover| cover.reason), self.refresh.filter(|_| refresh)];
        match reasons.into_iter().flatten().find(|reason| reason.is_final()) {
            Some(reason) => Err(reason),
            None => Ok(()),
        }
    }

    /// Writes the stored form.
    ///
    /// ```text
    /// 0..8     until: access tokens stamped at or before it are revoked; big-endian
    /// 8        why they are; 0 when they are not     9   why the refresh token is; 0 when it is not
    /// 10..18   nonce, big-endian
    /// 18..     digests of access tokens that were approved again one by one, 16 bytes each
    /// ```
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(18 + TokenDigest::BYTES * self.exempt.len());
        bytes.extend(self.access.map_or(0, |cover| cover.until.0).to_be_bytes());
        bytes.push(self.access.map_or(0, |cover| cover.reason.to_byte()));
        bytes.push(self.refresh.map_or(0, Reason::to_byte));
        bytes.extend(self.nonce.to_be_bytes());
        for token in &self.exempt {
            bytes.extend(token.0);
        }
        bytes
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// [`DecodeError::Damaged`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (until, rest) = bytes.split_first_chunk().ok_or(DecodeError::Damaged)?;
        let until = Stamp(u64::from_be_bytes(*until));
        let ([access, refresh], rest) = rest.split_first_chunk().ok_or(DecodeError::Damaged)?;
        let (nonce, rest) = rest.split_first_chunk().ok_or(DecodeError::Damaged)?;
        let (exempt, []) = rest.as_chunks::<{ TokenDigest::BYTES }>() else { return Err(DecodeError::Damaged) };
        Ok(Self {
            access: Reason::from_byte(*access).map(|reason| Cover { until, reason }),
            refresh: Reason::from_byte(*refresh),
            exempt: exempt.iter().copied().map(TokenDigest).collect(),
            nonce: u64::from_be_bytes(*nonce),
        })
    }
}

/// Why one access token was not approved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExemptionError {
    /// Its grant was revoked for a reason that is final.
    #[error("the grant was revoked for good")]
    Final(Reason),
    /// Too many were approved one by one: approve the grant instead.
    #[error("{} tokens of the grant have been approved one by one, approve the grant instead", GrantMark::MAX_EXEMPT)]
    Full,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TOKEN: TokenDigest = TokenDigest([7; 16]);
    const STAMP: Stamp = Stamp(500);

    fn any_mark() -> impl Strategy<Value = GrantMark> {
        let cover = (any::<u64>(), 1..=255_u8)
            .prop_map(|(until, reason)| Cover { until: Stamp(until), reason: Reason::from_byte(reason).unwrap() });
        (
            proptest::option::of(cover),
            any::<u8>(),
            proptest::collection::vec(any::<[u8; 16]>().prop_map(TokenDigest), 0..4),
            any::<u64>(),
        )
            .prop_map(|(access, refresh, exempt, nonce)| GrantMark {
                access,
                refresh: Reason::from_byte(refresh),
                exempt,
                nonce,
            })
    }

    proptest! {
        #[test]
        fn every_mark_reads_back(mark in any_mark()) {
            let mark = match mark.access {
                // Without a reason there is nothing for a moment to belong to.
                None => GrantMark { access: None, ..mark },
                Some(_) => mark,
            };
            prop_assert_eq!(GrantMark::decode(&mark.encode()), Ok(mark));
        }

        #[test]
        fn no_bytes_make_reading_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = GrantMark::decode(&bytes);
            let _ = GrantRecord::decode(&bytes);
        }

        #[test]
        fn a_final_reason_is_never_undone(mark in any_mark(), now: u64) {
            let reasons = [mark.access.map(|cover| cover.reason), mark.refresh];
            let is_final = reasons.into_iter().flatten().any(Reason::is_final);
            prop_assert_eq!(mark.approved().is_err(), is_final);
            prop_assert_eq!(mark.refresh_approved(Stamp(now)).is_err(), is_final);
        }

        #[test]
        fn no_approval_changes_a_final_mark(mark in any_mark(), now: u64, token: [u8; 16], stamp: u64) {
            prop_assume!(mark.is_final());
            prop_assert!(mark.approved().is_err());
            prop_assert!(mark.refresh_approved(Stamp(now)).is_err());
            prop_assert!(mark.exempted(TokenDigest(token), Stamp(stamp)).is_ok_and(|after| after == mark)
                || mark.covers(TokenDigest(token), Stamp(stamp)));
        }

        #[test]
        fn a_renewed_mark_revokes_the_same_and_is_not_the_same(mark in any_mark(), nonce: u64) {
            let renewed = mark.clone().renewed(nonce);
            prop_assert!(renewed.revokes_the_same(&mark));
            prop_assert_eq!(renewed.encode() == mark.encode(), nonce == mark.nonce);
            prop_assert!(!renewed.revokes_the_same(&GrantMark::default()) || mark.is_empty() && mark.exempt.is_empty());
        }

        #[test]
        fn revoking_covers_every_token_whatever_was_exempt(mark in any_mark(), token: [u8; 16], stamp: u64) {
            let revoked = mark.revoked(Reason::REQUESTED);
            prop_assert!(revoked.covers(TokenDigest(token), Stamp(stamp)));
            prop_assert!(revoked.refresh.is_some());
        }
    }

    #[test]
    fn of_two_reasons_the_final_one_wins_in_either_order() {
        let nothing = GrantMark::default();
        for (first, second) in [(Reason::REQUESTED, Reason::REUSED), (Reason::REUSED, Reason::REQUESTED)] {
            let mark = nothing.revoked(first).revoked(second);
            assert_eq!(mark.access.unwrap().reason, Reason::REUSED);
            assert_eq!(mark.refresh, Some(Reason::REUSED));
            assert_eq!(nothing.refresh_revoked(first).refresh_revoked(second).refresh, Some(Reason::REUSED));
        }
    }

    #[test]
    fn one_access_token_comes_back_alone_and_a_second_revocation_takes_it_again() {
        let revoked = GrantMark::default().revoked(Reason::REQUESTED);
        let exempted = revoked.exempted(TOKEN, STAMP).unwrap();
        assert!(!exempted.covers(TOKEN, STAMP));
        assert!(exempted.covers(TokenDigest([8; 16]), STAMP));
        assert!(exempted.refresh.is_some());
        assert!(exempted.revoked(Reason::REQUESTED).covers(TOKEN, STAMP));
        let last = (0..32).try_fold(revoked, |mark, number| mark.exempted(TokenDigest([number; 16]), STAMP)).unwrap();
        assert_eq!(last.exempted(TokenDigest([99; 16]), STAMP), Err(ExemptionError::Full));
    }

    #[test]
    fn a_refresh_token_comes_back_alone_and_brings_none_of_the_old_access_tokens() {
        let revoked = GrantMark::default().revoked(Reason::REQUESTED);
        let approved = revoked.refresh_approved(Stamp(900)).unwrap();
        assert_eq!(approved.refresh, None);
        assert!(approved.covers(TOKEN, STAMP));
        assert!(!approved.covers(TOKEN, Stamp(901)), "what it is exchanged for");
        assert_eq!(approved.approved(), Ok(GrantMark::default()));
    }
}
