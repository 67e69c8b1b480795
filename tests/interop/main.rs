//! The program as it is shipped, seen from outside: started as a process, and asked by clients that we did not write.
//!
//! - [`rust`], [`scripts`] client libraries in Rust, Python and JavaScript, each through a list of checks
//! - [`browser`] a real browser in front of a page that logs its user in, and attacks on both
//! - [`contract`] the description of both listeners, and schemathesis that holds the node against it
//! - [`gateways`] nginx, haproxy, Envoy, Apache, Spring Security and Express with the configurations of our examples
//! - [`rolling`] three nodes behind haproxy that are restarted under load
//! - [`chart`] Helm and the schemas of Kubernetes, over the chart
//! - [`scenario`] what they meet: a node over TLS, on either store, with clients and tokens of all kinds
//! - [`secrets`] what a run leaves behind holds no secret: every byte of the store, the logs and the answers
//! - [`process`], [`http`] starting programs, and one request at a time
//!
//! These tests need `redis-server`, `python3` with `venv`, `node`, `npm` and `chromium`, and for the gateways `nginx`,
//! `haproxy`, `apache2` with `mod_auth_openidc`, a JDK and `mvn`; they fail without them and say how to get them.
//! Libraries, and Envoy, come from the package registries, in the versions that `python/requirements.txt`,
//! `npm/package-lock.json` and the examples' own lists name, and are kept in the target folder.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod browser;
mod chart;
mod contract;
mod gateways;
mod http;
mod process;
mod rolling;
mod rust;
mod scenario;
mod scripts;
mod secrets;
