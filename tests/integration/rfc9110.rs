//! HTTP hygiene, RFC 9110, as far as it needs the real handlers: methods, media types, sizes, headers, forms.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::support::api::Answer;
use crate::support::node::{Kind, Node, OPERATOR, Registered};
use crate::support::raw;

over_both_stores! {
    section_5_3_a_repeated_authorization_or_content_type_is_refused
    section_7_6_no_answer_says_what_it_was_made_with
    section_8_4_content_codings_are_refused_and_only_then_named
    section_8_3_other_media_types_are_refused
    section_9_1_an_unknown_method_is_not_implemented
    section_9_3_7_options_names_the_methods
    section_15_5_5_what_is_not_there_is_said_in_json
    section_15_5_6_a_method_that_is_not_there_is_told_which_are
    section_15_5_14_a_body_over_the_limit_is_refused_and_one_at_it_taken
    url_section_5_1_forms_are_read_strictly
}

const FORM: &str = "application/x-www-form-urlencoded";
const GENERIC: [(&str, &str); 3] = [
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
];

/// Every route of either listener with the methods it has, as `Allow` gives them.
fn routes(node: &Node) -> Vec<(String, &'static str)> {
    let mut routes = Vec::new();
    for path in ["/introspect", "/oauth2/introspect", "/revoke", "/oauth2/revoke", "/token", "/oauth2/token"] {
        routes.push((node.api.url(path), "POST, OPTIONS"));
    }
    for path in [
        "/.well-known/oauth-authorization-server",
        "/.well-known/openid-configuration",
        "/openapi.json",
        "/livez",
        "/readyz",
    ] {
        routes.push((node.api.url(path), "GET, HEAD"));
    }
    for path in ["/livez", "/readyz", "/metrics", "/openapi.json"] {
        routes.push((node.api.admin_url(path), "GET, HEAD, OPTIONS"));
    }
    routes.push((node.api.admin_url("/admin/clients"), "GET, POST, OPTIONS"));
    routes.push((node.api.admin_url("/admin/clients/x"), "GET, PUT, PATCH, DELETE, OPTIONS"));
    for path in
        ["/admin/tokens", "/admin/clients/x/rotate-secret", "/admin/clients/x/revoke", "/admin/clients/x/approve"]
    {
        routes.push((node.api.admin_url(path), "POST, OPTIONS"));
    }
    routes
}

async fn section_15_5_6_a_method_that_is_not_there_is_told_which_are(kind: Kind) {
    let node = Node::start(kind).await;
    for (url, allow) in routes(&node) {
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "QUERY"] {
            if allow.split(", ").any(|allowed| allowed == method) {
                continue;
            }
            let request = node.api.request(method, &url).basic_auth(OPERATOR.0, Some(OPERATOR.1));
            let answer = node.api.send(request).await;
            assert_eq!((answer.status, answer.header("allow")), (405, Some(allow)), "{method} {url}");
            if method == "HEAD" {
                assert_eq!(answer.body, "");
                assert_ne!(answer.header("content-length"), Some("0"), "the headers are those of the whole answer");
            } else {
                assert_eq!(answer.error(), "invalid_request");
            }
        }
    }
}

async fn section_9_1_an_unknown_method_is_not_implemented(kind: Kind) {
    let node = Node::start(kind).await;
    for (url, allow) in routes(&node) {
        for method in ["FOO", "post", "PROPFIND"] {
            let answer = node.api.send(node.api.request(method, &url)).await;
            assert_eq!((answer.status, answer.header("allow")), (501, Some(allow)), "{method} {url}");
            assert_eq!(answer.error(), "invalid_request");
        }
    }
}

async fn section_9_3_7_options_names_the_methods(kind: Kind) {
    let node = Node::start(kind).await;
    for (url, allow) in routes(&node) {
        let request = node.api.request("OPTIONS", &url).header("origin", "https://app.example.com");
        let answer = node.api.send(request.header("access-control-request-method", "POST")).await;
        let status = if allow.ends_with("OPTIONS") { 204 } else { 405 };
        assert_eq!((answer.status, answer.header("allow")), (status, Some(allow)), "{url}");
        for name in ["access-control-allow-origin", "access-control-allow-methods", "access-control-allow-headers"] {
            assert!(!answer.headers.contains_key(name), "{url}");
        }
        if status == 204 {
            assert_eq!((answer.body.as_str(), answer.header("content-length")), ("", None), "section 8.6");
        }
    }
}

/// Posts a body that would be answered 200 to each endpoint, as this media type or as none.
async fn post_as(node: &Node, client: &Registered, headers: &[(&str, &str)]) -> Vec<Answer> {
    let mut answers = Vec::new();
    for (url, body, caller) in [
        (node.api.url("/introspect"), "token=unknown-token", client.pair()),
        (node.api.url("/revoke"), "token=unknown-token", client.pair()),
        (node.api.url("/token"), "grant_type=client_credentials", client.pair()),
        (node.api.admin_url("/admin/clients"), "{}", OPERATOR),
    ] {
        let mut request = node.api.request("POST", &url).basic_auth(caller.0, Some(caller.1)).body(body);
        for (name, value) in headers {
            // As bytes, so that lines of the same name are both sent.
            request = request.header(*name, value.as_bytes());
        }
        answers.push(node.api.send(request).await);
    }
    answers
}

async fn section_8_3_other_media_types_are_refused(kind: Kind) {
    let node = Node::start(kind).await;
    let client = node.application().await;
    for media_type in [
        Some("multipart/form-data; boundary=x"),
        Some("text/plain"),
        Some("text/json"),
        Some("application/x-www-form-urlencoded-not"),
        Some("application/*"),
        Some("*/*"),
        Some("application/json; charset=utf-16"),
        Some("application/x-www-form-urlencoded; charset=utf-16"),
        Some("application/x-www-form-urlencoded; charset=\"iso-8859-1\""),
        Some("caf\u{e9}/x"),
        Some(""),
        None,
    ] {
        let headers: Vec<_> = media_type.map(|value| ("content-type", value)).into_iter().collect();
        for answer in post_as(&node, &client, &headers).await {
            assert_eq!(answer.refusal(), (415, "invalid_request".into()), "{media_type:?}");
            assert_eq!(answer.header("accept-encoding"), None, "section 12.5.3: {media_type:?}");
        }
    }
    // Each endpoint knows one type, and refuses the other.
    let as_json = post_as(&node, &client, &[("content-type", "application/json")]).await;
    assert_eq!(as_json.iter().map(|answer| answer.status).collect::<Vec<_>>(), [415, 415, 415, 201]);
    let as_form = post_as(&node, &client, &[("content-type", FORM)]).await;
    assert_eq!(as_form.iter().map(|answer| answer.status).collect::<Vec<_>>(), [200, 200, 200, 415]);
}

async fn section_8_4_content_codings_are_refused_and_only_then_named(kind: Kind) {
    let node = Node::start(kind).await;
    let client = node.application().await;
    for codings in [&["gzip"][..], &["deflate"], &["br"], &["gzip, gzip"], &["identity, gzip"], &["identity", "gzip"]] {
        for media_type in [FORM, "application/json"] {
            let mut headers: Vec<_> = codings.iter().map(|&coding| ("content-encoding", coding)).collect();
            headers.push(("content-type", media_type));
            for answer in post_as(&node, &client, &headers).await {
                assert_eq!(answer.refusal(), (415, "invalid_request".into()), "{codings:?}");
                assert_eq!(answer.header("accept-encoding"), Some("identity"), "{codings:?}");
            }
        }
    }
    for coding in ["identity", "Identity"] {
        let answers = post_as(&node, &client, &[("content-type", FORM), ("content-encoding", coding)]).await;
        assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [200, 200, 200, 415]);
    }
}

async fn section_5_3_a_repeated_authorization_or_content_type_is_refused(kind: Kind) {
    let node = Node::start(kind).await;
    let client = node.application().await;
    let pair = STANDARD.encode(format!("{}:{}", client.id, client.secret));
    let basic = format!("Basic {pair}");
    let send = async |headers: &[(&str, &str)]| {
        let mut request = node.api.request("POST", &node.api.url("/introspect")).body("token=unknown-token");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        node.api.send(request).await
    };
    let form = ("content-type", FORM);
    assert_eq!(send(&[form, ("authorization", &basic)]).await.status, 200);
    let token = node.token(&client).await;
    let bearer = format!("Bearer {token}");
    for authorization in [
        vec![basic.clone(), basic.clone()],
        vec![basic.clone(), bearer.clone()],
        vec![bearer.clone(), basic.clone()],
        vec![basic.clone(), String::new()],
        vec![format!("{basic}, {bearer}")],
        vec![format!("{basic},{basic}")],
        vec![format!("{bearer}, {basic}")],
        vec![format!("Basic {pair}, {pair}")],
    ] {
        let mut headers = vec![form];
        headers.extend(authorization.iter().map(|line| ("authorization", line.as_str())));
        assert_eq!(send(&headers).await.refusal(), (400, "invalid_request".into()), "{authorization:?}");
    }
    for other in [FORM, "text/plain"] {
        let headers = [form, ("content-type", other), ("authorization", &basic)];
        assert_eq!(send(&headers).await.refusal(), (400, "invalid_request".into()), "{other}");
    }
    // One empty line is an attempt that failed.
    assert_eq!(send(&[form, ("authorization", "")]).await.refusal(), (401, "invalid_client".into()));
}

async fn section_15_5_14_a_body_over_the_limit_is_refused_and_one_at_it_taken(kind: Kind) {
    const LIMIT: usize = 65_536;
    let node = Node::start(kind).await;
    let client = node.application().await;
    let of = |length: usize| format!("token=unknown-token&x={}", "y".repeat(length - "token=unknown-token&x=".len()));
    let head = |framing: &str| {
        let pair = STANDARD.encode(format!("{}:{}", client.id, client.secret));
        format!(
            "POST /introspect HTTP/1.1\r\nHost: as.example\r\nConnection: close\r\nContent-Type: {FORM}\r\n\
             Authorization: Basic {pair}\r\n{framing}\r\n\r\n"
        )
    };
    let announced = |length: usize| head(&format!("Content-Length: {length}")) + &of(length);
    let chunked = |length: usize| {
        let body = of(length);
        let chunks: String = body.as_bytes().chunks(5000).fold(String::new(), |chunks, chunk| {
            chunks + &format!("{:x}\r\n{}\r\n", chunk.len(), str::from_utf8(chunk).unwrap())
        });
        head("Transfer-Encoding: chunked") + &chunks + "0\r\n\r\n"
    };
    for (request, status) in [
        (announced(LIMIT), 200),
        (chunked(LIMIT), 200),
        (announced(LIMIT + 1), 413),
        (chunked(LIMIT + 1), 413),
        // Refused for what it announces: nothing of it is sent.
        (head("Content-Length: 1000000000"), 413),
        // It has no end: what is refused is what has come.
        (head("Transfer-Encoding: chunked") + &format!("{:x}\r\n{}", LIMIT * 2, "x".repeat(LIMIT + 1)), 413),
    ] {
        let answer = raw::exchange(node.public, request.as_bytes()).await;
        assert_eq!(answer.status, status, "{}", &request[..request.len().min(300)]);
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert!(status == 200 || answer.body.contains(r#""error":"invalid_request""#), "{}", answer.body);
    }
    let body = json!({"client_name": "x".repeat(LIMIT)});
    let answer = node.api.admin(OPERATOR, "POST", "/admin/clients", Some(body)).await;
    assert_eq!(answer.refusal(), (413, "invalid_request".into()));
    let smaller = Node::start_with(kind, &[("http.max_body_bytes", "1024")]).await;
    let answer = smaller.api.post("/introspect", OPERATOR, &[("token", &"x".repeat(2000))]).await;
    assert_eq!(answer.refusal(), (413, "invalid_request".into()), "the limit is the configured one");
}

async fn section_15_5_5_what_is_not_there_is_said_in_json(kind: Kind) {
    let node = Node::start(kind).await;
    let (public, admin) = (|path: &str| node.api.url(path), |path: &str| node.api.admin_url(path));
    for url in [
        public("/"),
        public("/introspect/"),
        public("//introspect"),
        public("/Introspect"),
        public("/introspect/x"),
        public("/%69ntrospect"),
        public("/oauth2"),
        public("/oauth2/introspect/"),
        public("/.well-known/"),
        public("/favicon.ico"),
        admin("/"),
        admin("/admin"),
        admin("/admin/"),
        admin("/admin/tokens/"),
        admin("/admin/clients/x/elsewhere"),
        admin("/admin/clients/x/revoke/again"),
    ] {
        for method in ["GET", "POST", "OPTIONS", "DELETE"] {
            let request = node.api.request(method, &url).basic_auth(OPERATOR.0, Some(OPERATOR.1));
            assert_eq!(node.api.send(request).await.refusal(), (404, "not_found".into()), "{method} {url}");
        }
    }
}

/// That no header is sent beyond a short list is checked of every answer by [`crate::support::api`].
async fn section_7_6_no_answer_says_what_it_was_made_with(kind: Kind) {
    let node = Node::start(kind).await;
    let client = node.application().await;
    let mut answers = post_as(&node, &client, &[("content-type", FORM)]).await;
    answers.extend(post_as(&node, &client, &[("content-type", "application/json")]).await);
    for (url, _) in routes(&node) {
        for method in ["GET", "POST", "OPTIONS", "FOO"] {
            answers.push(node.api.send(node.api.request(method, &url)).await);
        }
    }
    for answer in answers {
        for (name, value) in GENERIC {
            assert_eq!(answer.header(name), Some(value), "{answer:?}");
        }
        assert_eq!(answer.header("server"), None);
        assert_eq!(answer.header("strict-transport-security"), None, "RFC 6797 section 7.2: not over plain HTTP");
        let is_metrics = answer.header("content-type").is_some_and(|value| value.starts_with("text/plain"));
        for leak in ["hyper", "tokio", "redb", "redis", "panicked", "src/", env!("CARGO_PKG_VERSION")] {
            assert!(is_metrics || !answer.body.to_lowercase().contains(leak), "{leak}: {}", answer.body);
        }
    }
}

/// The form of the URL standard, section 5.1, read strictly: what is malformed is refused and not guessed at.
async fn url_section_5_1_forms_are_read_strictly(kind: Kind) {
    let node = Node::start(kind).await;
    let client = node.application().await;
    let import = json!({"token": "imported+token/1"});
    node.issue(&client, import).await;
    let post = async |body: &[u8]| {
        let request = node.api.request("POST", &node.api.url("/introspect")).header("content-type", FORM);
        node.api.send(request.basic_auth(&client.id, Some(&client.secret)).body(body.to_vec())).await
    };
    for body in [
        "token=imported%2Btoken%2F1",
        "token=imported%2btoken/1",
        "%74oken=imported%2Btoken/1",
        "a=b&&token=imported%2Btoken/1&",
        "&token=imported%2Btoken/1",
        "a&=&b=c=d&token=imported%2Btoken/1",
    ] {
        assert_eq!(post(body.as_bytes()).await.json()["active"], json!(true), "{body}");
    }
    for body in ["token=imported+token/1", "token=imported%20token/1", "token=imported%2Btoken/1;a=b", "token=%00"] {
        assert_eq!(post(body.as_bytes()).await.body, r#"{"active":false}"#, "{body}");
    }
    for body in [
        &b"token=%"[..],
        b"token=%4",
        b"token=%G1",
        b"token=%4G",
        b"token=imported%2Btoken/1&x=%",
        b"%=x&token=a",
        b"token=%FF",
        b"token=%C0%80",
        b"token=%ED%A0%80",
        b"token=%F4%90%80%80",
        b"token=\xff",
        b"x=\xc3&token=a",
        b"Token=a",
        b"a=b;token=c",
        b"TOKEN=a",
    ] {
        let answer = post(body).await;
        assert_eq!(answer.refusal(), (400, "invalid_request".into()), "{}", String::from_utf8_lossy(body));
    }
    let many = "x=1&".repeat(256);
    assert_eq!(post(format!("{many}token=a").as_bytes()).await.status, 400, "a form of too many parameters");
}
