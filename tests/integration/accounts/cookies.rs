//! How a browser keeps a refresh token, and which pages are kept out.

use serde_json::json;

use super::{COOKIE, ORIGIN, PASSWORD, Site, set_cookie};
use crate::support::api::Answer;
use crate::support::node::Kind;

over_both_stores! {
    asvs_3_3_a_refresh_token_is_a_cookie_and_nowhere_else
    rfc10017_a_cookie_is_refreshed_and_logged_out_by_a_page_of_its_client
    rfc10017_requests_of_other_pages_change_nothing
    rfc10017_login_of_another_page_is_refused
    asvs_3_4_2_only_listed_origins_may_read_answers
    asvs_3_5_2_forms_of_other_sites_do_not_work
    asvs_3_5_3_state_changes_by_post_only
    a_token_of_a_browser_is_worth_nothing_as_bearer_and_the_other_way_round
    a_cookie_that_no_longer_works_is_taken_away
    a_cookie_beside_an_access_token_counts
    two_tabs_within_the_grace_get_the_same_session
    changing_the_password_sets_a_new_cookie
    cookies_of_other_hosts_do_not_hide_it
}

/// What a page of the client sends along.
const OWN: [(&str, &str); 2] = [("origin", ORIGIN), ("x-requested-with", "fetch")];

async fn log_in(site: &Site, headers: &[(&str, &str)]) -> Answer {
    let body = json!({"username": "alice", "password": PASSWORD, "client_id": "web"});
    site.send("POST", "/login/", headers, Some(&body)).await
}

/// A node with a user who is logged in with a browser, the cookie, and the access token.
async fn in_a_browser(kind: Kind, settings: &[(&str, &str)]) -> (Site, String, String) {
    let site = Site::start_with(kind, settings).await;
    site.user("alice").await;
    let answer = log_in(&site, &OWN).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let cookie = set_cookie(&answer).unwrap().0;
    let access = answer.json()["access_token"].as_str().unwrap().to_owned();
    (site, cookie, access)
}

/// Sends a request with the cookie.
async fn with(site: &Site, path: &str, cookie: &str, headers: &[(&str, &str)]) -> Answer {
    let line = format!("theme=dark; {COOKIE}={cookie}");
    let mut all = vec![("cookie", &*line)];
    all.extend(headers);
    site.send("POST", path, &all, None).await
}

async fn asvs_3_3_a_refresh_token_is_a_cookie_and_nowhere_else(kind: Kind) {
    let site = Site::start(kind).await;
    let body = json!({"username": "alice", "email": "alice@example.org", "password": PASSWORD, "client_id": "web"});
    let registered = site.send("POST", "/register/", &OWN, Some(&body)).await;
    for (answer, status) in [(registered, 201), (log_in(&site, &OWN).await, 200)] {
        assert_eq!(answer.status, status, "{}", answer.body);
        let (cookie, attributes) = set_cookie(&answer).unwrap();
        assert_eq!(attributes, "Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=2592000");
        assert!(!answer.body.contains(&cookie) && answer.json().get("refresh_token").is_none(), "{}", answer.body);
        assert!(answer.header("set-cookie").unwrap().len() < 4096);
    }
    // And none for a client that gets it in the body.
    assert_eq!(set_cookie(&site.log_in_with("alice", PASSWORD).await), None);
    // It lives as long as the refresh token does at most.
    let idle = Site::start_with(kind, &[("tokens.refresh_idle_lifetime", "1h")]).await;
    idle.user("alice").await;
    assert!(set_cookie(&log_in(&idle, &OWN).await).unwrap().1.ends_with("Max-Age=3600"));
}

async fn rfc10017_a_cookie_is_refreshed_and_logged_out_by_a_page_of_its_client(kind: Kind) {
    let (site, cookie, access) = in_a_browser(kind, &[]).await;
    let answer = with(&site, "/refresh/", &cookie, &OWN).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let (next, _) = set_cookie(&answer).unwrap();
    assert_ne!(next, cookie);
    let refreshed = answer.json()["access_token"].as_str().unwrap().to_owned();
    assert!(site.is_active(&refreshed).await);
    // From a page that is served from where the API is, and whose browser sends no origin.
    let same = [("sec-fetch-site", "same-origin"), ("x-requested-with", "fetch")];
    let answer = with(&site, "/refresh/", &next, &same).await;
    let (next, _) = set_cookie(&answer).unwrap();
    // From a page of the issuer's own origin.
    let issuers = [("origin", "https://as.example.com"), ("x-requested-with", "fetch")];
    let answer = with(&site, "/logout/", &next, &issuers).await;
    assert_eq!(answer.status, 204);
    let cleared = (String::new(), "Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0".to_owned());
    assert_eq!(set_cookie(&answer), Some(cleared.clone()));
    assert!(!site.is_active(&refreshed).await && !site.is_active(&access).await);
    // Once more, as a browser that has kept it would.
    let answer = with(&site, "/logout/", &next, &OWN).await;
    assert_eq!((answer.status, set_cookie(&answer)), (204, Some(cleared)));
}

/// What pages of others can make a browser send.
const OTHERS: [&[(&str, &str)]; 14] = [
    &[],
    &[("origin", ORIGIN)],
    &[("x-requested-with", "fetch")],
    &[("origin", ORIGIN), ("x-requested-with", "")],
    &[("origin", "https://evil.example.net"), ("x-requested-with", "fetch")],
    &[("origin", "null"), ("x-requested-with", "fetch")],
    &[("origin", "http://app.example.com"), ("x-requested-with", "fetch")],
    &[("origin", "https://app.example.com.evil.org"), ("x-requested-with", "fetch")],
    &[("origin", "https://evil-app.example.com"), ("x-requested-with", "fetch")],
    &[("origin", "https://app.example.com:8443"), ("x-requested-with", "fetch")],
    &[("origin", "https://APP.example.com"), ("x-requested-with", "fetch"), ("sec-fetch-site", "same-origin")],
    &[("sec-fetch-site", "same-site"), ("x-requested-with", "fetch")],
    &[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site"), ("x-requested-with", "fetch")],
    &[("origin", ORIGIN), ("origin", "https://evil.example.net"), ("x-requested-with", "fetch")],
];

async fn rfc10017_requests_of_other_pages_change_nothing(kind: Kind) {
    let (site, cookie, access) = in_a_browser(kind, &[]).await;
    for headers in OTHERS {
        for path in ["/refresh/", "/logout/", "/logout/?all=true"] {
            let answer = with(&site, path, &cookie, headers).await;
            assert_eq!(answer.refusal(), (403, "access_denied".to_owned()), "{path} {headers:?}");
            assert_eq!(set_cookie(&answer), None, "the cookie stays: {path} {headers:?}");
        }
        let answer = site
            .send(
                "POST",
                "/password/change/",
                &[headers, &[("authorization", &*format!("Bearer {access}"))]].concat(),
                Some(&json!({"old_password": PASSWORD, "new_password": "another battery of staples"})),
            )
            .await;
        assert_eq!(answer.refusal(), (403, "access_denied".to_owned()), "{headers:?}");
    }
    assert!(site.is_active(&access).await);
    assert_eq!(with(&site, "/refresh/", &cookie, &OWN).await.status, 200, "it was not used up");
}

async fn rfc10017_login_of_another_page_is_refused(kind: Kind) {
    let site = Site::start(kind).await;
    site.user("alice").await;
    for headers in OTHERS {
        let answer = log_in(&site, headers).await;
        assert_eq!(answer.refusal(), (403, "access_denied".to_owned()), "{headers:?}");
        assert_eq!(set_cookie(&answer), None);
        let body = json!({"username": "eve", "email": "eve@example.org", "password": PASSWORD, "client_id": "web"});
        let answer = site.send("POST", "/register/", headers, Some(&body)).await;
        assert_eq!(answer.refusal(), (403, "access_denied".to_owned()), "{headers:?}");
    }
    assert_eq!(site.log_in_with("eve", PASSWORD).await.status, 401, "nobody was registered");
}

async fn asvs_3_4_2_only_listed_origins_may_read_answers(kind: Kind) {
    let site = Site::start(kind).await;
    let preflight = async |origin: &str, path: &str| {
        let headers = [
            ("origin", origin),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "content-type,x-requested-with"),
        ];
        site.send("OPTIONS", path, &headers, None).await
    };
    for (path, method) in [("/login/", "POST"), ("/refresh", "POST"), ("/sessions/", "GET"), ("/sessions/x/", "DELETE")]
    {
        let answer = preflight(ORIGIN, path).await;
        assert_eq!(answer.status, 204);
        assert_eq!(answer.header("access-control-allow-origin"), Some(ORIGIN));
        assert_eq!(answer.header("access-control-allow-credentials"), Some("true"));
        assert_eq!(answer.header("access-control-allow-methods"), Some(method));
        let allowed = "authorization, content-type, x-requested-with";
        assert_eq!(answer.header("access-control-allow-headers"), Some(allowed));
        assert_eq!(answer.header("vary"), Some("Origin"));
        for origin in
            ["https://evil.example.net", "null", "https://app.example.com.evil.org", "http://app.example.com", "*"]
        {
            let answer = preflight(origin, path).await;
            let shared = answer.headers.keys().filter(|name| name.as_str().starts_with("access-control-"));
            assert_eq!(shared.count(), 0, "{origin}");
            assert_eq!(answer.header("vary"), Some("Origin"), "{origin}");
        }
    }
    // On every answer, refusals included: the page has to tell its user.
    for (username, status) in [("alice", 401), ("", 401)] {
        let body = json!({"username": username, "password": PASSWORD, "client_id": "web"});
        let answer = site.send("POST", "/login/", &OWN, Some(&body)).await;
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (status, Some(ORIGIN)));
    }
    // The endpoints for machines share nothing with any page.
    let answer = preflight(ORIGIN, "/introspect").await;
    assert_eq!(answer.header("access-control-allow-origin"), None);
}

async fn asvs_3_5_2_forms_of_other_sites_do_not_work(kind: Kind) {
    let (site, cookie, access) = in_a_browser(kind, &[]).await;
    let line = format!("{COOKIE}={cookie}");
    for (media_type, body) in [
        ("application/x-www-form-urlencoded", "username=alice&password=x"),
        ("text/plain", r#"{"username":"alice","password":"x"}"#),
        ("multipart/form-data; boundary=x", "--x--"),
    ] {
        for path in ["/login/", "/register/", "/refresh/", "/logout/"] {
            let request = site.node.api.request("POST", &site.node.api.url(path)).body(body);
            let answer = site.node.api.send(request.header("content-type", media_type).header("cookie", &line)).await;
            assert_eq!(answer.status, 415, "{path} {media_type}");
        }
    }
    assert!(site.is_active(&access).await);
    assert_eq!(with(&site, "/refresh/", &cookie, &OWN).await.status, 200);
}

async fn asvs_3_5_3_state_changes_by_post_only(kind: Kind) {
    let (site, cookie, _) = in_a_browser(kind, &[]).await;
    let line = format!("{COOKIE}={cookie}");
    for path in ["/login/", "/register", "/refresh/", "/logout/", "/password/change"] {
        for method in ["GET", "HEAD", "PUT", "DELETE", "PATCH"] {
            let answer = site.send(method, path, &[("cookie", &line), OWN[0], OWN[1]], None).await;
            assert_eq!((answer.status, answer.header("allow")), (405, Some("POST, OPTIONS")), "{method} {path}");
        }
    }
    assert_eq!(with(&site, "/refresh/", &cookie, &OWN).await.status, 200);
}

async fn a_token_of_a_browser_is_worth_nothing_as_bearer_and_the_other_way_round(kind: Kind) {
    let (site, cookie, _) = in_a_browser(kind, &[]).await;
    assert_eq!(site.refresh(&cookie).await.status, 401);
    let phone = site.log_in("alice").await;
    assert_eq!(with(&site, "/refresh/", &phone.refresh, &OWN).await.status, 401);
    assert_eq!(with(&site, "/refresh/", &cookie, &OWN).await.status, 200, "neither was used up");
    assert!(site.works(&phone.refresh).await);
}

async fn a_cookie_that_no_longer_works_is_taken_away(kind: Kind) {
    let (site, cookie, _) = in_a_browser(kind, &[]).await;
    assert_eq!(with(&site, "/logout/", &cookie, &OWN).await.status, 204);
    for value in [&*cookie, "", "made up"] {
        let answer = with(&site, "/refresh/", value, &OWN).await;
        assert_eq!(answer.refusal(), (401, "invalid_grant".to_owned()));
        assert_eq!(set_cookie(&answer).unwrap().1, "Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0");
    }
    let answer = site.send("POST", "/refresh/", &OWN, None).await;
    assert_eq!((answer.refusal(), set_cookie(&answer)), ((401, "invalid_grant".to_owned()), None));
    let twice = format!("{COOKIE}={cookie}; {COOKIE}=other");
    let answer = site.send("POST", "/refresh/", &[("cookie", &twice), OWN[0], OWN[1]], None).await;
    assert_eq!(answer.status, 400);
}

async fn a_cookie_beside_an_access_token_counts(kind: Kind) {
    let (site, cookie, access) = in_a_browser(kind, &[]).await;
    let phone = site.log_in("alice").await;
    let bearer = format!("Bearer {}", phone.refresh);
    let both = [("authorization", &*bearer), OWN[0], OWN[1]];
    assert_eq!(with(&site, "/refresh/", &cookie, &both).await.status, 400, "which of the two?");
    let bearer = format!("Bearer {access}");
    let both = [("authorization", &*bearer), OWN[0], OWN[1]];
    assert_eq!(with(&site, "/refresh/", &cookie, &both).await.status, 200);
}

async fn two_tabs_within_the_grace_get_the_same_session(kind: Kind) {
    let (site, cookie, _) = in_a_browser(kind, &[("tokens.refresh_grace", "10s")]).await;
    let one = with(&site, "/refresh/", &cookie, &OWN).await;
    let other = with(&site, "/refresh/", &cookie, &OWN).await;
    assert_eq!((one.status, other.status), (200, 200));
    assert_eq!(set_cookie(&one).unwrap().0, set_cookie(&other).unwrap().0);
}

async fn changing_the_password_sets_a_new_cookie(kind: Kind) {
    let (site, cookie, access) = in_a_browser(kind, &[]).await;
    let bearer = format!("Bearer {access}");
    let body = json!({"old_password": PASSWORD, "new_password": "another battery of staples"});
    let answer =
        site.send("POST", "/password/change/", &[("authorization", &*bearer), OWN[0], OWN[1]], Some(&body)).await;
    let (next, _) = set_cookie(&answer).unwrap();
    assert_eq!(answer.status, 200);
    assert!(answer.json().get("refresh_token").is_none());
    assert_eq!(with(&site, "/refresh/", &cookie, &OWN).await.status, 401);
    assert_eq!(with(&site, "/refresh/", &next, &OWN).await.status, 200);
}

/// Any host of the same site can have a browser send cookies here, in whatever bytes.
async fn cookies_of_other_hosts_do_not_hide_it(kind: Kind) {
    let (site, mut cookie, access) = in_a_browser(kind, &[]).await;
    for other in ["city=K\u{f6}ln", "\u{f6}", "\u{2000}__Host-refresh_token=evil", "x=__Host-refresh_token=evil", "\""]
    {
        let line = format!("{other}; {COOKIE}={cookie}; {other}");
        let headers = [("cookie", &*line), OWN[0], OWN[1]];
        let answer = site.send("POST", "/refresh/", &headers, None).await;
        assert_eq!(answer.status, 200, "{other}: {}", answer.body);
        cookie = set_cookie(&answer).unwrap().0;
    }
    let line = format!("city=K\u{f6}ln; {COOKIE}={cookie}");
    let answer = site.send("POST", "/logout/", &[("cookie", &line), OWN[0], OWN[1]], None).await;
    assert_eq!((answer.status, set_cookie(&answer).is_some()), (204, true));
    assert!(!site.is_active(&access).await);
}
