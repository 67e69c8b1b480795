//! Grants that are refreshed, and what became of a refresh that nobody was told the end of.

use introspectd::token::digest::{GrantId, TokenDigest};
use introspectd::token::value::Presented;
use serde_json::json;

use super::call::{answered, attempt, is_active, issue, refresh};
use super::site::Site;
use super::{Tally, digest, key_ring};
use crate::support::api::Api;
use crate::support::eventually;
use crate::support::life::{Pair, expect_invalid_grant};

/// A grant, as its client knows it.
pub(super) struct Family {
    pub(super) id: GrantId,
    /// The refresh token that was acknowledged last.
    current: String,
    /// The one before it.
    spent: Option<String>,
    /// The access token that was acknowledged last.
    access: String,
    /// Every access token that anybody knows of.
    pub(super) accesses: Vec<TokenDigest>,
    /// Whether `current` was sent, and no answer came.
    under_way: bool,
}

impl Family {
    pub(super) async fn issue(api: &Api) -> Self {
        let issued = api.send(issue(api, &json!({"refresh": true}))).await.json();
        let pair = Pair::of(&issued);
        let id = GrantId::from_text(issued["grant_id"].as_str().unwrap()).unwrap();
        let accesses = vec![digest(&pair.access)];
        Self { id, current: pair.refresh, spent: None, access: pair.access, accesses, under_way: false }
    }

    /// The refresh token that takes the place of the current one.
    fn successor(&self) -> (String, TokenDigest) {
        let (value, digest) = key_ring().successor(Presented::new(&self.current), self.id);
        (value.expose().to_owned(), digest)
    }

    fn advance(&mut self, pair: Pair) {
        assert_eq!(pair.refresh, self.successor().0, "there is one successor");
        self.spent = Some(std::mem::replace(&mut self.current, pair.refresh));
        self.accesses.push(digest(&pair.access));
        self.access = pair.access;
    }

    /// Refreshes until an answer fails to come; with how often one came.
    pub(super) async fn refresh_until_killed(mut self, api: Api) -> (Self, u64) {
        let mut acknowledged = 0;
        while let Some((status, body)) = attempt(refresh(&api, &self.current)).await {
            assert_eq!(status, 200, "the refresh token acknowledged last does not work: {body}");
            self.advance(Pair::of(&body));
            acknowledged += 1;
        }
        self.under_way = true;
        (self, acknowledged)
    }

    /// Whether the current refresh token works and its successor does not, or the other way round.
    async fn has_gone_on(&self, api: &Api, tally: &mut Tally) -> bool {
        assert!(is_active(api, &self.access).await, "an access token that was acknowledged is lost");
        if let Some(spent) = &self.spent {
            assert!(!is_active(api, spent).await, "a refresh token works whose successor was acknowledged");
        }
        let alive = (is_active(api, &self.current).await, is_active(api, &self.successor().0).await);
        tally.comparisons += 4;
        match alive {
            (true, false) => false,
            (false, true) if self.under_way => true,
            _ => panic!("under way: {}; the refresh token and its successor: {alive:?}", self.under_way),
        }
    }

    pub(super) async fn ask_again(&mut self, api: &Api, tally: &mut Tally) {
        let gone_on = self.has_gone_on(api, tally).await;
        tally.under_way += 1;
        tally.under_way_and_done += u64::from(gone_on);
        let answer = answered(async || api.send(refresh(api, &self.current)).await).await;
        assert_eq!(answer.status, 200, "neither works: {answer:?}");
        self.advance(Pair::of(&answer.json()));
        self.under_way = false;
        assert!(!self.has_gone_on(api, tally).await);
    }

    pub(super) async fn look_up(&mut self, site: &Site, tally: &mut Tally) {
        let gone_on = self.has_gone_on(&site.api(), tally).await;
        let store = site.redis.store().await;
        eventually("the store is there", async || store.probe().await.is_ok()).await;
        let kept = store.grant(self.id).await.unwrap().expect("a grant is lost");
        let (successor, successor_digest) = self.successor();
        assert_eq!(kept.current, if gone_on { successor_digest } else { digest(&self.current) });
        // No refresh token works whose access token is not there.
        assert!(store.token(&[kept.access]).await.unwrap().is_some(), "half of a rotation is lost");
        tally.under_way += 1;
        if gone_on {
            tally.under_way_and_done += 1;
            self.spent = Some(std::mem::replace(&mut self.current, successor));
            self.accesses.push(kept.access);
        }
        self.under_way = false;
    }

    /// What was spent is known as such whatever happened since.
    pub(super) async fn ends_when_used_twice(&self, api: &Api) {
        assert!(is_active(api, &self.current).await);
        let spent = self.spent.as_ref().expect("it was refreshed");
        expect_invalid_grant(&answered(async || api.send(refresh(api, spent)).await).await);
        for token in [&self.current, &self.access] {
            assert!(!is_active(api, token).await);
        }
    }
}
