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
        grant: GrantMark { access: None, refresh: None, exempt: Vec::new() },
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
/// That a refresh token is the current one of its grant is for the caller to have checked: it is the only one that has a
/// record.
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
    use super::super::claims::Claims;
    use super::super::digest::GrantId;
    use super::super::epoch::Epoch;
    use super::super::grant::Cover;
    use super::super::record::Grant;
    use super::super::scope::Scope;
    use super::super::time::Stamp;
    use super::*;

    const NOW: UnixSeconds = UnixSeconds(1_000);

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

    /// Every combination of what can end a token: active exactly when nothing does.
    #[test]
    fn active_only_when_nothing_stands_in_the_way() {
        let standings = [Standing::Approved, Standing::Revoked];
        let mut active = 0;
        for state in [State::Approved, State::Revoked(Reason::REQUESTED)] {
            for expires_at in [999, 1_000, 1_001] {
                for not_before in [None, Some(999), Some(1_000), Some(1_001)] {
                    for client in standings {
                        for user in standings {
                            for grant in standings {
                                for epoch in [None, Some(499_999), Some(500_000), Some(500_001)] {
                                    let token = Record {
                                        state,
                                        expires_at: UnixSeconds(expires_at),
                                        not_before: not_before.map(UnixSeconds),
                                        ..record()
                                    };
                                    let parents = Parents { client, user, grant, epoch: epoch.map(Stamp) };
                                    let expected = state == State::Approved
                                        && expires_at > 1_000
                                        && not_before.is_none_or(|second| second <= 1_000)
                                        && [client, user, grant] == [Standing::Approved; 3]
                                        && epoch.is_none_or(|stamp| stamp < 500_000);
                                    assert_eq!(
                                        decide(&token, &parents, NOW).is_ok(),
                                        expected,
                                        "{token:?} {parents:?}"
                                    );
                                    active += usize::from(expected);
                                }
                            }
                        }
                    }
                }
            }
        }
        assert_eq!(active, 3 * 2, "three harmless nbf, two harmless epochs, and one of everything else");
    }

    /// RFC 7662 section 2.2: the current time must be before `exp`; no leeway.
    #[test]
    fn rfc7662_2_2_expiry_boundary() {
        let token = Record { expires_at: UnixSeconds(100), ..record() };
        assert_eq!(decide(&token, &Parents::APPROVED, UnixSeconds(99)), Ok(()));
        assert_eq!(decide(&token, &Parents::APPROVED, UnixSeconds(100)), Err(Inactive::Expired));
    }
}
