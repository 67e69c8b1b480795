//! What Redis' own settings mean for what is kept in it: asked when a connection comes up, said in the log and in
//! readiness.
//!
//! | finding | severity | when |
//! |---|---|---|
//! | `version` | unsafe | older than 7.0 |
//! | `maxmemory-policy` | unsafe | not `noeviction`: a revocation may be evicted |
//! | `appendonly` | unsafe | off: a restart loses everything since the last snapshot |
//! | `appendfsync` | unsafe, note | `no`, `everysec`: a crash of the machine loses what was not on disk |
//! | `min-replicas-to-write` | note | 0 beside replicas: a primary that is cut off from them takes writes that will be lost |
//! | `replica-serve-stale-data` | note | on, beside replicas |
//! | `client-output-buffer-limit` | note | none for normal clients: a node that hangs makes Redis keep what it should read |
//! | `timeout` | note | idle connections are closed |
//! | `cluster-node-timeout` | note | above 5 s, in a cluster: a failover takes longer |
//! | `not-checked` | note | the user may not ask (`CONFIG GET`), and `INFO` does not say |

use std::collections::BTreeMap;
use std::fmt::Write as _;

use redis::{Cmd, Value};

use super::fault::Fault;

/// One thing that is worth knowing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// A short name that stays the same from version to version.
    pub(super) id: &'static str,
    /// How bad it is.
    pub(super) severity: Severity,
    /// What it is and what to do, for the log and for readiness. Holds nothing secret.
    pub(super) text: String,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Severity {
    /// Worth knowing.
    Note,
    /// A revocation may be lost by it.
    Unsafe,
}

/// The settings that are asked for.
const SETTINGS: [&str; 8] = [
    "maxmemory-policy",
    "appendonly",
    "appendfsync",
    "min-replicas-to-write",
    "replica-serve-stale-data",
    "client-output-buffer-limit",
    "timeout",
    "cluster-node-timeout",
];

/// The longest `cluster-node-timeout` about which nothing is said, in milliseconds.
const LONGEST_NODE_TIMEOUT: u64 = 5_000;

/// What to send, in one round trip; the replies are for [`judge`].
pub(super) fn questions() -> [Cmd; 2] {
    let mut config = redis::cmd("CONFIG");
    config.arg("GET").arg(&SETTINGS);
    [config, redis::cmd("INFO")]
}

/// What the replies mean.
///
/// # Errors
/// [`Fault`] when the replies are of another kind. That the user may not ask is a finding.
pub(super) fn judge(config: Value, info: Value) -> Result<Vec<Finding>, Fault> {
    let config = match config {
        Value::ServerError(error) if error.code() == "NOPERM" || error.code() == "ERR" => None,
        Value::ServerError(error) => return Err(Fault::of_server(&error)),
        Value::Map(members) => Some(members.into_iter().collect::<Vec<_>>()),
        Value::Array(flat) => {
            Some(flat.as_chunks::<2>().0.iter().cloned().map(|[name, value]| (name, value)).collect())
        }
        _ => return Err(Fault::unexpected_reply()),
    };
    let info = match info {
        Value::ServerError(error) if error.code() == "NOPERM" => String::new(),
        Value::ServerError(error) => return Err(Fault::of_server(&error)),
        reply => text(reply).ok_or_else(Fault::unexpected_reply)?,
    };
    let config = config.map(|members| members.into_iter().filter_map(|(name, value)| text(name).zip(text(value))));
    Ok(findings(&Settings::new(config.map(Iterator::collect), &info)))
}

/// What is known of a server.
struct Settings {
    values: BTreeMap<String, String>,
    may_ask: bool,
    version: Option<String>,
    replicas: u64,
    is_cluster: bool,
}

impl Settings {
    fn new(config: Option<BTreeMap<String, String>>, info: &str) -> Self {
        let lines: BTreeMap<&str, &str> = info.lines().filter_map(|line| line.trim_end().split_once(':')).collect();
        let number = |name: &str| lines.get(name).and_then(|value| value.parse::<u64>().ok()).unwrap_or_default();
        let may_ask = config.is_some();
        let mut values = config.unwrap_or_default();
        if !may_ask {
            if let Some(policy) = lines.get("maxmemory_policy") {
                values.insert("maxmemory-policy".to_owned(), (*policy).to_owned());
            }
            if let Some(enabled) = lines.get("aof_enabled") {
                values.insert("appendonly".to_owned(), if *enabled == "1" { "yes" } else { "no" }.to_owned());
            }
            // It says how many replicas are good as soon as the setting asks for any.
            if lines.contains_key("role") {
                let asked = lines.contains_key("min_slaves_good_slaves");
                values.insert("min-replicas-to-write".to_owned(), u8::from(asked).to_string());
            }
        }
        Self {
            values,
            may_ask,
            // Valkey says 7.2.4 under the name of Redis.
            version: lines.get("redis_version").map(|version| (*version).to_owned()),
            replicas: number("connected_slaves"),
            is_cluster: number("cluster_enabled") == 1,
        }
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.value(name)?.parse().ok()
    }
}

fn findings(settings: &Settings) -> Vec<Finding> {
    use Severity::{Note, Unsafe};

    let mut findings = Vec::new();
    let mut found = |id, severity, text: String| findings.push(Finding { id, severity, text });
    if let Some(version) = &settings.version
        && version.split('.').next().and_then(|major| major.parse::<u32>().ok()).is_none_or(|major| major < 7)
    {
        found("version", Unsafe, format!("version {}: 7.0 or later is needed", shown(version)));
    }
    if let Some(policy) = settings.value("maxmemory-policy").filter(|policy| *policy != "noeviction") {
        let text = format!("maxmemory-policy is {}: a revocation may be evicted, set noeviction", shown(policy));
        found("maxmemory-policy", Unsafe, text);
    }
    if settings.value("appendonly") == Some("no") {
        let text = "appendonly is no: a restart forgets revocations, set yes";
        found("appendonly", Unsafe, text.to_owned());
    } else {
        match settings.value("appendfsync") {
            Some("no") => {
                let text = "appendfsync is no: a crash of the machine forgets up to half a minute, set always";
                found("appendfsync", Unsafe, text.to_owned());
            }
            Some("everysec") => {
                let text = "appendfsync is everysec: a crash of the machine forgets up to two seconds, set always";
                found("appendfsync", Note, text.to_owned());
            }
            _ => {}
        }
    }
    if settings.replicas > 0 {
        if settings.number("min-replicas-to-write") == Some(0) {
            let text =
                "min-replicas-to-write is 0: a primary that lost its replicas takes writes that a failover loses";
            found("min-replicas-to-write", Note, text.to_owned());
        }
        if settings.value("replica-serve-stale-data") == Some("yes") {
            let text = "replica-serve-stale-data is yes: a replica that lost its primary answers others, set no";
            found("replica-serve-stale-data", Note, text.to_owned());
        }
    }
    if settings.value("client-output-buffer-limit").is_some_and(is_unlimited) {
        let text = "client-output-buffer-limit sets none for normal clients: one that hangs fills the memory of Redis";
        found("client-output-buffer-limit", Note, text.to_owned());
    }
    if let Some(timeout) = settings.number("timeout").filter(|timeout| *timeout > 0) {
        found("timeout", Note, format!("timeout is {timeout}: idle connections are closed, set 0"));
    }
    if let Some(timeout) = settings.number("cluster-node-timeout")
        && settings.is_cluster
        && timeout > LONGEST_NODE_TIMEOUT
    {
        let text =
            format!("cluster-node-timeout is {timeout}: until a failover begins, answers are 503; set 5000 or less");
        found("cluster-node-timeout", Note, text);
    }
    let unknown: Vec<_> = SETTINGS.iter().filter(|name| settings.value(name).is_none()).copied().collect();
    if !unknown.is_empty() {
        let mut text = format!("not known, and may be unsafe: {}", unknown.join(", "));
        if !settings.may_ask {
            let _ = write!(text, "; the user lacks the permission for CONFIG GET");
        }
        found("not-checked", Note, text);
    }
    findings
}

/// Whether the value of `client-output-buffer-limit` sets no limit for normal clients: `normal 0 0 0 slave ...`.
fn is_unlimited(value: &str) -> bool {
    let words: Vec<_> = value.split_ascii_whitespace().collect();
    let (classes, _) = words.as_chunks::<4>();
    classes
        .iter()
        .any(|[class, hard, soft, seconds]| *class == "normal" && *hard == "0" && (*soft == "0" || *seconds == "0"))
}

/// A value of a server as it may be shown: a word.
fn shown(value: &str) -> String {
    value.chars().filter(char::is_ascii_graphic).take(24).collect()
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => String::from_utf8(bytes).ok(),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use Severity::{Note, Unsafe};

    use super::*;
    use crate::store::redis::durability::Conversation as _;
    use crate::store::redis::durability::tests::server::{Server, Talk, soon};

    const GOOD: [(&str, &str); 8] = [
        ("maxmemory-policy", "noeviction"),
        ("appendonly", "yes"),
        ("appendfsync", "always"),
        ("min-replicas-to-write", "1"),
        ("replica-serve-stale-data", "no"),
        (
            "client-output-buffer-limit",
            "normal 67108864 16777216 10 slave 268435456 67108864 60 pubsub 33554432 8388608 60",
        ),
        ("timeout", "0"),
        ("cluster-node-timeout", "5000"),
    ];
    const INFO: &str = "# Server\r\nredis_version:7.0.15\r\n# Replication\r\nrole:master\r\nconnected_slaves:1\r\n\
                        # Memory\r\nmaxmemory_policy:noeviction\r\n# Persistence\r\naof_enabled:1\r\n\
                        # Cluster\r\ncluster_enabled:1\r\n";

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    fn config(changes: &[(&str, &str)]) -> Value {
        let value = |name: &str, good: &str| {
            let changed = changes.iter().find(|(changed, _)| *changed == name).map_or(good, |(_, value)| value);
            bulk(changed)
        };
        Value::Map(GOOD.iter().map(|(name, good)| (bulk(name), value(name, good))).collect())
    }

    fn ids(findings: &[Finding]) -> Vec<(&'static str, Severity)> {
        findings.iter().map(|finding| (finding.id, finding.severity)).collect()
    }

    fn error(line: &str) -> Value {
        redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).unwrap()
    }

    #[test]
    fn each_setting_that_matters_is_found() {
        assert_eq!(judge(config(&[]), bulk(INFO)).unwrap(), []);
        let unlimited = "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60";
        let table = [
            ("maxmemory-policy", "allkeys-lru", Unsafe),
            ("maxmemory-policy", "volatile-ttl", Unsafe),
            ("appendonly", "no", Unsafe),
            ("appendfsync", "no", Unsafe),
            ("appendfsync", "everysec", Note),
            ("min-replicas-to-write", "0", Note),
            ("replica-serve-stale-data", "yes", Note),
            ("client-output-buffer-limit", unlimited, Note),
            ("timeout", "300", Note),
            ("cluster-node-timeout", "15000", Note),
        ];
        for (id, value, severity) in table {
            let findings = judge(config(&[(id, value)]), bulk(INFO)).unwrap();
            assert_eq!(ids(&findings), [(id, severity)], "{id} {value}");
            assert!(findings[0].text.contains(id), "{}", findings[0].text);
        }
    }

    #[test]
    fn what_is_about_replicas_or_a_cluster_is_not_said_where_there_are_none() {
        let alone =
            INFO.replace("connected_slaves:1", "connected_slaves:0").replace("cluster_enabled:1", "cluster_enabled:0");
        let changes =
            [("min-replicas-to-write", "0"), ("replica-serve-stale-data", "yes"), ("cluster-node-timeout", "15000")];
        assert_eq!(judge(config(&changes), bulk(&alone)).unwrap(), []);
    }

    #[test]
    fn a_server_that_is_too_old_or_says_no_number_is_unsafe() {
        for version in ["6.2.14", "", "x", "5"] {
            let info = INFO.replace("7.0.15", version);
            assert_eq!(ids(&judge(config(&[]), bulk(&info)).unwrap()), [("version", Unsafe)], "{version}");
        }
        for version in ["7.0.0", "8.2.1", "255.255.255"] {
            let info = INFO.replace("7.0.15", version);
            assert_eq!(judge(config(&[]), bulk(&info)).unwrap(), [], "{version}");
        }
    }

    #[test]
    fn without_the_permission_what_info_says_is_used_and_the_rest_is_said_to_be_unknown() {
        let refused = || error("NOPERM this user has no permissions to run the 'config|get' command");
        let findings = judge(refused(), bulk(INFO)).unwrap();
        assert_eq!(ids(&findings), [("min-replicas-to-write", Note), ("not-checked", Note)]);
        assert!(findings[1].text.contains("appendfsync") && findings[1].text.contains("CONFIG GET"));
        assert!(!findings[1].text.contains("appendonly"));
        let bad = INFO.replace("policy:noeviction", "policy:allkeys-lfu").replace("aof_enabled:1", "aof_enabled:0");
        let bad = bad.replace("role:master", "role:master\r\nmin_slaves_good_slaves:1");
        let expected = [("maxmemory-policy", Unsafe), ("appendonly", Unsafe), ("not-checked", Note)];
        assert_eq!(ids(&judge(refused(), bulk(&bad)).unwrap()), expected);
        let nothing = judge(refused(), error("NOPERM no")).unwrap();
        assert_eq!(ids(&nothing), [("not-checked", Note)]);
        assert!(SETTINGS.iter().all(|name| nothing[0].text.contains(name)));
    }

    #[test]
    fn a_server_that_answers_otherwise_is_a_fault() {
        assert!(judge(error("LOADING x"), bulk(INFO)).is_err());
        assert!(judge(config(&[]), error("LOADING x")).is_err());
        assert!(judge(Value::Int(1), bulk(INFO)).is_err());
        assert!(judge(config(&[]), Value::Nil).is_err());
    }

    #[test]
    fn what_a_server_says_is_shown_as_one_short_word() {
        let odd = format!("lru\r\nforged line {}", "x".repeat(100));
        let findings = judge(config(&[("maxmemory-policy", &odd)]), bulk(INFO)).unwrap();
        assert!(findings[0].text.len() < 100 && !findings[0].text.contains('\n'), "{}", findings[0].text);
    }

    async fn ask(talk: &mut Talk) -> Vec<Finding> {
        let mut replies = talk.pipeline(questions().into(), soon()).await.unwrap();
        let info = replies.pop().unwrap();
        judge(replies.pop().unwrap(), info).unwrap()
    }

    /// Asked over RESP3 of a server that answers as they really do.
    #[tokio::test]
    async fn each_setting_is_found_in_a_real_server() {
        let server = Server::start().await;
        let mut talk = server.talk().await;
        let limit = "normal 67108864 16777216 10";
        for (name, good) in [("appendonly", "yes"), ("appendfsync", "always"), ("client-output-buffer-limit", limit)] {
            let _: () = talk.command(&["CONFIG", "SET", name, good]).await;
        }
        assert_eq!(ask(&mut talk).await, []);
        let table = [
            ("maxmemory-policy", "allkeys-lru", "noeviction", Unsafe),
            ("appendonly", "no", "yes", Unsafe),
            ("appendfsync", "no", "always", Unsafe),
            ("appendfsync", "everysec", "always", Note),
            ("client-output-buffer-limit", "normal 0 0 0", limit, Note),
            ("timeout", "300", "0", Note),
        ];
        for (id, bad, good, severity) in table {
            let _: () = talk.command(&["CONFIG", "SET", id, bad]).await;
            assert_eq!(ids(&ask(&mut talk).await), [(id, severity)], "{bad}");
            let _: () = talk.command(&["CONFIG", "SET", id, good]).await;
        }
        let _replica = server.replica().await;
        let expected = [("min-replicas-to-write", Note), ("replica-serve-stale-data", Note)];
        assert_eq!(ids(&ask(&mut talk).await), expected, "beside a replica");
        let _: () = talk.command(&["CONFIG", "SET", "min-replicas-to-write", "1"]).await;
        let _: () = talk.command(&["CONFIG", "SET", "replica-serve-stale-data", "no"]).await;
        assert_eq!(ask(&mut talk).await, []);
    }

    #[tokio::test]
    async fn a_node_of_a_real_cluster_that_waits_long_for_its_peers_is_found() {
        let server = Server::start_with(&["--cluster-enabled", "yes"]).await;
        let mut talk = server.talk().await;
        assert!(ids(&ask(&mut talk).await).contains(&("cluster-node-timeout", Note)));
        let _: () = talk.command(&["CONFIG", "SET", "cluster-node-timeout", "5000"]).await;
        assert!(!ids(&ask(&mut talk).await).contains(&("cluster-node-timeout", Note)));
    }

    #[tokio::test]
    async fn a_real_user_without_the_permission_is_told_what_info_says() {
        let server = Server::start_with(&["--appendonly", "yes"]).await;
        let mut talk = server.talk().await;
        let _: () = talk.command(&["ACL", "SETUSER", "itd", "on", "nopass", "~*", "+info"]).await;
        let _: () = talk.command(&["CONFIG", "SET", "maxmemory-policy", "volatile-lru"]).await;
        let _: () = talk.command(&["AUTH", "itd", "x"]).await;
        let findings = ask(&mut talk).await;
        assert_eq!(ids(&findings), [("maxmemory-policy", Unsafe), ("not-checked", Note)]);
        assert!(findings[1].text.contains("CONFIG GET"), "{}", findings[1].text);
    }
}
