//! The verbs that talk to a running service.

use serde_json::{Value, json};

use crate::support::program::{Finished, Program, run, run_with};

/// A service and how to call it from the command line.
struct Service {
    program: Program,
    environment: Vec<(&'static str, String)>,
}

impl Service {
    fn start() -> Self {
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

    fn run_with(&self, arguments: &[&str], input: &str) -> Finished {
        let environment: Vec<(&str, &str)> = self.environment.iter().map(|(name, value)| (*name, &**value)).collect();
        run_with(arguments, &environment, input)
    }

    fn run(&self, arguments: &[&str]) -> Finished {
        self.run_with(arguments, "")
    }

    /// Runs it with `--format json` and gives what it printed.
    fn json(&self, arguments: &[&str]) -> Value {
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
