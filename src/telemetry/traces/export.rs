//! Sending spans to the collector: OTLP over HTTP, in JSON, from a task of its own.
//!
//! A collector that is slow, down or wrong costs spans and nothing else: what does not fit into the queue meanwhile is
//! dropped, and each span is counted by what became of it.

use std::fmt;
use std::io;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT};
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use rustls::RootCertStore;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_rustls::TlsConnector;

use super::Tracer;
use super::sampling::Sampler;
use super::span::{Span, export};
use crate::config::TracingConfig;
use crate::telemetry::metrics::{Metrics, SpanResult};

/// Spans in one export: some 400 KiB.
const BATCH: usize = 512;
/// How often an export that the collector may take later is tried.
const ATTEMPTS: u32 = 3;
/// The wait before the second attempt; it doubles.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest wait that a collector may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// What the end of the service waits for the last spans.
const FAREWELL: Duration = Duration::from_secs(2);
/// More of an answer is not read.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// Why spans cannot be sent at all.
#[derive(Debug, thiserror::Error)]
pub enum ExportConfigError {
    /// `tracing.ca_file` cannot be used.
    #[error("tracing.ca_file: {path}: {reason}")]
    CaFile {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The collector is reached by TLS, and there is nobody to trust.
    #[error("tracing.endpoint: this system has no certificates of authorities; set tracing.ca_file")]
    NoAuthorities,
    /// The endpoint has no host that a certificate can be for.
    #[error("tracing.endpoint: names no host")]
    NoHost,
}

/// The task that sends spans.
#[derive(Debug)]
pub struct Exporter {
    task: JoinHandle<()>,
    end: oneshot::Sender<Instant>,
}

impl Exporter {
    /// Starts sending, and gives what takes the spans; nothing when no collector is set. Needs a runtime.
    ///
    /// # Errors
    /// [`ExportConfigError`].
    pub fn start(config: &TracingConfig, metrics: &Arc<Metrics>) -> Result<Option<(Tracer, Self)>, ExportConfigError> {
        let Some(endpoint) = &config.endpoint else { return Ok(None) };
        let collector = Collector::new(endpoint, config.ca_file.as_deref())?;
        let (sender, queue) = mpsc::channel(config.queue);
        let (end, ended) = oneshot::channel();
        let metrics = Arc::clone(metrics);
        let tracer =
            Tracer::new(Sampler::new(config.sample_ratio.0, config.follow_callers), sender, Arc::clone(&metrics));
        let mut resource = config.resource_attributes.clone();
        resource.push(("service.name".into(), config.service_name.clone()));
        resource.push(("service.version".into(), env!("CARGO_PKG_VERSION").into()));
        let sending =
            Sending { collector, queue, metrics, resource, interval: config.interval, timeout: config.timeout };
        Ok(Some((tracer, Self { task: tokio::spawn(sending.run(ended)), end })))
    }

    /// Sends what is left, and ends, in two seconds at most.
    pub async fn finish(self) {
        let Self { mut task, end } = self;
        let deadline = Instant::now() + FAREWELL;
        if end.send(deadline).is_ok() && timeout_at(deadline, &mut task).await.is_err() {
            task.abort();
        }
    }
}

struct Sending {
    collector: Collector,
    queue: mpsc::Receiver<Span>,
    metrics: Arc<Metrics>,
    resource: Vec<(String, String)>,
    interval: Duration,
    timeout: Duration,
}

impl Sending {
    async fn run(mut self, mut end: oneshot::Receiver<Instant>) {
        let mut batch = Vec::with_capacity(BATCH);
        let mut wrong = false;
        let deadline = loop {
            tokio::select! {
                biased;
                deadline = &mut end => break deadline,
                () = self.gather(&mut batch) => {}
            }
            // What is on its way is waited for, so that the collector is not told of it a second time.
            let (sent, ended) = {
                let mut delivery = pin!(self.deliver(&batch));
                tokio::select! {
                    biased;
                    sent = &mut delivery => (Some(sent), None),
                    deadline = &mut end => match deadline {
                        Ok(deadline) => (timeout_at(deadline, delivery).await.ok(), Some(Ok(deadline))),
                        Err(gone) => (None, Some(Err(gone))),
                    },
                }
            };
            if let Some(sent) = sent {
                self.count(&mut batch, &sent, &mut wrong);
            }
            if let Some(deadline) = ended {
                break deadline;
            }
        };
        // Otherwise whoever would have asked has gone, and the service with it.
        if let Ok(deadline) = deadline {
            self.say_farewell(batch, deadline, wrong).await;
        }
    }

    /// Collects until there is a whole batch, or until the first of it has waited for the interval.
    async fn gather(&mut self, batch: &mut Vec<Span>) {
        if batch.is_empty() && self.queue.recv_many(batch, BATCH).await == 0 {
            return std::future::pending().await;
        }
        let due = Instant::now() + self.interval;
        while batch.len() < BATCH {
            let room = BATCH - batch.len();
            match timeout_at(due, self.queue.recv_many(batch, room)).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
    }

    /// Everything that is there, once.
    async fn say_farewell(&mut self, mut batch: Vec<Span>, deadline: Instant, mut wrong: bool) {
        self.queue.close();
        loop {
            while batch.len() < BATCH {
                let Ok(span) = self.queue.try_recv() else { break };
                batch.push(span);
            }
            if batch.is_empty() {
                return;
            }
            let body = Bytes::from(export(&self.resource, &batch));
            let sent = timeout_at(deadline, self.collector.send(body)).await;
            let sent = sent.unwrap_or_else(|_| Err(Failure::lasting("the service ended")));
            let failed = sent.is_err();
            self.count(&mut batch, &sent, &mut wrong);
            if failed {
                let left = self.queue.len() as u64;
                self.metrics.trace_spans.add(SpanResult::Failed, left);
                return;
            }
        }
    }

    /// Sends a batch, again if the collector asks for it or cannot be reached.
    async fn deliver(&self, batch: &[Span]) -> Result<u64, Failure> {
        let body = Bytes::from(export(&self.resource, batch));
        let mut pause = PAUSE;
        let mut attempt = 1;
        loop {
            let sent = timeout(self.timeout, self.collector.send(body.clone())).await;
            let failure = match sent.unwrap_or_else(|_| Err(Failure::passing("it did not answer in time"))) {
                Err(failure) if failure.passes && attempt < ATTEMPTS => failure,
                sent => return sent,
            };
            sleep_until(Instant::now() + failure.pause.unwrap_or(pause).min(LONGEST_PAUSE)).await;
            pause *= 2;
            attempt += 1;
        }
    }

    /// Counts what became of a batch, and says once when it begins to fail and once when it works again.
    fn count(&self, batch: &mut Vec<Span>, sent: &Result<u64, Failure>, wrong: &mut bool) {
        let count = batch.len() as u64;
        batch.clear();
        let spans = &self.metrics.trace_spans;
        match sent {
            Ok(refused) => {
                let refused = (*refused).min(count);
                spans.add(SpanResult::Exported, count - refused);
                spans.add(SpanResult::Failed, refused);
                if std::mem::take(wrong) {
                    tracing::info!("the collector of traces answers");
                }
            }
            Err(failure) => {
                spans.add(SpanResult::Failed, count);
                if !std::mem::replace(wrong, true) {
                    tracing::warn!(reason = %failure.reason, "the collector of traces does not take spans");
                }
            }
        }
    }
}

/// Why an export did not succeed.
struct Failure {
    reason: String,
    /// Whether it may succeed later.
    passes: bool,
    pause: Option<Duration>,
}

impl Failure {
    fn passing(reason: impl fmt::Display) -> Self {
        Self { reason: reason.to_string(), passes: true, pause: None }
    }

    fn lasting(reason: impl fmt::Display) -> Self {
        Self { reason: reason.to_string(), passes: false, pause: None }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::passing(error)
    }
}

impl From<hyper::Error> for Failure {
    fn from(error: hyper::Error) -> Self {
        Self::passing(error)
    }
}

/// Where spans are sent.
struct Collector {
    host: String,
    port: u16,
    authority: String,
    path: String,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl Collector {
    fn new(endpoint: &Uri, ca_file: Option<&Path>) -> Result<Self, ExportConfigError> {
        let encrypted = endpoint.scheme_str() == Some("https");
        let authority = endpoint.authority().ok_or(ExportConfigError::NoHost)?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let tls = if encrypted {
            let name = ServerName::try_from(host.clone()).map_err(|_| ExportConfigError::NoHost)?;
            Some((connector(ca_file)?, name))
        } else {
            None
        };
        Ok(Self {
            port: authority.port_u16().unwrap_or(if encrypted { 443 } else { 80 }),
            authority: authority.to_string(),
            path: endpoint.path().to_owned(),
            host,
            tls,
        })
    }

    /// One export over a connection of its own: some hundred spans are worth one, and none is left to grow stale.
    /// Gives how many spans the collector did not want.
    async fn send(&self, body: Bytes) -> Result<u64, Failure> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        match &self.tls {
            Some((connector, name)) => self.exchange(connector.connect(name.clone(), stream).await?, body).await,
            None => self.exchange(stream, body).await,
        }
    }

    async fn exchange(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        body: Bytes,
    ) -> Result<u64, Failure> {
        let request = Request::post(self.path.as_str())
            .header(HOST, &self.authority)
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")))
            .body(Full::new(body))
            .map_err(Failure::lasting)?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let exchange = async {
            let answer = sender.send_request(request).await?;
            let status = answer.status();
            let pause = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
            if status.is_success() {
                let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES).collect().await;
                return Ok(body.map(|body| refused(&body.to_bytes())).unwrap_or_default());
            }
            let passes = matches!(
                status,
                StatusCode::TOO_MANY_REQUESTS
                    | StatusCode::BAD_GATEWAY
                    | StatusCode::SERVICE_UNAVAILABLE
                    | StatusCode::GATEWAY_TIMEOUT
            );
            Err(Failure { reason: format!("it answers {status}"), passes, pause: pause.map(Duration::from_secs) })
        };
        // The connection lives in this future, and ends with it when the time is up. How it ends, the exchange is told.
        let driver = async {
            let _ = connection.await;
            std::future::pending().await
        };
        tokio::select! {
            sent = exchange => sent,
            never = driver => never,
        }
    }
}

/// Of a partial success, how many spans were not taken.
fn refused(body: &[u8]) -> u64 {
    let Ok(answer) = serde_json::from_slice::<serde_json::Value>(body) else { return 0 };
    let rejected = &answer["partialSuccess"]["rejectedSpans"];
    rejected.as_u64().or_else(|| rejected.as_str()?.parse().ok()).unwrap_or(0)
}

/// The TLS side: trusts the authorities in the file alone, or without one those of this system.
fn connector(ca_file: Option<&Path>) -> Result<TlsConnector, ExportConfigError> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = ca_file {
        let unusable = |reason: String| ExportConfigError::CaFile { path: path.display().to_string(), reason };
        for certificate in CertificateDer::pem_file_iter(path).map_err(|error| unusable(error.to_string()))? {
            let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
            roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
        }
        if roots.is_empty() {
            return Err(unusable("holds no certificate".to_owned()));
        }
    } else {
        // Some files of a system's collection are commonly unreadable or outdated; the rest still counts.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err(ExportConfigError::NoAuthorities);
        }
    }
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider supports the default versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
