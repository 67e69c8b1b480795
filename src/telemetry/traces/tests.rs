//! What is recorded of a request, without a collector.

use super::*;
use crate::config::Config;

struct Bench {
    tracer: Tracer,
    queue: mpsc::Receiver<Span>,
    metrics: Arc<Metrics>,
}

fn bench(places: usize) -> Bench {
    let metrics = Arc::new(Metrics::new(&Config::default().metrics));
    let (sender, queue) = mpsc::channel(places);
    Bench { tracer: Tracer::new(Sampler::new(1.0, true), sender, Arc::clone(&metrics)), queue, metrics }
}

impl Bench {
    async fn record(&self, answer: impl Future<Output = Response<()>>) {
        let request = Request::post("/admin/clients/a-name?secret=1").header("tracestate", "one=1").body(()).unwrap();
        let line = RequestLine::of(&request, Some("/admin/clients/{id}"), true);
        let sampled = self.tracer.decide(request.headers()).unwrap();
        self.tracer.record(sampled, line, answer).await;
    }

    fn spans(&mut self) -> Vec<Span> {
        std::iter::from_fn(|| self.queue.try_recv().ok()).collect()
    }

    fn dropped(&self) -> String {
        let page = self.metrics.render();
        let line = page.lines().find(|line| line.starts_with("introspect_trace_spans_total{result=\"dropped\"}"));
        line.and_then(|line| line.rsplit(' ').next()).unwrap_or_default().to_owned()
    }
}

fn answer(status: u16) -> Response<()> {
    Response::builder().status(status).body(()).unwrap()
}

fn attribute<'a>(span: &'a Span, name: &str) -> Option<&'a Value> {
    span.attributes.iter().find(|(found, _)| *found == name).map(|(_, value)| value)
}

#[tokio::test]
async fn what_happens_within_a_step_is_part_of_it() {
    let mut bench = bench(100);
    bench
        .record(async {
            let step = step("outer").unwrap();
            note("inner", Kind::Client, Duration::from_micros(5), Vec::new, false);
            tokio::task::yield_now().await;
            step.end(vec![("found", "yes".into())], false);
            note("beside", Kind::Client, Duration::ZERO, Vec::new, true);
            answer(200)
        })
        .await;
    let spans = bench.spans();
    let named = |name: &str| spans.iter().find(|span| span.name == name).unwrap();
    let request = named("POST /admin/clients/{id}");
    let (outer, inner, beside) = (named("outer"), named("inner"), named("beside"));
    assert_eq!(spans.len(), 4);
    assert_eq!((inner.parent, outer.parent, beside.parent), (Some(outer.id), Some(request.id), Some(request.id)));
    assert_eq!(request.parent, None);
    assert!(spans.iter().all(|span| span.trace == request.trace && span.state.as_deref() == Some("one=1")));
    assert_eq!(inner.ended - inner.began, 5_000);
    assert!(request.began <= outer.began && outer.ended <= request.ended);
    assert!(beside.failed && !outer.failed && !request.failed);
    assert_eq!(attribute(outer, "found"), Some(&"yes".into()));
    assert_eq!(attribute(outer, "error.type"), None);
}

#[tokio::test]
async fn a_request_is_described_by_its_route_and_not_by_what_varies_in_its_path() {
    let mut bench = bench(100);
    bench.record(async { answer(503) }).await;
    let spans = bench.spans();
    let request = &spans[0];
    for (name, value) in [
        ("http.request.method", "POST"),
        ("http.route", "/admin/clients/{id}"),
        ("url.path", "/admin/clients/{id}"),
        ("url.scheme", "https"),
        ("network.protocol.version", "1.1"),
        ("error.type", "503"),
    ] {
        assert_eq!(attribute(request, name), Some(&value.into()), "{name}");
    }
    assert_eq!(attribute(request, "http.response.status_code"), Some(&503u16.into()));
    assert!(request.failed);
    assert!(!format!("{request:?}").contains("secret"));

    let odd = Request::builder().method("SECRET-TOKEN").uri("/anything").body(()).unwrap();
    let line = RequestLine::of(&odd, None, false);
    assert_eq!(line.name, "HTTP");
    assert!(!format!("{line:?}").contains("SECRET") && !format!("{line:?}").contains("anything"));
}

#[tokio::test]
async fn a_request_that_is_given_up_is_recorded_with_the_step_it_was_in() {
    let mut bench = bench(100);
    let endless = bench.record(async {
        let _step = step("outer");
        std::future::pending().await
    });
    assert!(tokio::time::timeout(Duration::from_millis(10), endless).await.is_err());
    let spans = bench.spans();
    assert_eq!(spans.iter().map(|span| &*span.name).collect::<Vec<_>>(), ["outer", "POST /admin/clients/{id}"]);
    assert!(spans.iter().all(|span| span.failed && attribute(span, "error.type") == Some(&"cancelled".into())));
}

#[tokio::test]
async fn the_spans_of_a_request_are_dropped_together_and_counted() {
    let mut bench = bench(2);
    let busy = async {
        for _ in 0..2 {
            note("inner", Kind::Client, Duration::ZERO, Vec::new, false);
        }
        answer(200)
    };
    bench.record(busy).await;
    assert_eq!((bench.spans().len(), bench.dropped()), (0, "3".to_owned()));
    bench.record(async { answer(200) }).await;
    assert_eq!((bench.spans().len(), bench.dropped()), (1, "3".to_owned()));
}

#[tokio::test]
async fn a_request_with_very_many_spans_keeps_the_first_and_itself() {
    let mut bench = bench(1000);
    let busy = async {
        for _ in 0..MOST_SPANS + 9 {
            note("inner", Kind::Client, Duration::ZERO, Vec::new, false);
        }
        answer(200)
    };
    bench.record(busy).await;
    let spans = bench.spans();
    assert_eq!((spans.len(), bench.dropped()), (MOST_SPANS, "10".to_owned()));
    assert_eq!(spans.last().unwrap().kind, Kind::Server);
    let ids: std::collections::BTreeSet<_> = spans.iter().map(|span| span.id).collect();
    assert_eq!(ids.len(), spans.len());
}

#[tokio::test]
async fn outside_of_a_recorded_request_nothing_is_recorded() {
    assert!(step("outer").is_none());
    note("inner", Kind::Client, Duration::ZERO, || unreachable!("nobody asks what it was"), false);
}
