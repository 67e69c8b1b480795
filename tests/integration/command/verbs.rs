//! The verbs that talk to a running service.

use serde_json::{Value, json};

use crate::support::node::AUDIENCE;
use crate::support::program::{Finished, Program, run, run_with};

/// A service and how to call it from the command line.
pub(super) struct Service {
    pub(super) program: Program,
    pub(super) environment: Vec<(&'static str, String)>,
}

impl Service {
    pub(super) fn start() -> Self {
        let program = Program::serve(&["--dev"], &[]);
        let mut service = Self { program, environment: Vec::new() };
        let (id, secret) = service.program.client("operator");
        service.environment = vec![
            ("ITD_PUBLIC_URL", service.program.text("/public").to_owned()),
            ("ITD_ADMIN_URL", service.program.text("/admin").to_owned()),
            ("ITD_CLIENT_ID", id.to_owned()),
            ("ITD_CLIENT_SECRET", secret.to_owned()),
        ];
        service
    }

    pub(super) fn run_with(&self, arguments: &[&str], input: &str) -> Finished {
        let environment: Vec<(&str, &str)> = self.environment.iter().map(|(name, value)| (*name, &**value)).collect();
        run_with(arguments, &environment, input)
    }

    pub(super) fn run(&self, arguments: &[&str]) -> Finished {
        self.run_with(arguments, "")
    }

    /// Runs it with `--format json` and gives what it printed.
    pub(super) fn json(&self, arguments: &[&str]) -> Value {
        self.run(&[arguments, &["--format", "json"]].concat()).json()
    }

    /// The same verb as a table: its lines, split at white space.
    fn table(&self, arguments: &[&str]) -> Vec<Vec<String>> {
        let finished = self.run(arguments);
        assert_eq!(finished.code, Some(0), "{finished:?}");
        finished.stdout.lines().map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
    }

    /// The same without one variable, and with others.
    fn changed(&self, without: &str, with: &[(&str, &str)], arguments: &[&str]) -> Finished {
        let kept = self.environment.iter().filter(|(name, _)| *name != without);
        let environment: Vec<(&str, &str)> =
            kept.map(|(name, value)| (*name, &**value)).chain(with.iter().copied()).collect();
        run(arguments, &environment)
    }
}

#[test]
fn clients_are_kept_from_the_command_line() {
    let service = Service::start();
    let created = service.json(&[
        "client",
        "create",
        "--id",
        "gate way/1",
        "--name",
        "Gateway",
        "--auth-method",
        "client_secret_basic",
        "--grant-types",
        "client_credentials,refresh_token",
        "--scope",
        "read write",
        "--audiences",
        "a,b",
        "--rights",
        "introspect,revoke",
        "--access-token-lifetime",
        "60",
    ]);
    assert_eq!((&created["client_id"], &created["client_name"]), (&json!("gate way/1"), &json!("Gateway")));
    assert_eq!((&created["audiences"], &created["rights"]), (&json!(["a", "b"]), &json!(["introspect", "revoke"])));
    assert_eq!(created["grant_types"], json!(["client_credentials", "refresh_token"]));
    assert!(created["client_secret"].is_string());
    let id = "gate way/1";
    assert_eq!(service.json(&["client", "get", id])["client_id"], json!(id));
    assert_eq!(service.json(&["client", "update", id, "--scope", "read"])["scope"], json!("read"));
    assert_eq!(service.json(&["client", "get", id])["client_name"], json!("Gateway"), "the others are left");
    let rotated = service.json(&["client", "rotate-secret", id, "--overlap-seconds", "60"]);
    assert_ne!(rotated["client_secret"], created["client_secret"]);
    assert_eq!(service.json(&["client", "revoke", id]), json!({"changed": true}));
    assert_eq!(service.json(&["client", "get", id])["state"], json!("revoked"));
    assert_eq!(service.json(&["client", "approve", id]), json!({"changed": true}));
    let listed = service.json(&["client", "list"]);
    let ids: Vec<&str> =
        listed.as_array().unwrap().iter().map(|client| client["client_id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["dev-application", "dev-operator", "dev-resource-server", id]);

    let table = service.table(&["client", "list"]);
    assert_eq!(table[0], ["CLIENT_ID", "CLIENT_NAME", "STATE", "RIGHTS", "SCOPE", "AUDIENCES"]);
    assert_eq!(table[4], ["gate", "way/1", "Gateway", "approved", "introspect", "revoke", "read", "a", "b"]);
    let table = service.table(&["client", "get", id]);
    assert!(table.contains(&vec!["client_name".into(), "Gateway".into()]), "{table:?}");
    assert_eq!(service.table(&["client", "delete", id]), [["deleted", "gate", "way/1"]]);
    let gone = service.run(&["client", "get", id]);
    assert_eq!((gone.code, gone.stdout.as_str()), (Some(1), ""));
    assert!(gone.stderr.contains("404") && gone.stderr.contains("not_found"), "{}", gone.stderr);
}

#[test]
fn tokens_are_issued_asked_about_and_revoked_from_the_command_line() {
    let service = Service::start();
    let issued = service.json(&[
        "token",
        "issue",
        "--for",
        "dev-application",
        "--sub",
        "bob",
        "--username",
        "bob@example.com",
        "--scope",
        "read",
        "--aud",
        "https://api.example.com,orders",
        "--expires-in",
        "60",
        "--refresh",
        "--refresh-expires-in",
        "120",
        "--claims",
        r#"{"department": 7}"#,
    ]);
    let token = issued["access_token"].as_str().unwrap();
    assert!(issued["refresh_token"].is_string());
    let described = service.json(&["token", "introspect", token]);
    assert_eq!((&described["active"], &described["sub"]), (&json!(true), &json!("bob")));
    assert_eq!((&described["department"], &described["scope"]), (&json!(7), &json!("read")));
    assert_eq!(described["aud"], json!(["https://api.example.com", "orders"]));
    let table = service.table(&["token", "introspect", token]);
    assert!(table.contains(&vec!["active".into(), "true".into()]), "{table:?}");
    // A token on a command line can be read by others on the machine; from standard input it cannot.
    let by_input = service.run_with(&["token", "introspect", "-", "--format", "json"], &format!("{token}\n"));
    assert_eq!(by_input.json(), described);
    let revoked = service.run_with(&["token", "revoke", "-"], token);
    assert_eq!((revoked.code, revoked.stdout.as_str()), (Some(0), "revoked  true\n"));
    assert_eq!(service.json(&["token", "introspect", token]), json!({"active": false}));
    let wrong = service.run(&["token", "issue", "--for", "dev-application", "--claims", "[1]"]);
    assert_eq!(wrong.code, Some(2), "{wrong:?}");
    let unknown = service.run(&["token", "issue", "--for", "nobody"]);
    assert_eq!(unknown.code, Some(1));
    assert!(unknown.stderr.contains("400") && unknown.stderr.contains("invalid_request"), "{}", unknown.stderr);
}

/// A token, by each of its names and with both cascades: whoever presses Ctrl+C on a leak has no time for surprises.
#[test]
fn tokens_are_revoked_and_approved_by_each_of_their_names() {
    let service = Service::start();
    let create = ["client", "create", "--id", "app", "--rights", "introspect", "--audiences", AUDIENCE];
    let created = service.json(&[&create[..], &["--grant-types", "client_credentials,refresh_token"]].concat());
    // A refresh token is shown to nobody but its owner.
    let owner = [("ITD_CLIENT_ID", "app"), ("ITD_CLIENT_SECRET", created["client_secret"].as_str().unwrap())];
    let is_active = |token: &str| {
        let introspect = ["token", "introspect", token, "--format", "json"];
        service.changed("ITD_CLIENT_SECRET", &owner, &introspect).json()["active"].as_bool().unwrap()
    };
    for form in ["opaque", "jwt"] {
        let issue = ["token", "issue", "--for", "app", "--aud", AUDIENCE, "--refresh", "--token-format", form];
        let issued = service.json(&issue);
        let text = |name: &str| issued[name].as_str().unwrap();
        let (access, refresh) = (text("access_token"), text("refresh_token"));
        assert_eq!(access.split('.').count(), if form == "jwt" { 3 } else { 1 });
        let alive = || [access, refresh].map(is_active);
        assert_eq!(alive(), [true, true]);
        for name in [&[access][..], &["--jti", text("jti")], &["--grant-id", text("grant_id")]] {
            let by_grant = name[0] == "--grant-id";
            for alone in [true, false] {
                let cascade: &[&str] = if alone { &["--no-cascade"] } else { &[] };
                let verb = |verb: &'static str, cascade: &[&'static str]| {
                    let arguments = [&["token", verb], cascade, name].concat();
                    service.json(&arguments)
                };
                let own = name == [access] && !alone;
                let revoked = if own { json!({"revoked": true}) } else { json!({"changed": true}) };
                assert_eq!(verb("revoke", cascade), revoked, "{form} {name:?} {alone}");
                assert_eq!(alive(), [by_grant && alone, false], "{form} {name:?} {alone}");
                assert_eq!(verb("approve", &["--no-cascade"]), json!({"changed": true}), "{form} {name:?} {alone}");
                assert_eq!(alive(), [!by_grant || alone, by_grant], "{form} {name:?} {alone}");
                service.json(&["token", "approve", "--grant-id", text("grant_id")]);
                assert_eq!(alive(), [true, true], "{form} {name:?} {alone}");
            }
        }
        assert_eq!(service.table(&["token", "revoke", "--jti", text("jti")]), [["changed", "true"]]);
        assert_eq!(service.table(&["token", "approve", "--jti", text("jti")]), [["changed", "true"]]);
        let by_input = service.run_with(&["token", "revoke", "-", "--no-cascade"], &format!("{access}\n"));
        assert_eq!((by_input.code, &*by_input.stdout), (Some(0), "changed  true\n"), "{by_input:?}");
        let by_input = service.run_with(&["token", "approve", "-"], access);
        assert_eq!((by_input.code, &*by_input.stdout), (Some(0), "changed  true\n"), "{by_input:?}");
        for verb in ["revoke", "approve"] {
            for wrong in [
                &[][..],
                &["--no-cascade"],
                &[access, "--jti", "x"],
                &[access, "--grant-id", "x"],
                &["--jti", "x", "--grant-id", "x"],
            ] {
                assert_eq!(service.run(&[&["token", verb], wrong].concat()).code, Some(2), "{verb} {wrong:?}");
            }
            let unknown = service.run(&["token", verb, "--jti", "AAAAAAAAAAAAAAAAAAAAAA", "--no-cascade"]);
            assert_eq!(unknown.code, Some(1), "{unknown:?}");
            assert!(unknown.stderr.contains("404"), "{}", unknown.stderr);
        }
        assert_eq!(alive(), [true, true]);
    }
}

#[test]
fn many_tokens_are_revoked_at_once_from_the_command_line() {
    let service = Service::start();
    let now = introspectd::token::time::Clock::System.now().seconds().0;
    let (early, late) = ((now - 3600).to_string(), (now + 3600).to_string());
    for form in ["opaque", "jwt"] {
        let issue = || {
            let issue = ["token", "issue", "--for", "dev-application", "--sub", "bob", "--aud", AUDIENCE];
            let issued = service.json(&[&issue[..], &["--token-format", form]].concat());
            issued["access_token"].as_str().unwrap().to_owned()
        };
        let is_active = |token: &str| service.json(&["token", "introspect", token])["active"] == json!(true);
        for axis in [
            &["--client", "dev-application"][..],
            &["--user", "bob"],
            &["--client", "dev-application", "--user", "bob"],
            &["--all"],
        ] {
            let token = issue();
            let before = [&["revoke", "--before", &early], axis].concat();
            assert_eq!(service.run(&before).code, Some(0));
            assert!(is_active(&token), "issued after that: {axis:?}");
            assert_eq!(service.json(&[&["revoke"], axis].concat()), json!({"changed": true}), "{axis:?}");
            assert!(!is_active(&token), "{axis:?}");
            assert!(is_active(&issue()), "{axis:?}");
            assert_eq!(service.table(&[&["revoke"], axis].concat()), [["changed", "true"]], "{axis:?}");
            let future = service.run(&[&["revoke", "--before", &late], axis].concat());
            assert_eq!(future.code, Some(1), "{future:?}");
        }
    }
    for wrong in [&[][..], &["--before", "1"], &["--all", "--client", "x"], &["--all", "--user", "x"]] {
        assert_eq!(service.run(&[&["revoke"], wrong].concat()).code, Some(2), "{wrong:?}");
    }
}

#[test]
fn tokens_are_bound_and_described_in_detail_from_the_command_line() {
    let service = Service::start();
    let now = introspectd::token::time::Clock::System.now().seconds().0;
    let exp = (now + 600).to_string();
    let issue = ["token", "issue", "--for", "dev-application", "--aud", AUDIENCE];
    let cnf = r#"{"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}"#;
    let details = r#"[{"type": "payment", "amount": 7}]"#;
    let issued =
        service.json(&[&issue[..], &["--exp", &exp, "--cnf", cnf, "--authorization-details", details]].concat());
    assert_eq!(issued["token_type"], json!("DPoP"));
    let described = service.json(&["token", "introspect", issued["access_token"].as_str().unwrap()]);
    assert_eq!(described["exp"], json!(now + 600));
    assert_eq!(described["cnf"], serde_json::from_str::<Value>(cnf).unwrap());
    assert_eq!(described["authorization_details"], serde_json::from_str::<Value>(details).unwrap());
    for (wrong, said) in [
        (["--cnf", "[1]"], "--cnf is no JSON object"),
        (["--authorization-details", "{}"], "--authorization-details is no JSON array"),
        (["--claims", "7"], "--claims is no JSON object"),
    ] {
        let finished = service.run(&[&issue[..], &wrong].concat());
        assert_eq!(finished.code, Some(2), "{finished:?}");
        assert!(finished.stderr.contains(said), "{}", finished.stderr);
    }
    let both = service.run(&[&issue[..], &["--exp", &exp, "--expires-in", "60"]].concat());
    assert_eq!(both.code, Some(2), "{both:?}");
}

/// Every member that the admin listener takes, by its own name.
#[test]
fn rfc7591_2_all_of_a_client_is_said_on_the_command_line() {
    let service = Service::start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jwks.json");
    let keys = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]});
    std::fs::write(&file, keys.to_string()).unwrap();
    let file = file.to_str().unwrap();
    let members: &[&str] = &[
        "--client-name=Signing",
        "--token-endpoint-auth-method=private_key_jwt",
        "--grant-types=client_credentials,refresh_token",
        "--token-endpoint-auth-signing-alg=EdDSA",
        "--assertion-audience-endpoints",
        "--access-token-format=jwt",
        "--access-token-signing-alg=ES256",
        "--introspection-signed-response-alg=PS256",
        "--access-token-lifetime=60",
        "--refresh-token-lifetime=3600",
        "--refresh-token-idle-lifetime=600",
        "--authorization-details-types=payment,account",
        "--dpop-bound-access-tokens",
        "--tls-client-certificate-bound-access-tokens=false",
        "--repeated-credentials=true",
    ];
    let create = ["client", "create", "--jwks", file];
    let created = service.json(&[&create[..], members].concat());
    let by_input = [&["client", "create", "--jwks", "-", "--format", "json"], members].concat();
    let by_input = service.run_with(&by_input, &keys.to_string()).json();
    for client in [&created, &by_input] {
        for (member, value) in [
            ("client_name", json!("Signing")),
            ("token_endpoint_auth_method", json!("private_key_jwt")),
            ("token_endpoint_auth_signing_alg", json!("EdDSA")),
            ("assertion_audience_endpoints", json!(true)),
            ("access_token_format", json!("jwt")),
            ("access_token_signing_alg", json!("ES256")),
            ("introspection_signed_response_alg", json!("PS256")),
            ("access_token_lifetime", json!(60)),
            ("refresh_token_lifetime", json!(3600)),
            ("refresh_token_idle_lifetime", json!(600)),
            ("authorization_details_types", json!(["payment", "account"])),
            ("dpop_bound_access_tokens", json!(true)),
            ("tls_client_certificate_bound_access_tokens", json!(false)),
            ("repeated_credentials", json!(true)),
        ] {
            assert_eq!(client[member], value, "{member}");
        }
        assert_eq!(client["jwks"]["keys"][0]["x"], keys["keys"][0]["x"]);
    }
    let id = created["client_id"].as_str().unwrap();
    let table = service.table(&["client", "get", id]);
    assert!(table.contains(&vec!["access_token_format".into(), "jwt".into()]), "{table:?}");
    let update = [
        "client",
        "update",
        id,
        "--access-token-signing-alg=",
        "--refresh-token-lifetime=0",
        "--dpop-bound-access-tokens=false",
        "--authorization-details-types=",
    ];
    let updated = service.json(&update);
    assert_eq!((updated.get("access_token_signing_alg"), updated.get("refresh_token_lifetime")), (None, None));
    assert_eq!(updated["dpop_bound_access_tokens"], json!(false));
    assert_eq!(updated["authorization_details_types"], json!([]));
    assert_eq!(updated["access_token_format"], json!("jwt"), "the others are left");

    for (flag, value) in [
        ("--tls-client-auth-subject-dn", "CN=app,O=Example"),
        ("--tls-client-auth-san-dns", "app.example.com"),
        ("--tls-client-auth-san-uri", "spiffe://example.com/app"),
        ("--tls-client-auth-san-ip", "2001:db8::1"),
        ("--tls-client-auth-san-email", "app@example.com"),
    ] {
        let client = service.json(&["client", "create", "--auth-method", "tls_client_auth", flag, value]);
        assert_eq!(client[flag[2..].replace('-', "_")], json!(value));
        let two = service.run(&["client", "create", flag, value, "--tls-client-auth-san-dns", "b", flag, value]);
        assert_eq!(two.code, Some(2), "{two:?}");
    }
    std::fs::write(file, r#"{"keys": [{"kty": "OKP", "d": "hunter2"}], nonsense"#).unwrap();
    for (file, said) in [(file, "--jwks holds no JSON object"), ("/nowhere/jwks.json", "/nowhere/jwks.json")] {
        let wrong = service.run(&["client", "create", "--jwks", file]);
        assert_eq!((wrong.code, &*wrong.stdout), (Some(2), ""), "{wrong:?}");
        assert!(wrong.stderr.contains(said) && !wrong.stderr.contains("hunter"), "{}", wrong.stderr);
    }
    let help = service.run(&["client", "create", "--help"]).stdout;
    for method in [
        "client_secret_basic",
        "client_secret_post",
        "private_key_jwt",
        "tls_client_auth",
        "self_signed_tls_client_auth",
        "none",
    ] {
        assert!(help.contains(&format!("`{method}`")), "{method} is not in the help");
    }
}

#[test]
fn keys_are_rotated_retired_and_removed_from_the_command_line() {
    let service = Service::start();
    let rotate = ["keys", "rotate", "--algorithm", "EdDSA", "--use", "introspection"];
    let states = |keys: &Value| -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let mine = keys.as_array().unwrap().iter().filter(|key| key["algorithm"] == "EdDSA");
        mine.map(|key| (text(&key["kid"]), text(&key["state"]))).collect()
    };
    let keys = states(&service.json(&rotate));
    assert!(keys.len() >= 2, "a key and the next: {keys:?}");
    assert_eq!(states(&service.json(&["keys", "list"])), keys);
    let table = service.table(&["keys", "list"]);
    assert_eq!(table[0][..4], ["KID", "ALGORITHM", "USE", "STATE"]);
    assert!(table.iter().any(|row| row[..3] == [&*keys[0].0, "EdDSA", "introspection"]), "{table:?}");
    let kid = keys[0].0.as_str();
    let retired = service.json(&["keys", "retire", kid]);
    let retired = retired.as_array().unwrap().iter().find(|key| key["kid"] == kid).unwrap();
    assert!(
        retired["retires_at"].is_u64(),
        "it signs until the next one has been published for long enough: {retired}"
    );
    assert_eq!(service.json(&["keys", "remove", kid]), json!({"removed": kid}));
    assert!(states(&service.json(&["keys", "list"])).iter().all(|(other, _)| other != kid));
    let last = keys.last().unwrap().0.as_str();
    assert_eq!(service.table(&["keys", "remove", last]), [["removed", last]]);
    for verb in ["retire", "remove"] {
        let gone = service.run(&["keys", verb, kid]);
        assert_eq!((gone.code, &*gone.stdout), (Some(1), ""), "{gone:?}");
        assert!(gone.stderr.contains("404"), "{}", gone.stderr);
    }
    assert_eq!(service.run(&["keys", "rotate", "--algorithm", "HS256"]).code, Some(1));
}

#[test]
fn who_asks_is_said_by_variables_or_a_file_and_never_by_an_argument() {
    let service = Service::start();
    let list = ["client", "list"];
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    std::fs::write(&file, format!("{}\n", service.program.client("operator").1)).unwrap();
    let by_file = service.changed("ITD_CLIENT_SECRET", &[("ITD_CLIENT_SECRET_FILE", file.to_str().unwrap())], &list);
    assert_eq!(by_file.code, Some(0), "{by_file:?}");
    for (without, with, code, said) in [
        ("ITD_CLIENT_ID", &[][..], 2, "--client-id"),
        ("ITD_CLIENT_SECRET", &[], 2, "ITD_CLIENT_SECRET"),
        ("ITD_CLIENT_SECRET", &[("ITD_CLIENT_SECRET_FILE", "/nowhere/secret")], 2, "/nowhere/secret"),
        ("ITD_CLIENT_SECRET", &[("ITD_CLIENT_SECRET", "wrong-hunter")], 1, "invalid_client"),
        ("ITD_ADMIN_URL", &[("ITD_ADMIN_URL", "http://127.0.0.1:1")], 1, "127.0.0.1:1"),
        ("ITD_ADMIN_URL", &[("ITD_ADMIN_URL", "ftp://127.0.0.1:1")], 2, "http://"),
        ("ITD_ADMIN_URL", &[("ITD_ADMIN_URL", "https://127.0.0.1:1")], 2, "--ca-file"),
    ] {
        let finished = service.changed(without, with, &list);
        assert_eq!((finished.code, finished.stdout.as_str()), (Some(code), ""), "{with:?}: {}", finished.stderr);
        assert!(finished.stderr.contains(said) && !finished.stderr.contains("hunter"), "{}", finished.stderr);
    }
    let argument = service.run(&["client", "list", "--client-secret", "hunter"]);
    assert_eq!(argument.code, Some(2), "whoever lists the processes of a machine reads their arguments");
}

#[test]
fn health_is_told_by_the_exit_code() {
    let service = Service::start();
    let places = service.environment[..2].to_vec();
    let places: Vec<(&str, &str)> = places.iter().map(|(name, value)| (*name, value.as_str())).collect();
    for arguments in [&["health"][..], &["health", "--public"]] {
        let finished = run(arguments, &places);
        assert_eq!((finished.code, finished.stdout.as_str()), (Some(0), "{\"status\":\"alive\"}\n"), "{finished:?}");
    }
    for arguments in [&["health", "--ready"][..], &["health", "--ready", "--public"]] {
        let finished = run(arguments, &places);
        assert_eq!((finished.code, finished.stdout.as_str()), (Some(0), "{\"status\":\"ready\"}\n"), "{finished:?}");
    }
    assert_eq!(service.program.signal("-TERM").code, Some(0));
    for arguments in [&["health"][..], &["health", "--ready"], &["health", "--public"]] {
        let finished = run(arguments, &places);
        assert_eq!((finished.code, finished.stdout.as_str()), (Some(1), ""), "{finished:?}");
        assert!(finished.stderr.contains("cannot reach"), "{}", finished.stderr);
    }
}
