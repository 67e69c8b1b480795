//! The one rule that says whether a token is active: a pure function, asked by everybody, on every way out.
//!
//! Active if and only if `nbf <= now < exp`, the token is approved, its grant is approved, its client is approved, its
//! user is enabled, and its origin is later than every epoch that covers it.

use super::digest::TokenDigest;
use super::epoch::Epochs;
use super::grant::GrantMark;
use super::record::{Reason, Record, State};
use super::time::UnixSeconds;
use super::value::TokenKind;

/// What surrounds a token and can end it: read together with the record, never remembered from before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parents {
    /// The client it was issued to.
    pub client: Standing,
    /// The user it speaks for; approved when it speaks for none.
    pub user: Standing,
    /// What of its grant is revoked; nothing when it belongs to none.
    pub grant: GrantMark,
    /// The epochs that may cover it.
    pub epochs: Epochs,
}

impl Parents {
    /// Parents of which none stands in the way.
    pub const APPROVED: Self = Self {
        client: Standing::Approved,
        user: Standing::Approved,
        grant: GrantMark { access: None, refresh: None, exempt: Vec::new(), nonce: 0 },
        epochs: Epochs { issuer: None, client: None, user: None, client_user: None, key: None },
    };
}

/// Whether a parent lets its tokens live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It does.
    Approved,
    /// It was revoked, disabled or deleted.
    Revoked,
}

/// Why a token is not active. For counters and for operators, never for the caller, to whom all reasons look alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Inactive {
    /// Not of a form that could be a token of ours.
    Malformed,
    /// No record.
    Unknown,
    /// `exp` is now or past.
    Expired,
    /// `nbf` is in the future.
    NotYetValid,
    /// The token itself is revoked.
    Revoked,
    /// A refresh token that has been exchanged for another.
    Spent,
    /// Its grant, client or user is revoked, disabled or gone, or an epoch covers it.
    ParentRevoked,
    /// This caller may not see it.
    NotForCaller,
    /// It lacks the scope or the audience that the caller asked for.
    Insufficient,
}

/// Decides whether a token is active at `now`.
///
/// That a refresh token is the current one of its grant is for the caller to have checked: it is the only one that has
/// a record.
///
/// # Errors
/// The first reason that it is not, in the order of [`Inactive`].
pub fn decide(token: TokenDigest, record: &Record, parents: &Parents, now: UnixSeconds) -> Result<(), Inactive> {
    if record.expires_at <= now {
        return Err(Inactive::Expired);
    }
    if record.not_before.is_some_and(|not_before| now < not_before) {
        return Err(Inactive::NotYetValid);
    }
    if record.state != State::Approved {
        return Err(Inactive::Revoked);
    }
    let by_grant = match record.kind {
        TokenKind::Access => parents.grant.covers(token, record.stamp),
        TokenKind::Refresh => parents.grant.refresh.is_some(),
    };
    let standings = [parents.client, parents.user];
    if by_grant || standings.contains(&Standing::Revoked) || parents.epochs.covering(record.origin()).is_some() {
        return Err(Inactive::ParentRevoked);
    }
    Ok(())
}

/// What stands in the way of approving a token again, for good: `None` when nothing does.
///
/// Its own state and the mark of its grant are left out: those are what approving changes, and their stores compare the
/// reason themselves.
pub fn final_reason(record: &Record, parents: &Parents) -> Option<FinalReason> {
    if [parents.client, parents.user].contains(&Standing::Revoked) {
        return Some(FinalReason::Parent);
    }
    parents.epochs.covering(record.origin()).map(|epoch| FinalReason::Reason(epoch.reason))
}

/// Why a token can never be approved again, or not before something else is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FinalReason {
    /// It was revoked for this reason.
    Reason(Reason),
    /// It is a refresh token that has been exchanged for another.
    Spent,
    /// Its client or user is revoked, disabled or gone.
    Parent,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::claims::Claims;
    use super::super::digest::GrantId;
    use super::super::epoch::Epoch;
    use super::super::grant::Cover;
    use super::super::record::Grant;
    use super::super::scope::Scope;
    use super::super::time::Stamp;
    use super::*;

    const NOW: UnixSeconds = UnixSeconds(1_000);
    const TOKEN: TokenDigest = TokenDigest([7; 16]);

    fn record() -> Record {
        Record {
            state: State::Approved,
            stamp: Stamp(500_000),
            owner_created: Stamp(0),
            kind: TokenKind::Access,
            issued_at: UnixSeconds(500),
            not_before: None,
            expires_at: UnixSeconds(1_001),
            client_id: "app".into(),
            subject: None,
            username: None,
            scope: Scope::default(),
            audience: vec![],
            grant: None,
            claims: Claims::default(),
        }
    }

    fn epoch(until: u64) -> Epoch {
        Epoch { until: Stamp(until), reason: Reason::BULK }
    }

    /// What can be wrong with a mark for one kind of token, and what cannot.
    fn marks() -> [(GrantMark, bool, bool); 8] {
        let mark = |until: Option<u64>, refresh: bool, exempt: Vec<TokenDigest>| GrantMark {
            access: until.map(|until| Cover { until: Stamp(until), reason: Reason::REQUESTED }),
            refresh: refresh.then_some(Reason::REQUESTED),
            exempt,
            nonce: 0,
        };
        let other = TokenDigest([8; 16]);
        // The mark, whether it ends the access token, whether it ends the refresh token.
        [
            (mark(None, false, vec![]), false, false),
            (mark(None, true, vec![]), false, true),
            (mark(Some(u64::MAX), true, vec![]), true, true),
            (mark(Some(u64::MAX), true, vec![other]), true, true),
            (mark(Some(u64::MAX), true, vec![other, TOKEN]), false, true),
            (mark(Some(500_000), false, vec![]), true, false),
            (mark(Some(499_999), false, vec![]), false, false),
            (mark(Some(500_001), true, vec![]), true, true),
        ]
    }

    /// No epoch, and each of the five alone: before the token, in its moment, and after it; and whether it ends the
    /// token.
    fn epochs() -> Vec<(Epochs, bool)> {
        let axes: [fn(&mut Epochs) -> &mut Option<Epoch>; 5] = [
            |epochs| &mut epochs.issuer,
            |epochs| &mut epochs.client,
            |epochs| &mut epochs.user,
            |epochs| &mut epochs.client_user,
            |epochs| &mut epochs.key,
        ];
        let mut all = vec![(Epochs::default(), false)];
        for axis in axes {
            for (until, ends) in [(499_999, false), (500_000, true), (500_001, true)] {
                let mut epochs = Epochs::default();
                *axis(&mut epochs) = Some(epoch(until));
                all.push((epochs, ends));
            }
        }
        all
    }

    /// Approved and revoked, expired and not, and every parent: each combination, and active exactly when nothing
    /// stands in the way.
    #[test]
    fn the_table_of_states() {
        let standings = [Standing::Approved, Standing::Revoked];
        let mut active = 0;
        for kind in [TokenKind::Access, TokenKind::Refresh] {
            for state in [State::Approved, State::Revoked(Reason::REQUESTED), State::Revoked(Reason::BULK)] {
                for expires_at in [999, 1_000, 1_001] {
                    for not_before in [None, Some(999), Some(1_000), Some(1_001)] {
                        for client in standings {
                            for user in standings {
                                for (grant, ends_access, ends_refresh) in marks() {
                                    for (epochs, ended) in epochs() {
                                        let token = Record {
                                            kind,
                                            state,
                                            expires_at: UnixSeconds(expires_at),
                                            not_before: not_before.map(UnixSeconds),
                                            ..record()
                                        };
                                        let parents = Parents { client, user, grant: grant.clone(), epochs };
                                        let by_grant = match kind {
                                            TokenKind::Access => ends_access,
                                            TokenKind::Refresh => ends_refresh,
                                        };
                                        let expected = state == State::Approved
                                            && expires_at > 1_000
                                            && not_before.is_none_or(|second| second <= 1_000)
                                            && [client, user] == [Standing::Approved; 2]
                                            && !by_grant
                                            && !ended;
                                        let decided = decide(TOKEN, &token, &parents, NOW);
                                        assert_eq!(decided.is_ok(), expected, "{token:?} {parents:?}");
                                        active += usize::from(expected);
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
        // Three harmless nbf, six harmless epochs, four harmless marks for each kind, and one of everything else.
        assert_eq!(active, 2 * 3 * 6 * 4 - 3 * 6, "one mark fewer spares the refresh token");
    }

    /// RFC 7662 section 2.2: the current time must be before `exp`; no leeway.
    #[test]
    fn rfc7662_2_2_expiry_boundary() {
        let token = Record { expires_at: UnixSeconds(100), ..record() };
        assert_eq!(decide(TOKEN, &token, &Parents::APPROVED, UnixSeconds(99)), Ok(()));
        assert_eq!(decide(TOKEN, &token, &Parents::APPROVED, UnixSeconds(100)), Err(Inactive::Expired));
    }

    /// A token that a refresh token was exchanged for is as old as its grant: an epoch between the two covers it.
    #[test]
    fn a_refresh_in_the_moment_of_a_bulk_revocation_escapes_nothing() {
        let born = |born| Grant { id: GrantId([1; 16]), expires_at: UnixSeconds(2_000), born: Stamp(born) };
        let parents =
            Parents { epochs: Epochs { client: Some(epoch(600_000)), ..Epochs::default() }, ..Parents::APPROVED };
        let refreshed = Record { stamp: Stamp(700_000), grant: Some(born(500_000)), ..record() };
        assert_eq!(decide(TOKEN, &refreshed, &parents, NOW), Err(Inactive::ParentRevoked));
        let issued_later = Record { stamp: Stamp(700_000), grant: Some(born(0)), ..record() };
        assert_eq!(decide(TOKEN, &issued_later, &parents, NOW), Ok(()));
    }

    /// The latest of all epochs decides, whichever it is: the fault of CVE-2026-8922 and CVE-2026-18218 was to ask one
    /// of them only, or only the first that is set.
    fn any_epochs() -> impl Strategy<Value = [Option<u64>; 5]> {
        proptest::array::uniform5(proptest::option::of(0..6_u64))
    }

    proptest! {
        #[test]
        fn the_latest_epoch_decides_over_all_combinations(
            stamps in any_epochs(),
            grant in proptest::option::of(0..6_u64),
            origin in 0..6_u64,
        ) {
            let [issuer, client, user, client_user, key] = stamps.map(|until| until.map(epoch));
            let mark = GrantMark {
                access: grant.map(|until| Cover { until: Stamp(until), reason: Reason::REQUESTED }),
                ..GrantMark::default()
            };
            let parents =
                Parents { epochs: Epochs { issuer, client, user, client_user, key }, grant: mark, ..Parents::APPROVED };
            let latest = stamps.into_iter().chain([grant]).flatten().max();
            let token = Record { stamp: Stamp(origin), ..record() };
            let expected = latest.is_none_or(|latest| origin > latest);
            prop_assert_eq!(decide(TOKEN, &token, &parents, NOW).is_ok(), expected);
        }
    }

    #[test]
    fn what_is_final_is_found_whatever_else_is() {
        assert_eq!(final_reason(&record(), &Parents::APPROVED), None);
        let covered =
            Parents { epochs: Epochs { issuer: Some(epoch(500_000)), ..Epochs::default() }, ..Parents::APPROVED };
        assert_eq!(final_reason(&record(), &covered), Some(FinalReason::Reason(Reason::BULK)));
        let revoked = Parents { client: Standing::Revoked, ..Parents::APPROVED };
        assert_eq!(final_reason(&record(), &revoked), Some(FinalReason::Parent));
    }
}
