//! A real browser: Debian's Chromium, driven without a window, with the page of `examples/browser-login`.
//!
//! The page is served from the origin under which the service is reached, and from another one of the same site. The
//! names are resolved by the browser itself, so that every origin is `https` without a port.

use std::path::{Path, PathBuf};
use std::process::Command;

use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::{Node, run};
use crate::scripts::{CHECKING, expect, npm_packages};

/// Where the page is.
#[derive(Clone, Copy)]
enum Page {
    /// On the service's own origin, behind one reverse proxy with it.
    SameOrigin,
    /// On an origin that the client lists.
    OtherOrigin,
}

const PAGE: &str = "https://app.example.test";
const SERVICE: &str = "https://api.example.test";
/// Another origin of the same site, and one of another site; neither is listed.
const SIBLING: &str = "https://evil.example.test";
const STRANGER: &str = "https://attacker.test";

// The numbers are written here, so that a program which leaves something out is noticed.
#[test]
fn rfc10017_a_page_of_the_same_origin_keeps_its_user_logged_in() {
    visit("browser_login.mjs", 68, Page::SameOrigin);
}

#[test]
fn rfc10017_a_page_of_a_listed_origin_keeps_its_user_logged_in() {
    visit("browser_login.mjs", 68, Page::OtherOrigin);
}

#[test]
fn asvs_3_5_attacks_on_a_page_of_the_same_origin_fail() {
    visit("browser_attacks.mjs", 1021, Page::SameOrigin);
}

#[test]
fn asvs_3_5_attacks_on_a_page_of_a_listed_origin_fail() {
    visit("browser_attacks.mjs", 1021, Page::OtherOrigin);
}

/// Starts the service, and runs a program against it that starts a browser and a server for the pages.
fn visit(script: &str, checks: u32, page: Page) {
    let chromium = chromium();
    let packages = npm_packages();
    let site = Site::start(page);
    let mut command = Command::new("node");
    command.env_remove("NODE_OPTIONS").env("NODE_EXTRA_CA_CERTS", site.path("certificate.pem"));
    command.env("CHROMIUM", chromium).arg(packages.join(script)).arg(site.path("scenario.json"));
    expect(&run(&mut command, "nodejs", CHECKING), checks);
}

/// The browser, as Debian and others call it. A missing one fails the test.
fn chromium() -> PathBuf {
    let folders: Vec<_> = std::env::var_os("PATH").iter().flat_map(std::env::split_paths).collect();
    let named = |name: &str| folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file());
    ["chromium", "chromium-browser", "google-chrome"]
        .into_iter()
        .find_map(named)
        .expect("chromium is missing: apt-get install chromium")
}

/// The service over TLS, with one client that keeps its refresh token in a cookie.
struct Site {
    folder: TempDir,
    _node: Node,
}

impl Site {
    fn start(page: Page) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let hosts = [PAGE, SERVICE, SIBLING, STRANGER].map(|origin| origin.trim_start_matches("https://").to_owned());
        let mut names = hosts.to_vec();
        names.extend(["localhost".to_owned(), "127.0.0.1".to_owned()]);
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
        std::fs::write(path("certificate.pem"), certificate.pem()).unwrap();
        std::fs::write(path("key.pem"), key.serialize_pem()).unwrap();

        // The pages of the issuer's own origin need not be listed.
        let (issuer, origins) = match page {
            Page::SameOrigin => (PAGE, json!([])),
            Page::OtherOrigin => (SERVICE, json!([PAGE])),
        };
        let clients = json!([{
            "client_id": "web", "delivery": "cookie", "origins": origins,
            "audiences": ["https://api.example.com"],
        }]);
        let node = Node::start(
            &["--dev"],
            &[
                ("INTROSPECTD_ISSUER", issuer),
                ("INTROSPECTD_PUBLIC__TLS_CERTIFICATE_FILE", &path("certificate.pem")),
                ("INTROSPECTD_PUBLIC__TLS_KEY_FILE", &path("key.pem")),
                ("INTROSPECTD_ACCOUNTS__ENABLED", "true"),
                ("INTROSPECTD_ACCOUNTS__CLIENTS", &clients.to_string()),
                ("INTROSPECTD_ACCOUNTS__REGISTRATIONS_PER_HOUR", "0"),
                // As cheap as may be.
                ("INTROSPECTD_ACCOUNTS__HASH_MEMORY_KIB", "7168"),
                ("INTROSPECTD_ACCOUNTS__HASH_PASSES", "5"),
            ],
        );
        let description = describe(&node, page, Path::new(&path("certificate.pem")), &path("key.pem"));
        std::fs::write(path("scenario.json"), description.to_string()).unwrap();
        Self { folder, _node: node }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// What the programs are told.
fn describe(node: &Node, page: Page, certificate: &Path, key: &str) -> Value {
    json!({
        "service": node.public(),
        "resource_server": node.line["clients"]["resource_server"],
        "certificate": certificate,
        "key": key,
        "example": concat!(env!("CARGO_MANIFEST_DIR"), "/examples/browser-login"),
        "page": PAGE,
        // What the page calls.
        "api": match page {
            Page::SameOrigin => PAGE,
            Page::OtherOrigin => SERVICE,
        },
        "sibling": SIBLING,
        "stranger": STRANGER,
    })
}
