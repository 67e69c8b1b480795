//! Log lines on standard error, as text for people or as one flat JSON object each.
//!
//! # What is never logged
//!
//! Tokens, client secrets, passwords, keys, their digests and hashes, request and response bodies, query strings, the
//! `Authorization` and `Cookie` headers, and the Redis URL. None of their types implements `Display`, and their `Debug`
//! says "redacted"; this page is the rule for what is put together by hand. A request is described by its method, the
//! path of its route, its status, its duration, and the id of the client that authenticated.

use std::str::FromStr as _;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, Registry, fmt, reload};

use crate::config::{LogConfig, LogFormat};

/// Why logging could not be started.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The level is not one that [`parse_level`] takes.
    #[error(transparent)]
    Level(#[from] LevelError),
    /// Logging was started before, in this process.
    #[error("logging is already started")]
    Started,
}

/// A level, or a list of directives, that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{directive}\" is neither a level (off, error, warn, info or debug) nor a target with one (introspectd::store=debug)"
)]
pub struct LevelError {
    directive: String,
}

/// Sends log lines of this process to standard error. Once per process.
///
/// # Errors
/// [`LoggingError`].
pub fn start(config: &LogConfig) -> Result<LevelHandle, LoggingError> {
    let (level, handle) = reload::Layer::new(parse_level(&config.level)?);
    let lines: Box<dyn tracing_subscriber::Layer<_> + Send + Sync> = match config.format {
        LogFormat::Text => text(std::io::stderr).with_filter(level).boxed(),
        LogFormat::Json => json(std::io::stderr).with_filter(level).boxed(),
    };
    tracing_subscriber::registry().with(lines).try_init().map_err(|_| LoggingError::Started)?;
    Ok(LevelHandle(handle))
}

/// Changes what is logged while the process runs.
#[derive(Clone, Debug)]
pub struct LevelHandle(reload::Handle<Targets, Registry>);

impl LevelHandle {
    /// Logs as this configuration says from now on; its level was found to be one when it was read.
    pub fn set(&self, config: &LogConfig) {
        let changed = parse_level(&config.level).ok().map(|level| self.0.reload(level));
        if !matches!(changed, Some(Ok(()))) {
            tracing::warn!("the level of the log could not be changed");
        }
    }
}

/// Reads `info`, or `info,introspectd::store=debug`.
///
/// The library's own reader takes a misspelt level for the name of a target and shows all of it; this one refuses. It
/// has no `trace` either: at that level the HTTP libraries print header fields, and secrets travel in those.
pub fn parse_level(text: &str) -> Result<Targets, LevelError> {
    let mut targets = Targets::new();
    for directive in text.split(',').map(str::trim) {
        let invalid = || LevelError { directive: directive.chars().take(64).collect() };
        let (target, level) = match directive.split_once('=') {
            Some((target, level)) => (Some(target.trim()), level.trim()),
            None => (None, directive),
        };
        // Numbers are levels to the library, and a riddle to whoever reads the file.
        if level.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(invalid());
        }
        let level = LevelFilter::from_str(level).map_err(|_| invalid())?;
        if level == LevelFilter::TRACE {
            return Err(invalid());
        }
        targets = match target {
            Some(target) if is_target(target) => targets.with_target(target, level),
            Some(_) => return Err(invalid()),
            None => targets.with_default(level),
        };
    }
    Ok(targets)
}

fn is_target(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|character| character.is_ascii_alphanumeric() || "_:-".contains(character))
}

fn text<S, W>(writer: W) -> impl tracing_subscriber::Layer<S> + Send + Sync
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    // Escape sequences would land in files and in `docker logs`, where nobody wants them.
    fmt::layer().with_writer(writer).with_ansi(false)
}

fn json<S, W>(writer: W) -> impl tracing_subscriber::Layer<S> + Send + Sync
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    // Flat: collectors index `status` and `duration_ms`, not `fields.status`.
    fmt::layer().json().with_writer(writer).flatten_event(true).with_current_span(false).with_span_list(false)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Page {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn say_something() {
        tracing::info!(target: "introspectd::http", status = 503, client_id = "gateway", "answered");
        tracing::debug!(target: "introspectd::http", "hidden");
        tracing::debug!(target: "introspectd::store", "shown");
    }

    #[test]
    fn a_json_line_is_one_flat_object() {
        let page = Page::default();
        let writer = page.clone();
        let level = parse_level("info").unwrap();
        let layer = json(move || writer.clone()).with_filter(level);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), say_something);
        let lines: Vec<serde_json::Value> =
            page.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0]["level"], "INFO");
        assert_eq!(lines[0]["target"], "introspectd::http");
        assert_eq!(lines[0]["message"], "answered");
        assert_eq!(lines[0]["status"], 503);
        assert_eq!(lines[0]["client_id"], "gateway");
        assert!(lines[0]["timestamp"].is_string());
    }

    #[test]
    fn text_lines_carry_no_escape_sequences_and_obey_directives() {
        let page = Page::default();
        let writer = page.clone();
        let level = parse_level("warn, introspectd::store=debug").unwrap();
        let layer = text(move || writer.clone()).with_filter(level);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), say_something);
        let text = page.text();
        assert!(text.contains("shown") && !text.contains("answered") && !text.contains("hidden"), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
    }

    /// The only test that starts logging for the whole test process; at this level nothing of it is seen.
    #[test]
    fn logging_starts_once() {
        let config = LogConfig {
            format: LogFormat::Json,
            level: "off".into(),
            access: crate::config::AccessLog::Off,
            access_ratio: 0.0,
        };
        let misspelt = LogConfig { level: "inof".into(), ..config.clone() };
        assert!(matches!(start(&misspelt), Err(LoggingError::Level(_))));
        assert!(start(&config).is_ok());
        assert_eq!(start(&config).unwrap_err().to_string(), "logging is already started");
    }

    #[test]
    fn a_misspelt_level_is_refused_and_not_taken_for_a_target() {
        for good in ["error", "off", "info,introspectd::store=debug", "INFO", "warn,h2=off"] {
            assert!(parse_level(good).is_ok(), "{good}");
        }
        for bad in ["", "inof", "trace", "info,", "info,store", "=debug", "a b=debug", "3", "h2=trace", "info,x=1"] {
            assert!(parse_level(bad).is_err(), "{bad}");
        }
        assert_eq!(
            parse_level("inof").unwrap_err().to_string(),
            "\"inof\" is neither a level (off, error, warn, info or debug) nor a target with one \
             (introspectd::store=debug)"
        );
    }
}
