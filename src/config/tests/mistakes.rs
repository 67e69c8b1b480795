//! What is said about mistakes, word for word.

use super::*;

#[track_caller]
fn says(case: &Case, lines: &[&str]) {
    assert_eq!(case.errors(), lines);
}

/// One mistake in one TOML file, and what is said of it after the file's name.
#[track_caller]
fn toml_says(content: &str, message: &str) {
    says(&Case::new().file("a.toml", content), &[&format!("a.toml: {message}")]);
}

#[test]
fn bad_values_are_shown_with_what_would_be_right() {
    for (content, message) in [
        (
            "issuer = \"http://id.example.com\"",
            "issuer: must be an https URL without query and fragment (http is taken for loopback hosts only); found \
             \"http://id.example.com\"",
        ),
        (
            "[public]\naddress = \"localhost:80\"",
            "public.address: must be an IP address and a port, as 127.0.0.1:8080 or [::1]:8080; found \"localhost:80\"",
        ),
        (
            "[public]\naddress = 8080",
            "public.address: must be an IP address and a port, as 127.0.0.1:8080 or [::1]:8080; found 8080",
        ),
        ("[public]\nunix = \"\"", "public.unix: must be a path; found \"\""),
        ("[store]\npath = [\"a\"]", "store.path: must be a path; found a list"),
        ("[tokens]\nimports = \"yes\"", "tokens.imports: must be true or false; found \"yes\""),
        (
            "[tokens]\naccess_lifetime = \"1500ms\"",
            "tokens.access_lifetime: must be a duration of whole seconds with its unit (s, m, h, d), as 15m or 30d, \
             from 1s to 3650d; found \"1500ms\"",
        ),
        (
            "[tokens]\naccess_lifetime = 900",
            "tokens.access_lifetime: must be a duration of whole seconds with its unit (s, m, h, d), as 15m or 30d, \
             from 1s to 3650d; found 900",
        ),
        (
            "[authentication]\nhashing_threads = 0",
            "authentication.hashing_threads: must be a whole number, from 1 to 64; found 0",
        ),
        (
            "[authentication]\nfailures_per_client = 1.5",
            "authentication.failures_per_client: must be a whole number, from 1 to 1000000; found 1.5",
        ),
        (
            "[authentication]\ntrusted_proxies = [\"10.0.0.0/40\"]",
            "authentication.trusted_proxies: must be a list, each element an address, or a network as 10.0.0.0/8; \
             found a list",
        ),
        (
            "[http]\nmax_header_bytes = 4096",
            "http.max_header_bytes: must be a whole number, from 8192 to 1048576; found 4096",
        ),
        (
            "[http]\nidle_timeout = \"75\"",
            "http.idle_timeout: must be a duration with its unit (us, ms, s, m, h, d), as 250ms or 15m, from 1s to 1h; \
             found \"75\"",
        ),
        ("[log]\nformat = \"xml\"", "log.format: must be one of text, json; found \"xml\""),
        ("[log]\naccess_ratio = 1.5", "log.access_ratio: must be a number, from 0.0 to 1.0; found 1.5"),
        ("[audit]\nqueue = 15", "audit.queue: must be a whole number, from 16 to 1000000; found 15"),
        ("[log]\naccess = true", "log.access: must be one of off, errors, sampled, all; found true"),
        (
            "[log]\nlevel = \"verbose\"",
            "log.level: \"verbose\" is neither a level (off, error, warn, info or debug) nor a target with one \
             (introspectd::store=debug)",
        ),
        ("[log]\nlevel = 3", "log.level: must be text; found 3"),
        (
            "[metrics]\nlatency_buckets = [\"2ms\", \"1ms\"]",
            "metrics.latency_buckets: must be 1 to 64 durations above zero, each longer than the one before",
        ),
        (
            "[metrics]\nlatency_buckets = []",
            "metrics.latency_buckets: must be 1 to 64 durations above zero, each longer than the one before",
        ),
        ("http = 3", "http: must be a table, found an integer"),
        ("clients = 3", "clients: must be a list of tables, found an integer"),
        ("clients = [3]", "clients[0]: must be a table, found an integer"),
    ] {
        toml_says(content, message);
    }
}

#[test]
fn a_long_value_is_cut_and_control_characters_are_escaped() {
    let long = "x".repeat(500);
    let expected = format!("log.format: must be one of text, json; found \"{}\"..", "x".repeat(60));
    toml_says(&format!("[log]\nformat = \"{long}\""), &expected);
    toml_says("[log]\nformat = \"a\\nb\\u001b\"", "log.format: must be one of text, json; found \"a\\nb\\u{1b}\"");
}

#[test]
fn contradictions_are_found() {
    for (content, message) in [
        ("[public]\ntls_certificate_file = \"a\"", "public.tls_certificate_file: needs public.tls_key_file too"),
        ("[admin]\ntls_key_file = \"a\"", "admin.tls_key_file: needs admin.tls_certificate_file too"),
        (
            "[admin]\naddress = \"0.0.0.0:8081\"",
            "admin.address: other machines can reach 0.0.0.0:8081, and operators' secrets would cross the network in \
             the clear; set admin.tls_certificate_file and admin.tls_key_file, or a loopback address, or \
             admin.insecure = true",
        ),
        (
            "[admin]\naddress = \"127.0.0.1:8080\"",
            "admin.address: 127.0.0.1:8080 is the address of the public listener too",
        ),
        ("[redis]\nconnections = 3", "redis.connections: has no effect without redis.url"),
        ("[tokens]\nmax_lifetime = \"1d\"", "tokens.max_lifetime: must not be shorter than tokens.refresh_lifetime"),
        ("[tokens]\naccess_lifetime = \"366d\"", "tokens.access_lifetime: must not be longer than tokens.max_lifetime"),
        ("[drain]\nmin = \"1m\"", "drain.min: drain.min must not be longer than drain.max"),
        ("[keys]\nactive = \"01\"", "keys.active: no key of keys.digest has the id 01"),
    ] {
        toml_says(content, message);
    }
}

#[test]
fn an_admin_listener_that_others_reach_needs_tls_or_consent() {
    Case::new().file("a.toml", "[admin]\naddress = \"0.0.0.0:8081\"\ninsecure = true").config();
    let tls = "[admin]\naddress = \"0.0.0.0:8081\"\ntls_certificate_file = \"c\"\ntls_key_file = \"k\"";
    Case::new().file("a.toml", tls).config();
    Case::new().file("a.toml", "[admin]\naddress = \"[::1]:8081\"").config();
    Case::new().file("a.toml", "[public]\naddress = \"0.0.0.0:8080\"").config();
}

#[test]
fn a_redis_store_needs_keys_and_excludes_the_other_store() {
    let case = Case::new().file("a.toml", "[store]\npath = \"/d\"\n").variable("INTROSPECTD_REDIS__URL", "redis://r");
    says(
        &case,
        &[
            "a.toml: store.path: redis.url is set too, in INTROSPECTD_REDIS__URL; only one store can be used",
            "keys.digest: is missing, and with redis.url every node needs the same keys; make one with \
             `openssl rand -base64 32 > digest.key` and name it: [[keys.digest]] id = \"01\" secret_file = \"digest.key\"",
        ],
    );
}

#[test]
fn an_empty_list_of_keys_is_no_keys() {
    let case = Case::new().variable("INTROSPECTD_REDIS__URL", "redis://r").file("a.toml", "[keys]\ndigest = []");
    let errors = case.errors();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].starts_with("a.toml: keys.digest: is missing, and with redis.url"), "{errors:?}");
}

#[test]
fn keys_must_fit_together() {
    let key = |id: &str| format!("[[keys.digest]]\nid = \"{id}\"\nsecret = \"{}\"\n", "k".repeat(32));
    let two = format!("{}{}", key("01"), key("01"));
    toml_says(&two, "keys.digest: two keys have the id 01");
    let many: String = ["01", "02", "03", "04", "05"].iter().map(|id| key(id)).collect();
    toml_says(&many, "keys.digest: must have at most 4 keys");
    toml_says(
        "[[keys.digest]]\nid = \"1\"\nsecret = \"0123456789abcdef0123456789abcdef\"",
        "keys.digest[0].id: must be two characters of 0-9, A-Z, a-z, as text; found \"1\"",
    );
    toml_says(
        "[[keys.digest]]\nid = \"01\"",
        "keys.digest[0].secret: is missing; set it, or keys.digest[0].secret_file",
    );
}

#[test]
fn declared_clients_must_make_sense() {
    let secret = "client_secret = \"hunter2-hunter2\"\n";
    for (content, message) in [
        (secret.to_owned(), "clients[0].client_id: is missing".to_owned()),
        (
            format!("client_id = \"\"\n{secret}"),
            "clients[0].client_id: must be 1 to 128 printable ASCII characters; found \"\"".to_owned(),
        ),
        (
            "client_id = \"a\"".to_owned(),
            "clients[0].client_secret: is missing; set it, or client_secret_file, or token_endpoint_auth_method = \
             \"none\" for a public client"
                .to_owned(),
        ),
        (
            format!("client_id = \"a\"\ntoken_endpoint_auth_method = \"none\"\n{secret}"),
            "clients[0].token_endpoint_auth_method: is none, and yet the client has a secret; remove one of the two"
                .to_owned(),
        ),
        (
            "client_id = \"a\"\ntoken_endpoint_auth_method = \"none\"\ngrant_types = [\"client_credentials\"]"
                .to_owned(),
            "clients[0].grant_types: client_credentials needs a client that has a secret".to_owned(),
        ),
        (
            "client_id = \"a\"\ntoken_endpoint_auth_method = \"none\"\nrights = [\"introspect\"]".to_owned(),
            "clients[0].rights: need a client that has a secret".to_owned(),
        ),
        (
            format!("client_id = \"a\"\nscope = \"a  b\"\n{secret}"),
            "clients[0].scope: must be scopes separated by one space; found \"a  b\"".to_owned(),
        ),
        (
            format!("client_id = \"a\"\naudiences = [\"\"]\n{secret}"),
            "clients[0].audiences: must not hold an empty text".to_owned(),
        ),
        (
            format!("client_id = \"a\"\naccess_token_lifetime = \"400d\"\n{secret}"),
            "clients[0].access_token_lifetime: must not be longer than tokens.max_lifetime".to_owned(),
        ),
        (
            "client_id = \"a\"\ntoken_endpoint_auth_method = \"private_key_jwt\"".to_owned(),
            "clients[0].token_endpoint_auth_method: private_key_jwt needs jwks: the keys that the client signs with"
                .to_owned(),
        ),
        (
            format!("client_id = \"a\"\njwks_file = \"missing.json\"\n{secret}"),
            "clients[0].jwks_file: missing.json: No such file or directory (os error 2)".to_owned(),
        ),
        (
            format!(
                "client_id = \"a\"\ntoken_endpoint_auth_method = \"tls_client_auth\"\n\
                 tls_client_auth_san_dns = \"a.example\"\n{secret}"
            ),
            "clients[0].token_endpoint_auth_method: is tls_client_auth, and yet the client has a secret; remove one of \
             the two"
                .to_owned(),
        ),
        (
            "client_id = \"a\"\ntoken_endpoint_auth_method = \"tls_client_auth\"\ntls_client_auth_san_dns = \
             \"a.example\"\ntls_client_auth_san_ip = \"10.0.0.1\""
                .to_owned(),
            "clients[0].tls_client_auth_san_ip: tls_client_auth_san_ip is given beside tls_client_auth_san_dns: a client \
             has exactly one of them"
                .to_owned(),
        ),
        (
            format!("client_id = \"a\"\n{secret}[[clients]]\nclient_id = \"a\"\n{secret}"),
            "clients: two clients have the client_id \"a\"".to_owned(),
        ),
        (
            format!("client_id = \"a\"\nclient_secret_fil = \"x\"\n{secret}"),
            "clients[0].client_secret_fil: is no setting; did you mean clients[].client_secret_file?".to_owned(),
        ),
    ] {
        toml_says(&format!("[[clients]]\n{content}"), &message);
    }
}

#[test]
fn an_unknown_key_is_named_with_the_nearest_known_one() {
    for (content, message) in [
        ("[http]\nmax_body_byte = 1", "http.max_body_byte: is no setting; did you mean http.max_body_bytes?"),
        ("[htp]\nmax_headers = 50", "htp: is no setting; did you mean http?"),
        ("access_lifetime = \"5m\"", "access_lifetime: is no setting; did you mean tokens.access_lifetime?"),
        ("[database]\npassword = \"hunter2\"", "database: is no setting"),
    ] {
        toml_says(content, message);
    }
    let case = Case::new()
        .variable("INTROSPECTD_HTTP__MAX_BODY", "1")
        .variable("INTROSPECTD_HTTP_MAX_HEADERS", "50")
        .variable("INTROSPECTD_CLIENTS__0__CLIENT_ID", "a")
        .variable("INTROSPECTD_SOMETHING__ELSE", "hunter2")
        .flag("http.max_header", "50");
    says(
        &case,
        &[
            "INTROSPECTD_CLIENTS__0__CLIENT_ID: names no setting; INTROSPECTD_CLIENTS takes the whole list, as JSON",
            "INTROSPECTD_HTTP_MAX_HEADERS: names no setting; did you mean INTROSPECTD_HTTP__MAX_HEADERS?",
            "INTROSPECTD_HTTP__MAX_BODY: names no setting; did you mean INTROSPECTD_HTTP__MAX_BODY_BYTES?",
            "INTROSPECTD_SOMETHING__ELSE: names no setting",
            "command line: http.max_header: names no setting; did you mean http.max_headers?",
        ],
    );
}

#[test]
fn all_mistakes_are_reported_at_once() {
    let case = Case::new()
        .file("a.toml", "[http]\nmax_headers = 1\nmax_boddy_bytes = 3\n[log]\nformat = \"xml\"\n")
        .file("b.yaml", "drain:\n  min: 2h\ntokens:\n  imports:\n")
        .file("c.json", "{\"log\": {\"access\": \"some\", \"access\": \"all\"}}")
        .file("d.ini", "x")
        .variable("INTROSPECTD_REDIS__CONNECTIONS", "many")
        .flag("public.address", "here");
    says(
        &case,
        &[
            "c.json: log.access: is given twice",
            "d.ini: must end in .toml, .yaml, .yml or .json",
            "command line: public.address: must be an IP address and a port, as 127.0.0.1:8080 or [::1]:8080; found \
             \"here\"",
            "INTROSPECTD_REDIS__CONNECTIONS: redis.connections: must be a whole number, from 1 to 64; found \"many\"",
            "INTROSPECTD_REDIS__CONNECTIONS: redis.connections: has no effect without redis.url",
            "b.yaml: tokens.imports: has no value; give it one or remove the key",
            "a.toml: http.max_headers: must be a whole number, from 10 to 1000; found 1",
            "b.yaml: drain.min: must be a duration with its unit (us, ms, s, m, h, d), as 250ms or 15m, from 0s to 1h; \
             found \"2h\"",
            "a.toml: log.format: must be one of text, json; found \"xml\"",
            "a.toml: http.max_boddy_bytes: is no setting; did you mean http.max_body_bytes?",
        ],
    );
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let mut case = Case::new().file("a.toml", "x = \n").file("b.yaml", "- 1\n").file("c.json", "[");
    case.sources.files.push(case.folder.path().join("missing.toml"));
    case.sources.files.push(case.beside("latin.toml", [0xE9]));
    says(
        &case,
        &[
            "a.toml: line 1, column 5: string values must be quoted, expected literal string",
            "b.yaml: must hold a table of settings, and holds a list",
            "c.json: line 1, column 1: not valid JSON",
            "missing.toml: cannot be read: No such file or directory (os error 2)",
            "latin.toml: is not UTF-8",
        ],
    );
}

/// What is not a place that traces can be sent to is said at the start, and not found out by each export.
#[test]
fn collectors_are_urls_and_shares_are_shares() {
    for endpoint in [
        "collector:4318",
        "ftp://collector",
        "http://",
        "http://user:password@collector",
        "http://collector?a=b",
        "http://collector#a",
        "http://collector:0",
    ] {
        let case = Case::new().file("a.toml", &format!("[tracing]\nendpoint = \"{endpoint}\""));
        let said = case.errors();
        assert_eq!(said.len(), 1, "{endpoint}: {said:?}");
        assert!(said[0].contains("tracing.endpoint") && !said[0].contains("password@"), "{said:?}");
    }
    for ratio in ["-0.1", "1.5", "\"all\"", "nan"] {
        let case = Case::new().file("a.toml", &format!("[tracing]\nsample_ratio = {ratio}"));
        assert!(case.errors()[0].contains("tracing.sample_ratio"), "{ratio}");
    }
}
