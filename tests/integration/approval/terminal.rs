//! What never comes back (rules 6 and 7).

use std::time::Duration;

use introspectd::token::grant::TokenFormat;
use serde_json::{Value, json};

use super::{Named, with};
use crate::support::life::expect_invalid_grant;
use crate::support::node::{Kind, Node, OPERATOR};

over_both_stores_and_forms! {
    rule_6_what_has_expired_is_not_there
    rule_6_a_grant_is_there_as_long_as_its_family
    rule_6_what_is_not_there_cannot_be_approved
    rule_7_a_family_that_was_reused_stays_dead
    rule_7_a_spent_refresh_token_stays_spent
    rule_7_only_reuse_is_final
    rule_7_reuse_is_final_though_the_grant_was_revoked_on_request
    rule_7_tokens_of_a_deleted_client_stay_dead
    rule_7_tokens_of_a_revoked_client_wait_for_it
    rule_7_what_was_revoked_in_bulk_stays_revoked
}

const REUSED: &str = r#"introspect_refreshes_total{result="reused"}"#;

/// Approving this is refused in every way, for a reason that is said, and changes nothing.
async fn expect_final(node: &Node, name: &Value, said: &str) {
    for cascade in [true, false] {
        let answer = node.ask_operator("/admin/tokens/approve", with(name, "cascade", cascade)).await;
        assert_eq!(answer.refusal(), (409, "invalid_request".into()), "{name}: {}", answer.body);
        assert!(answer.body.contains(said), "{said}: {}", answer.body);
    }
}

async fn rule_7_a_spent_refresh_token_stays_spent(kind: Kind, form: TokenFormat) {
    let node = Node::start_still(kind, &[]).await;
    let app = node.refresher_of(form).await;
    let named = Named::issue(&node, &app).await;
    let next = node.rotate(&app, &named.pair.refresh).await;
    for revoked in [false, true] {
        if revoked {
            assert!(node.decide("revoke", json!({"token": next.refresh})).await);
        }
        for name in &named.refresh()[..2] {
            expect_final(&node, name, "exchanged for another").await;
        }
        assert_eq!(
            node.alive(&app, [&named.pair.access, &next.access, &named.pair.refresh, &next.refresh]).await,
            [!revoked, !revoked, false, !revoked]
        );
    }
    // The grant is named by its id whichever of its refresh tokens is the current one.
    assert!(node.decide("approve", named.refresh()[2].clone()).await);
    assert_eq!(node.alive(&app, [&named.pair.refresh, &next.refresh]).await, [false, true]);
}

async fn rule_7_a_family_that_was_reused_stays_dead(kind: Kind, form: TokenFormat) {
    let node = Node::start_still(kind, &[]).await;
    let app = node.refresher_of(form).await;
    let named = Named::issue(&node, &app).await;
    let next = node.rotate(&app, &named.pair.refresh).await;
    expect_invalid_grant(&node.refresh(&app, &named.pair.refresh).await);
    // Revoking it once more on request makes its end no less final.
    for _ in 0..2 {
        for name in [
            &named.access()[0],
            &named.access()[1],
            &named.refresh()[2],
            &json!({"token": next.access}),
            &json!({"token": next.refresh}),
        ] {
            expect_final(&node, name, "reused").await;
        }
        assert_eq!(node.alive(&app, [&named.pair.access, &next.access, &next.refresh]).await, [false; 3]);
        for body in [named.refresh()[2].clone(), json!({"token": next.access, "cascade": false})] {
            node.decide("revoke", body).await;
        }
    }
}

/// A theft is seen though nothing works any longer: approval must not give the thief's family back.
async fn rule_7_reuse_is_final_though_the_grant_was_revoked_on_request(kind: Kind, form: TokenFormat) {
    let node = Node::start_still(kind, &[]).await;
    let app = node.refresher_of(form).await;
    for cascade in [true, false] {
        let named = Named::issue(&node, &app).await;
        let next = node.rotate(&app, &named.pair.refresh).await;
        // An access token that is exempted before is none of the exceptions.
        assert!(node.decide("revoke", with(&named.refresh()[2], "cascade", cascade)).await);
        node.decide("approve", json!({"token": next.access, "cascade": false})).await;
        assert_eq!(node.alive(&app, [&named.pair.access, &next.access, &next.refresh]).await, [!cascade, true, false]);
        let reuses = node.counter(REUSED).await;
        for _ in 0..2 {
            expect_invalid_grant(&node.refresh(&app, &named.pair.refresh).await);
            assert_eq!(node.counter(REUSED).await, reuses + 1, "each family is stolen once");
            expect_final(&node, &named.refresh()[2], "reused").await;
            assert_eq!(node.alive(&app, [&named.pair.access, &next.access, &next.refresh]).await, [false; 3]);
        }
    }
}

/// Neither the refresh token that was revoked itself, nor one that another client sends, nor one within its time of
/// grace.
async fn rule_7_only_reuse_is_final(kind: Kind, form: TokenFormat) {
    let node = Node::start_still(kind, &[("tokens.refresh_grace", "10s")]).await;
    let (app, other) = (node.refresher_of(form).await, node.refresher_of(form).await);
    let named = Named::issue(&node, &app).await;
    let next = node.rotate(&app, &named.pair.refresh).await;
    assert!(node.decide("revoke", named.refresh()[2].clone()).await);
    expect_invalid_grant(&node.refresh(&app, &named.pair.refresh).await);
    expect_invalid_grant(&node.refresh(&app, &next.refresh).await);
    node.pass(Duration::from_secs(10)).await;
    expect_invalid_grant(&node.refresh(&other, &named.pair.refresh).await);
    assert_eq!(node.counter(REUSED).await, 0);
    assert!(node.decide("approve", named.refresh()[2].clone()).await);
    assert_eq!(node.alive(&app, [&named.pair.access, &next.access, &next.refresh]).await, [true; 3]);
}

async fn rule_7_what_was_revoked_in_bulk_stays_revoked(kind: Kind, form: TokenFormat) {
    let node = Node::start_still(kind, &[]).await;
    let app = node.refresher_of(form).await;
    for axis in [
        json!({"client_id": app.id}),
        json!({"sub": "alice"}),
        json!({"client_id": app.id, "sub": "alice"}),
        json!({"all": true}),
    ] {
        let named = Named::issue(&node, &app).await;
        let before = Named::issue(&node, &app).await;
        assert!(node.decide("revoke", before.refresh()[2].clone()).await);
        node.operate("POST", "/admin/revocations", Some(axis.clone())).await;
        for named in [&named, &before] {
            for name in named.access().iter().chain(&named.refresh()) {
                expect_final(&node, name, "bulk").await;
            }
            assert_eq!(named.alive(&node, &app).await, [false, false], "{axis}");
            // Nor is it final because it was revoked one by one, or the other way round.
            node.decide("revoke", named.refresh()[2].clone()).await;
            expect_final(&node, &named.access()[0], "bulk").await;
        }
    }
}

async fn rule_7_tokens_of_a_revoked_client_wait_for_it(kind: Kind, form: TokenFormat) {
    let node = Node::start_still(kind, &[]).await;
    let (app, server) = (node.refresher_of(form).await, node.resource_server().await);
    let named = Named::issue(&node, &app).await;
    assert!(node.decide("revoke", named.access()[0].clone()).await);
    node.operate("POST", &format!("/admin/clients/{}/revoke", app.id), None).await;
    for name in named.access().iter().chain(&named.refresh()) {
        expect_final(&node, name, "approve that first").await;
    }
    node.operate("POST", &format!("/admin/clients/{}/approve", app.id), None).await;
    assert!(!node.api.is_active(server.pair(), &named.pair.access).await, "it is as it was");
    assert!(node.decide("approve", named.access()[0].clone()).await);
    assert_eq!(named.alive(&node, &app).await, [true, true]);
}

async fn rule_7_tokens_of_a_deleted_client_stay_dead(kind: Kind, form: TokenFormat) {
    let node = Node::start_still(kind, &[]).await;
    let mut metadata = crate::support::life::refreshing();
    metadata["access_token_format"] = json!(form);
    metadata["client_id"] = json!("phoenix");
    let first = node.client(metadata.clone()).await;
    let named = Named::issue(&node, &first).await;
    assert!(node.decide("revoke", named.access()[0].clone()).await);
    node.operate("DELETE", "/admin/clients/phoenix", None).await;
    for recreated in [false, true] {
        if recreated {
            node.client(metadata.clone()).await;
        }
        for name in named.access().iter().chain(&named.refresh()) {
            expect_final(&node, name, "client").await;
        }
    }
    assert!(!node.api.is_active(OPERATOR, &named.pair.access).await);
}

async fn rule_6_what_has_expired_is_not_there(kind: Kind, form: TokenFormat) {
    let node = Node::start_still(kind, &[]).await;
    let app = node.refresher_of(form).await;
    let named = Named::issue(&node, &app).await;
    let revoked = Named::issue(&node, &app).await;
    let alone = node.issue(&app, json!({"expires_in": 60})).await;
    assert!(node.decide("revoke", revoked.refresh()[2].clone()).await);
    assert!(node.decide("revoke", json!({"jti": alone["jti"]})).await);
    node.pass(Duration::from_mins(15)).await;
    for name in named.access().into_iter().chain(revoked.access()).chain([json!({"jti": alone["jti"]})]) {
        for cascade in [true, false] {
            let answer = node.ask_operator("/admin/tokens/approve", with(&name, "cascade", cascade)).await;
            assert_eq!(answer.refusal(), (404, "not_found".into()), "{name}");
        }
    }
    // The refresh token has not expired, and comes back without its access token.
    assert!(node.decide("approve", revoked.refresh()[2].clone()).await);
    assert_eq!(revoked.alive(&node, &app).await, [false, true]);
    node.pass(Duration::from_hours(30 * 24)).await;
    for name in named.refresh().into_iter().chain(revoked.refresh()) {
        let answer = node.ask_operator("/admin/tokens/approve", name.clone()).await;
        assert_eq!(answer.refusal(), (404, "not_found".into()), "{name}");
    }
}

async fn rule_6_what_is_not_there_cannot_be_approved(kind: Kind, form: TokenFormat) {
    let node = Node::start_still(kind, &[]).await;
    // The name of a signed token says all that there is to know: only another key makes one that is not there.
    let key = json!([{"id": "t1", "secret": "another digest key of the tests, 32 bytes"}]).to_string();
    let settings: &[(&str, &str)] = if form == TokenFormat::Jwt { &[("keys.digest", &key)] } else { &[] };
    let elsewhere = Node::start_still(Kind::Embedded, settings).await;
    let unknown = Named::issue(&elsewhere, &elsewhere.refresher_of(form).await).await;
    for name in unknown.access().iter().chain(&unknown.refresh()) {
        for action in ["approve", "revoke"] {
            let answer = node.ask_operator(&format!("/admin/tokens/{action}"), name.clone()).await;
            assert_eq!(answer.refusal(), (404, "not_found".into()), "{action} {name}");
        }
    }
    assert_eq!(node.counter("introspect_tokens_revoked_total").await, 0);
}

/// The access tokens of a grant can outlive a refresh token that nobody uses, and have a name by which all come back.
async fn rule_6_a_grant_is_there_as_long_as_its_family(kind: Kind, form: TokenFormat) {
    let node = Node::start_still(kind, &[("tokens.refresh_idle_lifetime", "1m")]).await;
    let app = node.refresher_of(form).await;
    let named = Named::issue(&node, &app).await;
    assert!(node.decide("revoke", named.refresh()[2].clone()).await);
    node.pass(Duration::from_mins(1)).await;
    for name in &named.refresh()[..2] {
        let answer = node.ask_operator("/admin/tokens/approve", name.clone()).await;
        assert_eq!(answer.refusal(), (404, "not_found".into()), "the refresh token itself has ended");
    }
    assert!(node.decide("approve", named.refresh()[2].clone()).await);
    assert_eq!(named.alive(&node, &app).await, [true, false]);
}
