//! Revocations, and whether they hold.

use serde_json::json;

use super::call::{answered, attempt, is_active, issue, operate};
use super::{APP, Tally, random};
use crate::support::api::Api;

/// A way to end tokens.
#[derive(Clone, Debug)]
enum Way {
    /// The token alone, which belongs to no grant.
    Token,
    /// The whole grant, by its refresh token.
    Grant,
    /// All tokens of a user.
    User(String),
}

/// Tokens that are to end together.
pub(super) struct Ended {
    way: Way,
    tokens: Vec<String>,
    pub(super) acknowledged: bool,
}

impl Ended {
    fn revoke(&self, api: &Api) -> reqwest::RequestBuilder {
        match &self.way {
            Way::User(sub) => operate(api, "/admin/revocations", &json!({"sub": sub})),
            Way::Token | Way::Grant => {
                let form = [("token", self.tokens.last().expect("at least one"))];
                api.request("POST", &api.url("/revoke")).basic_auth(APP.0, Some(APP.1)).form(&form)
            }
        }
    }

    /// They have all ended; or, when that was not acknowledged, all or none, and now they do.
    pub(super) async fn verify(&mut self, api: &Api, tally: &mut Tally) {
        let mut alive = 0;
        for token in &self.tokens {
            alive += usize::from(is_active(api, token).await);
            tally.comparisons += 1;
        }
        if self.acknowledged {
            assert_eq!(alive, 0, "a revocation that was acknowledged is lost: {:?}", self.way);
            return;
        }
        assert!(alive == 0 || alive == self.tokens.len(), "half revoked: {:?}", self.way);
        tally.revoking_under_way += 1;
        tally.revoking_under_way_and_done += u64::from(alive == 0);
        let answer = answered(async || api.send(self.revoke(api)).await).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        for token in &self.tokens {
            assert!(!is_active(api, token).await);
        }
        self.acknowledged = true;
        tally.revocations += 1;
    }
}

/// Issues tokens and revokes them until an answer fails to come.
pub(super) async fn revoke_until_killed(api: Api) -> Vec<Ended> {
    let mut all = Vec::new();
    loop {
        let (way, members) = match random(3) {
            0 => (Way::Token, json!({})),
            1 => (Way::Grant, json!({"refresh": true})),
            _ => {
                let sub = format!("user {}", random(u64::MAX));
                (Way::User(sub.clone()), json!({"refresh": true, "sub": sub}))
            }
        };
        let Some((status, issued)) = attempt(issue(&api, &members)).await else { return all };
        assert_eq!(status, 201, "{issued}");
        let tokens = ["access_token", "refresh_token"].map(|name| issued[name].as_str().map(str::to_owned));
        let tokens = tokens.into_iter().flatten().collect();
        let mut ended = Ended { way, tokens, acknowledged: false };
        let answer = attempt(ended.revoke(&api)).await;
        assert!(answer.as_ref().is_none_or(|(status, _)| *status == 200), "{answer:?}");
        ended.acknowledged = answer.is_some();
        all.push(ended);
        if answer.is_none() {
            return all;
        }
    }
}
