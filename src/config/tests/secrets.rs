//! Secrets: their two forms, and that no way of going wrong shows one.

use super::*;

/// What must never be seen.
const MARK: &str = "hunter2";

#[test]
fn a_secret_is_read_from_a_file_without_its_last_line_break() {
    for (content, expected) in
        [("redis://u:hunter2@r\n", "redis://u:hunter2@r"), ("redis://r\r\n", "redis://r"), ("redis://r", "redis://r")]
    {
        let case = Case::new();
        let url = case.beside("url", content);
        let key = case.beside("key", "0123456789abcdef0123456789abcdef\n\n");
        let toml = format!("[[keys.digest]]\nid = \"01\"\nsecret_file = {:?}\n", key.display());
        let case = case.file("a.toml", &toml).variable("INTROSPECTD_REDIS__URL_FILE", url.to_str().unwrap());
        let config = case.config();
        let StoreConfig::Redis(redis) = &config.store else { panic!("{:?}", config.store) };
        assert_eq!(redis.url.expose(), expected);
        assert_eq!(config.keys.digest[0].secret.expose(), "0123456789abcdef0123456789abcdef\n", "one, and no more");
        assert!(!case.printed().contains(MARK));
        assert!(case.printed().contains("url = \"<redacted>\" # INTROSPECTD_REDIS__URL_FILE"));
    }
}

#[test]
fn both_forms_at_once_are_refused() {
    let case = Case::new();
    let url = case.beside("url", "redis://r");
    let case = case
        .file("a.toml", "[redis]\nurl = \"redis://u:hunter2@r\"\n[[keys.digest]]\nid = \"01\"\nsecret = \"0123456789abcdef0123456789abcdef\"")
        .variable("INTROSPECTD_REDIS__URL_FILE", url.to_str().unwrap());
    assert_eq!(
        case.errors(),
        ["INTROSPECTD_REDIS__URL_FILE: redis.url_file: redis.url is set too, in a.toml; set only one of the two"]
    );
}

#[test]
fn a_secret_file_that_cannot_be_used_is_named_without_its_content() {
    let case = Case::new();
    case.beside("latin", [b"hunter2".as_slice(), &[0xE9]].concat());
    case.beside("empty", "\n");
    case.beside("huge", "hunter2".repeat(10_000));
    for (name, message) in [
        ("missing", "No such file or directory (os error 2)"),
        ("latin", "is not UTF-8"),
        ("empty", "is empty"),
        ("huge", "is longer than 65536 bytes"),
    ] {
        let path = case.folder.path().join(name);
        let case = Case::new().flag("redis.url_file", path.to_str().unwrap());
        let expected = format!("command line: redis.url_file: {}: {message}", path.display());
        let errors = case.errors();
        assert!(errors.contains(&expected), "{errors:?}");
        assert!(!errors.join("\n").contains(MARK), "{errors:?}");
    }
}

/// Every secret, wrong in every way, from every source; and what is shown of it.
#[test]
fn no_mistake_shows_a_secret() {
    let long = MARK.repeat(400);
    let files = [
        format!("[redis]\nurl = \"{MARK}\"\n"),
        format!("[redis]\nurl = \"redis://u:{MARK}@r:notaport\"\n"),
        format!("[redis]\nurl = [\"{MARK}\"]\n"),
        format!("[redis]\nurl = {{ a = \"{MARK}\" }}\n"),
        format!("[redis]\nurl = redis://u:{MARK}@r\n"),
        format!("[redis]\nurl = \"redis://u:{MARK}@r\"\nca_file = \"x\"\n"),
        format!("[redis]\nurl = \"redis://u:{MARK}@r\"\n[store]\npath = \"x\"\n"),
        format!("[[keys.digest]]\nid = \"01\"\nsecret = \"{MARK}\"\n"),
        format!("[[keys.digest]]\nid = \"01\"\nsecret = [\"{MARK}\"]\n"),
        format!("[[keys.digest]]\nid = \"01\"\nsecret = \"{MARK}\"\nsecret_file = \"x\"\n"),
        format!("[[clients]]\nclient_id = \"a\"\nclient_secret = \"{MARK}\\u00e9\"\n"),
        format!("[[clients]]\nclient_id = \"a\"\nclient_secret = \"{long}\"\n"),
        format!("[[clients]]\nclient_id = \"a\"\ntoken_endpoint_auth_method = \"none\"\nclient_secret = \"{MARK}\"\n"),
        format!("[[clients]]\nclient_id = \"a\"\nclient_secrets = \"{MARK}\"\n"),
        format!("[redis]\npassword = \"{MARK}\"\n"),
        format!("clients = \"{MARK}\"\n"),
        format!("redis = \"{MARK}\"\n"),
        format!("{MARK}{MARK} {MARK}\n"),
    ];
    for content in files {
        let case = Case::new().file("a.toml", &content);
        let shown = case.errors().join("\n");
        assert!(!shown.replace(&format!("{MARK}{MARK}"), "").contains(MARK), "{content}{shown}");
    }
    for (name, value) in [
        ("REDIS__URL", MARK.to_owned()),
        ("REDIS", format!("{{\"url\": \"{MARK}\"")),
        ("REDIS", format!("[\"{MARK}\"]")),
        ("KEYS__DIGEST", MARK.to_owned()),
        ("KEYS__DIGEST", format!("[{{\"id\": \"01\", \"secret\": \"{MARK}\"}}]")),
        ("KEYS__DIGEST", format!("[\"{MARK}\"]")),
        ("CLIENTS", format!("[{{\"client_id\": \"a\", \"client_secret\": {{\"x\": \"{MARK}\"}}}}]")),
        ("CLIENTS", format!("{{\"client_secret\": \"{MARK}\"}}")),
        ("REDIS__PASSWORD", MARK.to_owned()),
    ] {
        let variable = Case::new().variable(&format!("INTROSPECTD_{name}"), &value);
        let flag = Case::new().flag(&name.to_lowercase().replace("__", "."), &value);
        for case in [variable, flag] {
            let shown = case.errors().join("\n");
            assert!(!shown.contains(MARK), "{name} {value}\n{shown}");
        }
    }
}

#[test]
fn settings_can_be_printed_for_debugging_without_their_secrets() {
    let case = Case::new()
        .variable("INTROSPECTD_REDIS__URL", "redis://u:hunter2@r")
        .variable("INTROSPECTD_KEYS__DIGEST", r#"[{"id":"01","secret":"hunter2hunter2hunter2hunter2hunter2"}]"#)
        .variable("INTROSPECTD_CLIENTS", r#"[{"client_id":"a","client_secret":"hunter2-hunter2"}]"#);
    assert!(!format!("{:?}", case.config()).contains(MARK));
    assert!(!case.printed().contains(MARK));
}

/// A secret may consist of digits and be written without quotes.
#[test]
fn a_secret_that_looks_like_a_number_is_not_shown_either() {
    for digits in ["123454321", "99912345432199999999999", "9991234543219999999999999999999999999999999999999"] {
        for (name, content) in [
            ("a.toml", format!("[redis]\nurl = {digits}\n")),
            ("a.yaml", format!("redis:\n  url: {digits}\n")),
            ("a.json", format!("{{\"redis\": {{\"url\": {digits}}}}}")),
        ] {
            let case = Case::new().file(name, &content);
            let shown = case.errors().join("\n");
            assert!(!shown.contains("12345"), "{shown}");
        }
    }
}

#[test]
fn a_variable_that_is_not_text_is_refused_without_its_value() {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt as _;

    struct Latin;
    impl Environment for Latin {
        fn variables(&self) -> Vec<(OsString, OsString)> {
            vec![("INTROSPECTD_REDIS__URL".into(), OsString::from_vec(b"hunter2\xE9".to_vec()))]
        }
    }
    let sources = Sources { files: vec![], environment: Latin, overrides: vec![] };
    let errors = Config::load(&sources).unwrap_err().to_string();
    assert_eq!(errors, "INTROSPECTD_REDIS__URL: redis.url: is not UTF-8");
}
