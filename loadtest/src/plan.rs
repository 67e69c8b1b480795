//! What is to be done: the command line, read and checked before the first connection.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use clap::{Parser, ValueEnum};
use http::Uri;
use http::header::HeaderValue;
use serde::{Deserialize, Serialize};

/// Measure an RFC 7662 introspection server, checking every answer.
///
/// Exit code: 0 when every request was answered rightly, 1 when one was not, 2 for a wrong call.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub(crate) struct Arguments {
    /// The introspection endpoint, as `http://127.0.0.1:8080/introspect`. Plain HTTP/1.1.
    #[arg(long)]
    url: Uri,
    /// The client that asks.
    #[arg(long, env = "ITD_CLIENT_ID")]
    client_id: String,
    /// A file with its secret. Without it, the secret is taken from the environment variable `ITD_CLIENT_SECRET`; never
    /// from the command line, which others can read.
    #[arg(long, env = "ITD_CLIENT_SECRET_FILE")]
    client_secret_file: Option<PathBuf>,
    /// What to ask and what is true: one `{"token": "...", "active": true}` a line. Asked in this order, round and round.
    #[arg(long)]
    tokens: PathBuf,
    /// `closed`: each connection asks again as soon as it has its answer. `open`: requests start at a constant rate,
    /// whether or not earlier ones have been answered.
    #[arg(long, value_enum)]
    mode: Mode,
    /// Requests a second, in the open mode.
    #[arg(long, required_if_eq("mode", "open"), value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// Connections, over all threads.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..))]
    connections: u16,
    /// Threads, each with its share of the connections.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    threads: u16,
    /// How long to measure.
    #[arg(long, default_value = "10s", value_parser = duration)]
    duration: Duration,
    /// How long to ask before measuring. These answers are checked too.
    #[arg(long, default_value = "2s", value_parser = duration)]
    warmup: Duration,
    /// How long one answer may take.
    #[arg(long, default_value = "10s", value_parser = duration)]
    timeout: Duration,
    /// The generator's own lag, at the 99th percentile, beyond which it says that it is what was measured.
    #[arg(long, default_value = "1ms", value_parser = duration)]
    lag_bound: Duration,
    /// How to tell.
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) format: Format,
}

/// Who decides when the next request starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// The answer to the one before.
    Closed,
    /// The clock.
    Open,
}

/// How to tell what was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// For programs: one JSON object.
    Json,
}

/// Everything a run needs, checked.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Where the server is.
    pub(crate) target: Target,
    /// What is asked, in this order.
    pub(crate) questions: Vec<Question>,
    /// The requests a second of the open mode; `None` in the closed one.
    pub(crate) rate: Option<u32>,
    /// How many connections.
    pub(crate) connections: u16,
    /// How many threads; never more than connections.
    pub(crate) threads: u16,
    /// How long to measure.
    pub(crate) duration: Duration,
    /// How long to ask before that.
    pub(crate) warmup: Duration,
    /// How long one answer may take.
    pub(crate) timeout: Duration,
    /// How much lag of its own the generator may have.
    pub(crate) lag_bound: Duration,
}

/// Where the server is, and how the caller proves who it is.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// Host name or address.
    pub(crate) host: String,
    /// Port.
    pub(crate) port: u16,
    /// Path and query, as they stand in the request line.
    pub(crate) path: Uri,
    /// The `Host` header.
    pub(crate) authority: HeaderValue,
    /// The `Authorization` header.
    pub(crate) authorization: HeaderValue,
}

/// One thing to ask, and the answer that is true.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    /// The form.
    pub(crate) body: Bytes,
    /// Whether the token is active.
    pub(crate) active: bool,
}

/// Why there is no plan.
#[derive(Debug)]
pub(crate) struct PlanError(String);

impl std::fmt::Display for PlanError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Plan {
    /// Reads the files that the arguments name, and checks everything.
    pub(crate) fn new(arguments: Arguments) -> Result<Self, PlanError> {
        if arguments.mode == Mode::Closed && arguments.rate.is_some() {
            return Err(PlanError("--rate: a closed loop has no rate but the one that the server allows".to_owned()));
        }
        if arguments.duration.is_zero() {
            return Err(PlanError("--duration: must not be 0".to_owned()));
        }
        let secret = match &arguments.client_secret_file {
            Some(path) => read(path)?.trim_end_matches(['\r', '\n']).to_owned(),
            None => std::env::var("ITD_CLIENT_SECRET")
                .map_err(|_| PlanError("no secret: give --client-secret-file, or set ITD_CLIENT_SECRET".to_owned()))?,
        };
        Ok(Self {
            target: Target::new(&arguments.url, &arguments.client_id, &secret)?,
            questions: questions(&read(&arguments.tokens)?)?,
            rate: arguments.rate,
            connections: arguments.connections,
            threads: arguments.threads.min(arguments.connections),
            duration: arguments.duration,
            warmup: arguments.warmup,
            timeout: arguments.timeout,
            lag_bound: arguments.lag_bound,
        })
    }

    /// The mode it describes.
    pub(crate) fn mode(&self) -> Mode {
        if self.rate.is_some() { Mode::Open } else { Mode::Closed }
    }
}

impl Target {
    fn new(url: &Uri, client_id: &str, secret: &str) -> Result<Self, PlanError> {
        let refuse = |why: &str| PlanError(format!("--url: {why}"));
        if url.scheme_str() != Some("http") {
            return Err(refuse("must begin with http://"));
        }
        let authority = url.authority().ok_or_else(|| refuse("names no host"))?;
        if authority.as_str().contains('@') {
            return Err(refuse("credentials go into --client-id and --client-secret-file"));
        }
        // RFC 6749 section 2.3.1: form-encoded, then joined.
        let pair = STANDARD.encode(format!("{}:{}", encode(client_id), encode(secret)));
        let header = |text: String| HeaderValue::try_from(text).map_err(|_| refuse("cannot be sent in a header"));
        let mut authorization = header(format!("Basic {pair}"))?;
        authorization.set_sensitive(true);
        Ok(Self {
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port: authority.port_u16().unwrap_or(80),
            path: url.path_and_query().cloned().map_or_else(Uri::default, Uri::from),
            authority: header(authority.to_string())?,
            authorization,
        })
    }
}

/// Faults name the line, never the token.
fn questions(text: &str) -> Result<Vec<Question>, PlanError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Line {
        token: String,
        active: bool,
    }
    let mut questions = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let refuse = |why: &str| PlanError(format!("--tokens: line {}: {why}", number + 1));
        let line: Line =
            serde_json::from_str(line).map_err(|_| refuse(r#"is not {"token": "...", "active": true or false}"#))?;
        if line.token.is_empty() {
            return Err(refuse("the token is empty"));
        }
        questions.push(Question { body: format!("token={}", encode(&line.token)).into(), active: line.active });
    }
    if questions.is_empty() {
        return Err(PlanError("--tokens: the file is empty".to_owned()));
    }
    Ok(questions)
}

fn read(path: &Path) -> Result<String, PlanError> {
    std::fs::read_to_string(path).map_err(|error| PlanError(format!("{}: {error}", path.display())))
}

/// A whole number and its unit: `us`, `ms`, `s` or `m`.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u32 = number.parse().map_err(|_| "must be a whole number and its unit, as 250ms".to_owned())?;
    match unit {
        "us" => Ok(Duration::from_micros(number.into())),
        "ms" => Ok(Duration::from_millis(number.into())),
        "s" => Ok(Duration::from_secs(number.into())),
        "m" => Ok(Duration::from_mins(number.into())),
        _ => Err("its unit must be us, ms, s or m".to_owned()),
    }
}

/// Form encoding (RFC 6749 appendix B). Our own, so that a mistake in the server's is not made twice.
fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'-' | b'.' | b'_' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => encoded.push(byte.into()),
            b' ' => encoded.push('+'),
            _ => write!(encoded, "%{byte:02X}").expect("writing into memory cannot fail"),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc6749_appendix_b_vector() {
        assert_eq!(encode(" %&+\u{a3}\u{20ac}"), "+%25%26%2B%C2%A3%E2%82%AC");
    }

    #[test]
    fn a_duration_needs_its_unit() {
        assert_eq!(duration("250us"), Ok(Duration::from_micros(250)));
        assert_eq!(duration("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for bad in ["", "10", "s", "-1s", "1.5s", "1h", "99999999999s"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_fault_in_the_tokens_names_the_line_and_not_the_token() {
        let good = r#"{"token": "a+b", "active": true}"#;
        let asked = questions(&format!("{good}\n\n{good}\n")).unwrap();
        assert_eq!(asked.len(), 2);
        assert_eq!(&asked[0].body[..], b"token=a%2Bb");
        for bad in [r#"{"token": "hunter2"}"#, "hunter2", r#"{"token": "hunter2", "active": 1}"#] {
            let PlanError(message) = questions(&format!("{good}\n{bad}\n")).unwrap_err();
            assert!(message.contains("line 2") && !message.contains("hunter2"), "{message}");
        }
        assert!(questions("\n").is_err());
    }

    #[test]
    fn a_target_is_plain_http_with_encoded_credentials() {
        let target = |url: &str| Target::new(&url.parse().unwrap(), "a b", "c:d");
        let good = target("http://[::1]:8080/introspect").unwrap();
        assert_eq!((good.host.as_str(), good.port, good.path.path()), ("::1", 8080, "/introspect"));
        assert_eq!(good.authorization, format!("Basic {}", STANDARD.encode("a+b:c%3Ad")));
        for bad in ["https://127.0.0.1/introspect", "/introspect", "http://user:secret@127.0.0.1/introspect"] {
            assert!(target(bad).is_err(), "{bad}");
        }
    }
}
