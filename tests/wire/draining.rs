//! The end of the service, phase by phase.

use std::time::Duration;

use introspectd::config::DrainConfig;
use introspectd::shutdown::{Outcome, Phase};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use crate::harness::{Options, PATIENCE, Running, SOON, eventually};

const GET: &str = "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";
const GATE: &str = "GET /gate HTTP/1.1\r\nHost: a.example\r\n\r\n";

fn start(min: Duration, max: Duration) -> Running {
    Options { drain: DrainConfig { min, max }, ..Options::default() }.start()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readiness_turns_first_and_connections_are_still_accepted() {
    let server = start(SOON, PATIENCE);
    let mut idle = server.connect().await;
    let reply = idle.exchange(GET).await;
    assert!(!reply.closes());
    assert!(server.drain.is_serving());

    let begun = Instant::now();
    server.drain.begin();
    assert_eq!(server.drain.phase(), Phase::Draining);
    assert!(!server.drain.is_serving());
    let reply = idle.exchange(GET).await;
    assert_eq!((reply.status, reply.closes()), (200, true), "an open connection is served once more");
    idle.closed().await;
    let reply = server.connect().await.exchange(GET).await;
    assert_eq!((reply.status, reply.closes()), (200, true), "and a new one too");
    assert_eq!(server.drain.phase(), Phase::Draining);

    let address = server.address;
    assert_eq!(server.outcome().await, Outcome::Clean);
    assert!(begun.elapsed() >= SOON, "the minimum is kept though nothing is open: {:?}", begun.elapsed());
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_request_is_finished_and_idle_connections_are_closed() {
    let server = start(Duration::ZERO, PATIENCE);
    let mut idle = server.connect().await;
    assert_eq!(idle.exchange(GET).await.status, 200);
    let mut fresh = server.connect().await;
    let mut running = server.connect().await;
    running.send(GATE).await;
    eventually("the request runs", || server.statistics.requests_in_flight() == 1).await;
    eventually("all are accepted", || server.statistics.connections_open() == 3).await;

    server.drain.begin();
    idle.closed().await;
    fresh.closed().await;
    server.drain.reached(Phase::Closing).await;
    assert!(!server.has_ended());
    server.open_gate();
    let reply = running.reply().await;
    assert_eq!((reply.text(), reply.closes()), ("through the gate", true));
    running.closed().await;
    assert_eq!(server.outcome().await, Outcome::Clean);
}

/// Whoever is polled between the change of a phase and the waking that it brings is woken for nothing then, and has to
/// wait for the next one all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_idle_connection_is_forgotten_while_two_phases_follow_each_other() {
    for _ in 0..100 {
        let server = start(Duration::ZERO, PATIENCE);
        let mut idle = server.connect().await;
        assert_eq!(idle.exchange(GET).await.status, 200);
        server.drain.begin();
        idle.closed().await;
        assert_eq!(server.outcome().await, Outcome::Clean);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_minimum_and_without_connections_the_end_is_at_once() {
    let server = start(Duration::ZERO, PATIENCE);
    let begun = Instant::now();
    server.drain.begin();
    assert_eq!(server.outcome().await, Outcome::Clean);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_the_maximum_what_is_left_is_cut_off() {
    let server = start(Duration::ZERO, SOON);
    let mut running = server.connect().await;
    running.send(GATE).await;
    eventually("the request runs", || server.statistics.requests_in_flight() == 1).await;
    let begun = Instant::now();
    server.drain.begin();
    running.closed().await;
    assert!(begun.elapsed() >= SOON, "{:?}", begun.elapsed());
    assert_eq!(server.dropped(), 1);
    assert_eq!(server.outcome().await, Outcome::Forced { connections: 1 });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_ends_at_once() {
    let server = start(PATIENCE, PATIENCE * 2);
    let mut running = server.connect().await;
    running.send(GATE).await;
    eventually("the request runs", || server.statistics.requests_in_flight() == 1).await;
    let begun = Instant::now();
    server.drain.begin();
    server.drain.begin();
    running.closed().await;
    assert_eq!(server.outcome().await, Outcome::Forced { connections: 1 });
    assert!(begun.elapsed() < PATIENCE / 2, "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_and_sigint_are_signals() {
    for signal in ["TERM", "INT"] {
        let server = start(Duration::ZERO, PATIENCE);
        let signals = tokio::spawn(server.drain.on_signals().unwrap());
        // To this very process, whose other tests ignore it.
        let sent =
            std::process::Command::new("kill").args([format!("-{signal}"), std::process::id().to_string()]).status();
        assert!(sent.unwrap().success());
        assert_eq!(server.outcome().await, Outcome::Clean);
        signals.abort();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_head_does_not_outlive_the_maximum() {
    let server = start(Duration::ZERO, SOON);
    let mut client = server.connect().await;
    client.send("GET / HTTP/1.1\r\n").await;
    eventually("the bytes are read", || server.statistics.connections_open() == 1).await;
    sleep(Duration::from_millis(50)).await;
    server.drain.begin();
    client.closed().await;
    server.outcome().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_dropped_closes_everything() {
    let server = start(PATIENCE, PATIENCE);
    let mut client = server.connect().await;
    assert_eq!(client.exchange(GET).await.status, 200);
    let address = server.address;
    drop(server);
    client.closed().await;
    let refused = async {
        while TcpStream::connect(address).await.is_ok() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, refused).await.unwrap();
}
