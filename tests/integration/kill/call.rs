//! Requests that may be cut off, and answers of a service that is coming up.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::time::sleep;

use super::APP;
use crate::support::PATIENCE;
use crate::support::api::{Answer, Api};
use crate::support::node::{AUDIENCE, OPERATOR};

/// The answer to a request that may be cut off; `None` when it cannot be said whether it was done.
pub(super) async fn attempt(request: reqwest::RequestBuilder) -> Option<(u16, Value)> {
    let response = request.send().await.ok()?;
    let status = response.status().as_u16();
    let body = response.bytes().await.ok()?;
    (status != 503).then(|| (status, serde_json::from_slice(&body).unwrap_or(Value::Null)))
}

/// The first answer of a service that is coming up.
pub(super) async fn answered(call: impl AsyncFn() -> Answer) -> Answer {
    let begun = Instant::now();
    loop {
        let answer = call().await;
        if answer.status != 503 {
            return answer;
        }
        assert!(begun.elapsed() < PATIENCE, "it does not come up: {answer:?}");
        sleep(Duration::from_millis(10)).await;
    }
}

pub(super) async fn is_active(api: &Api, token: &str) -> bool {
    let answer = answered(async || api.introspect(APP, token).await).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["active"].as_bool().unwrap()
}

pub(super) fn refresh(api: &Api, token: &str) -> reqwest::RequestBuilder {
    let form = [("grant_type", "refresh_token"), ("refresh_token", token)];
    api.request("POST", &api.url("/token")).basic_auth(APP.0, Some(APP.1)).form(&form)
}

pub(super) fn operate(api: &Api, path: &str, body: &Value) -> reqwest::RequestBuilder {
    let request = api.request("POST", &api.admin_url(path)).basic_auth(OPERATOR.0, Some(OPERATOR.1));
    request.header("content-type", "application/json").body(body.to_string())
}

pub(super) fn issue(api: &Api, members: &Value) -> reqwest::RequestBuilder {
    let mut body = json!({"client_id": APP.0, "scope": "read write", "aud": AUDIENCE});
    body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    operate(api, "/admin/tokens", &body)
}
