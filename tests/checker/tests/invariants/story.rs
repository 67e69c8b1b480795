//! Histories told in few words: numbers are moments, `10..20` is a request from one to the other.

use std::ops::Range;

use checker::history::event::{Answer, Change, Introspect, Issue, Keys, Outcome, Owner, Target};
use checker::history::fault::Fault;
use checker::history::mode::{Acknowledge, Durability, Mode};
use checker::history::{Event, Moment};
use checker::verdict::Invariant;
use checker::{History, Verdict};

/// The lease of every story.
pub(crate) const LEASE: u64 = 100;
/// For how long after a fault 503 is excused.
pub(crate) const GRACE: u64 = 50;
/// When tokens expire.
pub(crate) const EXPIRES: Moment = 100_000;

/// A history in the making.
pub(crate) struct Story(History);

impl Story {
    /// Two nodes that wait until revocations are visible, and survive failovers.
    pub(crate) fn new() -> Self {
        let mode = Mode {
            acknowledge: Acknowledge::Visible,
            durability: Durability::Replay,
            lease: LEASE,
            nodes: 2,
            grace: GRACE,
            approved_within: 0,
        };
        Self(History { mode, events: Vec::new() })
    }

    /// The same with the token `t` of the client `app` for `ada` in the grant `g`, issued from 10 to 20.
    pub(crate) fn with_token() -> Self {
        Self::new().issue("t", 10..20)
    }

    pub(crate) fn mode(mut self, change: impl FnOnce(&mut Mode)) -> Self {
        change(&mut self.0.mode);
        self
    }

    pub(crate) fn event(mut self, event: Event) -> Self {
        self.0.events.push(event);
        self
    }

    pub(crate) fn issue(self, token: &str, span: Range<Moment>) -> Self {
        self.issue_in(token, &format!("g{token}"), span)
    }

    pub(crate) fn issue_in(self, token: &str, grant: &str, span: Range<Moment>) -> Self {
        self.event(Event::Issue(Issue {
            begin: span.start,
            end: span.end,
            node: 0,
            token: token.into(),
            client: "app".into(),
            grant: Some(grant.into()),
            user: Some("ada".into()),
            expires: EXPIRES,
            outcome: Outcome::Done,
        }))
    }

    pub(crate) fn ask(self, node: u16, span: Range<Moment>, token: &str, answer: Answer) -> Self {
        let (begin, end, token) = (span.start, span.end, token.into());
        self.event(Event::Introspect(Introspect { begin, end, node, token, answer }))
    }

    pub(crate) fn active(self, node: u16, span: Range<Moment>) -> Self {
        self.ask(node, span, "t", Answer::Active)
    }

    pub(crate) fn inactive(self, node: u16, span: Range<Moment>) -> Self {
        self.ask(node, span, "t", Answer::Inactive)
    }

    pub(crate) fn refused(self, node: u16, span: Range<Moment>) -> Self {
        self.ask(node, span, "t", Answer::Unavailable)
    }

    pub(crate) fn revoke(self, target: Target, span: Range<Moment>, outcome: Outcome) -> Self {
        self.event(Event::Revoke(change(target, span, outcome)))
    }

    pub(crate) fn approve(self, target: Target, span: Range<Moment>, outcome: Outcome) -> Self {
        self.event(Event::Approve(change(target, span, outcome)))
    }

    pub(crate) fn fault(self, fault: Fault) -> Self {
        self.event(Event::Fault(Fault { fault: "kill".into(), ..fault }))
    }

    pub(crate) fn keys(self, token: &str, shards: &[u8]) -> Self {
        self.event(Event::Keys(Keys { token: token.into(), shards: shards.into() }))
    }

    pub(crate) fn verdict(&self) -> Verdict {
        checker::judge(&self.0).unwrap()
    }

    pub(crate) fn into_history(self) -> History {
        self.0
    }

    /// Expects exactly this to be broken, once.
    #[track_caller]
    pub(crate) fn breaks(self, invariant: Invariant) {
        let verdict = self.verdict();
        assert_eq!(verdict.broken.into_iter().collect::<Vec<_>>(), [(invariant, 1)], "{:#?}", verdict.violations);
        assert_eq!(verdict.violations.len(), 1);
        assert!(!verdict.violations[0].events.is_empty());
    }

    /// Expects nothing to be broken.
    #[track_caller]
    pub(crate) fn holds(self) {
        let verdict = self.verdict();
        assert!(verdict.holds(), "{:#?}", verdict.violations);
    }
}

fn change(target: Target, span: Range<Moment>, outcome: Outcome) -> Change {
    Change { begin: span.start, end: span.end, node: 0, targets: vec![target], outcome }
}

/// The token of most stories.
pub(crate) fn token() -> Target {
    Target::Token("t".into())
}

/// Whose tokens a bulk revocation covers.
pub(crate) fn issued(client: Option<&str>, user: Option<&str>) -> Target {
    Target::Issued(Owner { client: client.map(Into::into), user: user.map(Into::into) })
}
