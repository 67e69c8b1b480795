//! What goes with a token that is revoked, and what comes back with it (rules 1 to 6).

use std::time::Duration;

use introspectd::token::grant::TokenFormat;
use serde_json::{Value, json};

use super::{Named, with};
use crate::support::life::expect_invalid_grant;
use crate::support::node::{Kind, Node};

over_both_stores_and_forms! {
    rule_1_a_token_is_active_when_it_and_all_above_it_are
    rule_2_an_access_token_takes_its_refresh_token_along_whatever_the_cascade
    rule_3_a_refresh_token_takes_its_access_tokens_along_by_cascade
    rule_4_what_type_a_token_is_said_to_have_changes_nothing
    rule_5_the_second_time_changes_nothing
    rule_6_approving_an_access_token_alone_leaves_the_others_revoked
    rule_6_approving_a_refresh_token_alone_leaves_old_access_tokens_revoked
    rule_6_approving_brings_everything_back_as_it_was
    rule_6_what_is_not_revoked_is_approved_without_a_word
    rule_6_what_was_exempted_is_revoked_with_the_next_revocation
}

/// Approved or not, expired or not, the same of grant and client, and covered by an epoch or not: one of 32
/// combinations is active.
async fn rule_1_a_token_is_active_when_it_and_all_above_it_are(kind: Kind, form: TokenFormat) {
    let node = Node::start_still(kind, &[]).await;
    let server = node.resource_server().await;
    let (good, bad) = (node.refresher_of(form).await, node.refresher_of(form).await);
    let mut tokens = Vec::new();
    for number in 0..32 {
        let conditions @ [approved, own, grant, lasting, after] = [0, 1, 2, 3, 4].map(|bit| number >> bit & 1 == 0);
        let (client, user) = (if approved { &good } else { &bad }, if after { "alice" } else { "bob" });
        let members = json!({"refresh": true, "sub": user, "expires_in": if lasting { 600 } else { 60 }});
        let issued = node.issue(client, members).await;
        if !own {
            node.decide("revoke", json!({"jti": issued["jti"], "cascade": false})).await;
        }
        if !grant {
            node.decide("revoke", json!({"grant_id": issued["grant_id"]})).await;
        }
        tokens.push((issued["access_token"].as_str().unwrap().to_owned(), conditions));
    }
    node.operate("POST", "/admin/revocations", Some(json!({"sub": "bob"}))).await;
    node.operate("POST", &format!("/admin/clients/{}/revoke", bad.id), None).await;
    node.pass(Duration::from_mins(1)).await;
    for (token, conditions) in &tokens {
        let expected = conditions == &[true; 5];
        assert_eq!(node.api.is_active(server.pair(), token).await, expected, "{conditions:?}");
    }
}

async fn rule_2_an_access_token_takes_its_refresh_token_along_whatever_the_cascade(kind: Kind, form: TokenFormat) {
    let node = Node::start_still(kind, &[]).await;
    let app = node.refresher_of(form).await;
    for (way, cascade) in [(0, None), (1, None), (0, Some(true)), (1, Some(true)), (0, Some(false)), (1, Some(false))] {
        let named = Named::issue(&node, &app).await;
        let next = node.rotate(&app, &named.pair.refresh).await;
        let body =
            cascade.map_or(named.access()[way].clone(), |cascade| with(&named.access()[way], "cascade", cascade));
        assert!(node.decide("revoke", body.clone()).await, "{body}");
        let others = cascade == Some(false);
        assert_eq!(
            node.alive(&app, [&named.pair.access, &next.access, &next.refresh]).await,
            [false, others, false],
            "{body}"
        );
        expect_invalid_grant(&node.refresh(&app, &next.refresh).await);
    }
    let alone = node.issue(&app, json!({})).await;
    let twin = node.token(&app).await;
    assert!(node.decide("revoke", json!({"jti": alone["jti"], "cascade": false})).await);
    assert_eq!(node.alive(&app, [alone["access_token"].as_str().unwrap(), &twin]).await, [false, true]);
}

async fn rule_3_a_refresh_token_takes_its_access_tokens_along_by_cascade(kind: Kind, form: TokenFormat) {
    let node = Node::start_still(kind, &[]).await;
    let app = node.refresher_of(form).await;
    for cascade in [true, false] {
        for way in 0..3 {
            let named = Named::issue(&node, &app).await;
            let second = node.rotate(&app, &named.pair.refresh).await;
            let jti = node.api.introspect(app.pair(), &second.refresh).await.json()["jti"].clone();
            let name = [json!({"token": second.refresh}), json!({"jti": jti}), json!({"grant_id": named.grant_id})];
            assert!(node.decide("revoke", with(&name[way], "cascade", cascade)).await);
            assert_eq!(
                node.alive(&app, [&named.pair.access, &second.access, &second.refresh]).await,
                [!cascade, !cascade, false],
                "cascade {cascade}, named by {}",
                name[way]
            );
            expect_invalid_grant(&node.refresh(&app, &second.refresh).await);
        }
    }
    // Those that live on live to their own end.
    let named = Named::issue(&node, &app).await;
    assert!(node.decide("revoke", with(&named.refresh()[0], "cascade", false)).await);
    node.pass(Duration::from_secs(899)).await;
    assert_eq!(named.alive(&node, &app).await, [true, false]);
    node.pass(Duration::from_secs(1)).await;
    assert_eq!(named.alive(&node, &app).await, [false, false]);
}

/// As RFC 7009 section 2.1 wants of a hint: the search is extended to the other type.
async fn rule_4_what_type_a_token_is_said_to_have_changes_nothing(kind: Kind, form: TokenFormat) {
    let node = Node::start_still(kind, &[]).await;
    let app = node.refresher_of(form).await;
    for said in ["accesstoken", "refreshtoken"] {
        for cascade in [true, false] {
            for (way, name) in [(0, "access"), (1, "access"), (0, "refresh"), (1, "refresh"), (2, "refresh")] {
                let named = Named::issue(&node, &app).await;
                let name = if name == "access" { named.access()[way].clone() } else { named.refresh()[way].clone() };
                let body = with(&with(&name, "token_type", said), "cascade", cascade);
                assert!(node.decide("revoke", body.clone()).await);
                let access_lives = !cascade && !named.access().contains(&name);
                assert_eq!(named.alive(&node, &app).await, [access_lives, false], "{body}");
                assert!(node.decide("approve", with(&body, "cascade", true)).await);
                assert_eq!(named.alive(&node, &app).await, [true, true], "{body}");
            }
        }
    }
}

async fn rule_5_the_second_time_changes_nothing(kind: Kind, form: TokenFormat) {
    let node = Node::start_still(kind, &[]).await;
    let app = node.refresher_of(form).await;
    for cascade in [true, false] {
        for name in 0..5 {
            let named = Named::issue(&node, &app).await;
            let names: Vec<Value> = named.access().into_iter().chain(named.refresh()).collect();
            let body = with(&names[name], "cascade", cascade);
            let counted = node.counter("introspect_tokens_revoked_total").await;
            assert_eq!(
                [node.decide("revoke", body.clone()).await, node.decide("revoke", body.clone()).await],
                [true, false],
                "{body}"
            );
            let state = named.alive(&node, &app).await;
            assert!(!state[1]);
            assert_eq!(node.counter("introspect_tokens_revoked_total").await, counted + 1);
            let counted = node.counter("introspect_tokens_approved_total").await;
            assert_eq!(
                [node.decide("approve", body.clone()).await, node.decide("approve", body.clone()).await],
                [true, false],
                "{body}"
            );
            assert_eq!(node.counter("introspect_tokens_approved_total").await, counted + 1);
        }
    }
}

async fn rule_6_approving_brings_everything_back_as_it_was(kind: Kind, form: TokenFormat) {
    let node = Node::start_still(kind, &[]).await;
    let (app, server) = (node.refresher_of(form).await, node.resource_server().await);
    for revoked_by in 0..5 {
        for approved_by in 0..5 {
            let named = Named::issue(&node, &app).await;
            let names: Vec<Value> = named.access().into_iter().chain(named.refresh()).collect();
            let describe = async || {
                [
                    node.api.introspect(server.pair(), &named.pair.access).await.body,
                    node.api.introspect(app.pair(), &named.pair.access).await.body,
                    node.api.introspect(app.pair(), &named.pair.refresh).await.body,
                ]
            };
            let before = describe().await;
            assert!(node.decide("revoke", names[revoked_by].clone()).await);
            node.pass(Duration::from_secs(5)).await;
            assert_eq!(named.alive(&node, &app).await, [false, false]);
            assert!(node.decide("approve", names[approved_by].clone()).await);
            assert_eq!(describe().await, before, "revoked by {revoked_by}, approved by {approved_by}");
            let next = node.rotate(&app, &named.pair.refresh).await;
            assert_eq!(node.alive(&app, [&named.pair.access, &next.access, &next.refresh]).await, [true; 3]);
        }
    }
    // What a client revoked by itself (RFC 7009) an operator can bring back as well.
    let named = Named::issue(&node, &app).await;
    assert_eq!(node.api.revoke(app.pair(), &named.pair.access).await.status, 200);
    assert!(node.decide("approve", named.refresh()[2].clone()).await);
    assert_eq!(named.alive(&node, &app).await, [true, true]);
}

async fn rule_6_approving_an_access_token_alone_leaves_the_others_revoked(kind: Kind, form: TokenFormat) {
    let node = Node::start_still(kind, &[]).await;
    let app = node.refresher_of(form).await;
    for way in 0..2 {
        for cascade in [true, false] {
            let named = Named::issue(&node, &app).await;
            let next = node.rotate(&app, &named.pair.refresh).await;
            assert!(node.decide("revoke", with(&named.access()[way], "cascade", cascade)).await);
            let alone = with(&named.access()[way], "cascade", false);
            assert_eq!(
                [node.decide("approve", alone.clone()).await, node.decide("approve", alone).await],
                [true, false]
            );
            assert_eq!(
                node.alive(&app, [&named.pair.access, &next.access, &next.refresh]).await,
                [true, !cascade, false],
                "the refresh token stays unusable; the other access token is as it was"
            );
            expect_invalid_grant(&node.refresh(&app, &next.refresh).await);
            assert!(node.decide("approve", json!({"token": next.refresh})).await);
            assert_eq!(node.alive(&app, [&named.pair.access, &next.access, &next.refresh]).await, [true; 3]);
        }
    }
}

async fn rule_6_approving_a_refresh_token_alone_leaves_old_access_tokens_revoked(kind: Kind, form: TokenFormat) {
    let node = Node::start_still(kind, &[]).await;
    let app = node.refresher_of(form).await;
    for way in 0..3 {
        let named = Named::issue(&node, &app).await;
        assert!(node.decide("revoke", named.access()[0].clone()).await);
        let alone = with(&named.refresh()[way], "cascade", false);
        assert_eq!([node.decide("approve", alone.clone()).await, node.decide("approve", alone).await], [true, false]);
        assert_eq!(named.alive(&node, &app).await, [false, true]);
        let next = node.rotate(&app, &named.pair.refresh).await;
        assert_eq!(
            node.alive(&app, [&named.pair.access, &next.access, &next.refresh]).await,
            [false, true, true],
            "what is issued from then on is active"
        );
        assert!(node.decide("approve", named.access()[1].clone()).await);
        assert_eq!(node.alive(&app, [&named.pair.access, &next.access, &next.refresh]).await, [true; 3]);
    }
}

async fn rule_6_what_is_not_revoked_is_approved_without_a_word(kind: Kind, form: TokenFormat) {
    let node = Node::start_still(kind, &[]).await;
    let app = node.refresher_of(form).await;
    let named = Named::issue(&node, &app).await;
    let alone = node.issue(&app, json!({})).await;
    for body in named.access().into_iter().chain(named.refresh()).chain([json!({"jti": alone["jti"]})]) {
        for cascade in [true, false] {
            assert!(!node.decide("approve", with(&body, "cascade", cascade)).await);
        }
    }
    assert_eq!(named.alive(&node, &app).await, [true, true]);
    assert_eq!(node.counter("introspect_tokens_approved_total").await, 0);
}

async fn rule_6_what_was_exempted_is_revoked_with_the_next_revocation(kind: Kind, form: TokenFormat) {
    let node = Node::start_still(kind, &[]).await;
    let app = node.refresher_of(form).await;
    let named = Named::issue(&node, &app).await;
    for _ in 0..3 {
        for revocation in
            [named.refresh()[2].clone(), named.access()[0].clone(), with(&named.access()[0], "cascade", false)]
        {
            assert!(node.decide("revoke", revocation.clone()).await, "{revocation}");
            assert_eq!(named.alive(&node, &app).await, [false, false], "{revocation}");
            assert!(node.decide("approve", with(&named.access()[1], "cascade", false)).await, "{revocation}");
            assert_eq!(named.alive(&node, &app).await, [true, false], "{revocation}");
        }
    }
    // By value, an operator approves one by one only so many: the grant itself can be approved.
    let mut refresh = named.pair.refresh.clone();
    assert!(node.decide("approve", json!({"token": refresh})).await);
    let mut accesses = Vec::new();
    for _ in 0..33 {
        let pair = node.rotate(&app, &refresh).await;
        refresh = pair.refresh;
        accesses.push(pair.access);
    }
    assert!(node.decide("revoke", named.refresh()[2].clone()).await);
    for access in &accesses[..32] {
        assert!(node.decide("approve", json!({"token": access, "cascade": false})).await);
    }
    let one_more = json!({"token": accesses[32], "cascade": false});
    let answer = node.ask_operator("/admin/tokens/approve", one_more).await;
    assert_eq!(answer.refusal(), (409, "invalid_request".into()));
    assert!(answer.body.contains("32 tokens"), "{}", answer.body);
    assert_eq!(node.alive(&app, [&accesses[31], &accesses[32], &refresh]).await, [true, false, false]);
    assert!(node.decide("approve", named.refresh()[2].clone()).await);
    assert_eq!(node.alive(&app, [&accesses[31], &accesses[32], &refresh]).await, [true; 3]);
}
