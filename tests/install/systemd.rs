//! The systemd unit and its drop-in against the service, and as systemd itself reads them.

use std::time::Duration;

use introspectd::config::{Config, StoreConfig};
use tempfile::TempDir;

use super::{PROGRAM, root, run, settings, text};

const UNIT: &str = "deploy/systemd/introspectd.service";
const DROP_IN: &str = "deploy/systemd/secrets.conf";
const EXAMPLE: &str = "deploy/introspectd.toml";
/// What threads that hash passwords ask for.
const PRIORITIES: &str = "sched_setattr sched_setparam sched_setscheduler";
/// Where the unit says that the program is.
const INSTALLED: &str = "/usr/local/bin/introspectd";

/// All values of a key, in their order.
fn values(file: &str, key: &str) -> Vec<String> {
    let prefix = format!("{key}=");
    text(file).lines().filter_map(|line| line.strip_prefix(&prefix)).map(ToOwned::to_owned).collect()
}

fn value(file: &str, key: &str) -> String {
    let found = values(file, key);
    assert_eq!(found.len(), 1, "{key}: {found:?}");
    found[0].clone()
}

fn seconds(key: &str) -> Duration {
    let text = value(UNIT, key);
    let (number, factor) = text.strip_suffix("min").map_or((text.trim_end_matches('s'), 1), |number| (number, 60));
    Duration::from_secs(number.parse::<u64>().unwrap() * factor)
}

#[test]
fn what_it_starts_is_checked_before() {
    let configuration = "-c /etc/introspectd/introspectd.toml";
    let check = format!("{INSTALLED} config check {configuration}");
    assert_eq!(value(UNIT, "ExecStart"), format!("{INSTALLED} serve {configuration}"));
    assert_eq!(value(UNIT, "ExecStartPre"), check);
    assert_eq!(values(UNIT, "ExecReload"), [check, "kill -HUP $MAINPID".to_owned()]);
    assert_eq!(value(UNIT, "Type"), "notify");
}

#[test]
fn it_has_the_time_to_drain() {
    let example = settings(&root().join(EXAMPLE), &[]).unwrap_or_else(|errors| panic!("{errors}"));
    for config in [Config::default(), example] {
        assert!(seconds("TimeoutStopSec") > config.drain.max + Duration::from_secs(5));
    }
}

#[test]
fn it_may_do_nothing_but_serve() {
    for (key, wanted) in [
        ("DynamicUser", "yes"),
        ("CapabilityBoundingSet", ""),
        ("NoNewPrivileges", "yes"),
        ("ProtectSystem", "strict"),
        ("ProtectHome", "yes"),
        ("MemoryDenyWriteExecute", "yes"),
        ("SystemCallArchitectures", "native"),
        ("RestrictAddressFamilies", "AF_INET AF_INET6 AF_UNIX"),
    ] {
        assert_eq!(value(UNIT, key), wanted, "{key}");
    }
    assert_eq!(values(UNIT, "SystemCallFilter"), ["@system-service", "~@privileged @resources", PRIORITIES]);
}

/// What the example says without its comments, and with every example in them.
#[test]
fn every_line_of_the_example_is_a_setting() {
    let config = settings(&root().join(EXAMPLE), &[]).unwrap_or_else(|errors| panic!("{errors}"));
    let StoreConfig::Embedded { path } = &config.store else { panic!("{:?}", config.store) };
    let folder = format!("/var/lib/{}", value(UNIT, "StateDirectory"));
    assert!(path.starts_with(&folder), "the unit lets it write to {folder} only");

    let log = format!("/var/log/{}/", value(UNIT, "LogsDirectory"));
    for page in [EXAMPLE, "docs/observability.md"] {
        assert!(text(page).contains(&format!("{log}audit.log")), "{page}: the unit lets it write logs to {log} only");
    }

    let folder = TempDir::new().unwrap();
    let credentials = folder.path().join("credentials");
    std::fs::create_dir(&credentials).unwrap();
    std::fs::write(credentials.join("redis-url"), "redis://127.0.0.1").unwrap();
    std::fs::write(credentials.join("digest-key"), "0123456789abcdef0123456789abcdef").unwrap();
    std::fs::write(credentials.join("operator-secret"), "the secret of an operator, of tests").unwrap();
    let named = format!("/run/credentials/{}", UNIT.rsplit('/').next().unwrap());
    let all: String = text(EXAMPLE)
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if rest.starts_with(|first: char| first.is_ascii_lowercase() || first == '[') => rest,
            _ => line,
        })
        // One of the two.
        .filter(|line| !line.starts_with("[store]") && !line.starts_with("path = "))
        .flat_map(|line| [line, "\n"])
        .collect();
    assert!(all.contains(&named), "{all}");
    let file = folder.path().join("introspectd.toml");
    std::fs::write(&file, all.replace(&named, credentials.to_str().unwrap())).unwrap();
    let config = settings(&file, &[]).unwrap_or_else(|errors| panic!("{errors}"));
    assert!(matches!(config.store, StoreConfig::Redis(_)));
    assert_eq!((config.clients.len(), config.keys.digest.len()), (1, 1));
    assert!(config.public.tls.is_some());
}

#[test]
fn the_drop_in_gives_the_service_what_it_lets_systemd_read() {
    let folder = TempDir::new().unwrap();
    for credential in values(DROP_IN, "LoadCredential") {
        let (name, _) = credential.split_once(':').unwrap();
        std::fs::write(folder.path().join(name), "redis://127.0.0.1/0?and=more-than-32-bytes").unwrap();
    }
    let variables = values(DROP_IN, "Environment");
    let variables: Vec<(String, String)> = variables
        .iter()
        .map(|text| {
            let text = text.trim_matches('\'').replace("%d", folder.path().to_str().unwrap());
            let (name, value) = text.split_once('=').unwrap();
            (name.to_owned(), value.to_owned())
        })
        .collect();
    std::fs::write(folder.path().join("redis-url"), "redis://127.0.0.1").unwrap();
    let environment: Vec<(&str, &str)> =
        variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let config = folder.path().join("nothing.toml");
    std::fs::write(&config, "").unwrap();
    let config = settings(&config, &environment).unwrap_or_else(|errors| panic!("{errors}"));
    assert!(matches!(config.store, StoreConfig::Redis(_)));
    assert_eq!(config.keys.digest.len(), 1);
}

/// The unit where systemd looks for it, with the program where it was built.
fn installed() -> TempDir {
    let folder = TempDir::new().unwrap();
    let unit = text(UNIT).replace(INSTALLED, PROGRAM);
    std::fs::write(folder.path().join("introspectd.service"), unit).unwrap();
    let drop_ins = folder.path().join("introspectd.service.d");
    std::fs::create_dir(&drop_ins).unwrap();
    std::fs::copy(root().join(DROP_IN), drop_ins.join("secrets.conf")).unwrap();
    folder
}

#[test]
fn systemd_reads_it_without_a_complaint() {
    let folder = installed();
    let unit = folder.path().join("introspectd.service");
    // The manual may not be installed where this runs.
    let output = run("systemd-analyze", &["verify", "--man=no", unit.to_str().unwrap()]);
    let output = output.expect("tests/run installs systemd, which has systemd-analyze");
    assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// 0 is shut off from everything, 10 from nothing; a unit that says nothing has 9.6. What is left here is the network.
#[test]
fn systemd_counts_little_that_it_is_exposed_to() {
    let folder = installed();
    let unit = folder.path().join("introspectd.service");
    let arguments = ["security", "--offline=yes", "--threshold=13", unit.to_str().unwrap()];
    let output = run("systemd-analyze", &arguments);
    let output = output.expect("tests/run installs systemd, which has systemd-analyze");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
}
