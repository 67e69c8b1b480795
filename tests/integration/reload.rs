//! Settings that are taken over while the service runs: all that is right at once, or nothing.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use introspectd::app::App;
use introspectd::config::{Snapshot, Sources};
use introspectd::reload::{ReloadError, Reloader};
use introspectd::token::time::Clock;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::api::Api;
use crate::support::node::AUDIENCE;
use crate::support::program::Program;
use crate::support::{eventually, raw};

const OPERATOR: (&str, &str) = ("operator", "operator-secret-of-the-tests");
const APP: (&str, &str) = ("app", "the first secret of the application");

/// A service that was built from a file.
struct Service {
    folder: TempDir,
    api: Api,
    public: std::net::SocketAddr,
    reloader: Arc<Reloader>,
    running: JoinHandle<introspectd::shutdown::Outcome>,
}

impl Drop for Service {
    fn drop(&mut self) {
        self.running.abort();
    }
}

fn client((id, secret): (&str, &str), more: &str) -> String {
    format!("[[clients]]\nclient_id = \"{id}\"\nclient_secret = \"{secret}\"\naudiences = [\"{AUDIENCE}\"]\n{more}\n")
}

fn operator() -> String {
    client(OPERATOR, r#"rights = ["introspect", "revoke", "issue", "admin"]"#)
}

fn application(secret: &str) -> String {
    client((APP.0, secret), "rights = [\"introspect\"]\ngrant_types = [\"client_credentials\"]")
}

impl Service {
    async fn start(clients: &str) -> Self {
        Self::start_with("", clients).await
    }

    async fn start_with(settings: &str, clients: &str) -> Self {
        Self::start_and_meanwhile(settings, clients, |_| {}).await
    }

    /// Has other clients written while it starts.
    async fn start_and_meanwhile(settings: &str, clients: &str, meanwhile: impl FnOnce(&dyn Fn(&str))) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("introspectd.toml");
        let store = folder.path().join("data");
        std::fs::write(&file, text(&store, settings, clients)).unwrap();
        let sources = Sources { files: vec![file], environment: BTreeMap::<String, String>::new(), overrides: vec![] };
        let load = move || Snapshot::take(&sources);
        let snapshot = load().unwrap_or_else(|errors| panic!("{errors}"));
        let app = App::build(snapshot.config.clone(), Clock::System).await.unwrap();
        meanwhile(&|clients| {
            std::fs::write(folder.path().join("introspectd.toml"), text(&store, settings, clients)).unwrap();
        });
        let (public, admin) = (app.bound()[0].address, app.bound()[1].address);
        let reloader = Arc::new(Reloader::new(app.parts(), snapshot, None, Box::new(load)));
        let running = tokio::spawn(app.run());
        Self { folder, api: Api::new(public, admin), public, reloader, running }
    }

    fn write(&self, settings: &str, clients: &str) {
        let store = self.folder.path().join("data");
        std::fs::write(self.folder.path().join("introspectd.toml"), text(&store, settings, clients)).unwrap();
    }

    async fn token(&self) -> String {
        let answer = self.api.post("/token", APP, &[("grant_type", "client_credentials")]).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()["access_token"].as_str().unwrap().to_owned()
    }
}

fn text(store: &Path, settings: &str, clients: &str) -> String {
    let fixed = "issuer = \"https://as.example.com\"\n[drain]\nmin = \"0s\"\n";
    let listeners = "[admin]\naddress = \"127.0.0.1:0\"\n[public]\naddress = \"127.0.0.1:0\"\n";
    format!("{fixed}\n[store]\npath = \"{}\"\n{listeners}{settings}\n{clients}", store.display())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_come_change_and_go() {
    let service = Service::start(&[operator(), application(APP.1)].concat()).await;
    let token = service.token().await;
    assert!(service.api.is_active(OPERATOR, &token).await, "and it is remembered");

    let new = ("new", "the secret of a new resource server");
    let clients =
        [operator(), application("another secret of the application"), client(new, r#"rights = ["introspect"]"#)];
    service.write("", &clients.concat());
    let reloaded = service.reloader.reload().await.unwrap();
    assert!(reloaded.taken.iter().any(|path| path == "clients[1].client_secret"), "{reloaded:?}");
    assert_eq!(reloaded.at_restart, Vec::<String>::new());
    assert!(service.api.is_active(new, &token).await);
    assert!(service.api.is_active(OPERATOR, &token).await, "who has not changed goes on");
    // Also on the connection that had proved the old one.
    assert_eq!(service.api.introspect(APP, &token).await.status, 401);
    assert!(service.api.is_active((APP.0, "another secret of the application"), &token).await);

    service.write("", &operator());
    assert_eq!(service.reloader.reload().await.unwrap().taken, ["clients[1]", "clients[2]"]);
    assert_eq!(service.api.introspect(new, &token).await.status, 401);
    assert!(!service.api.is_active(OPERATOR, &token).await, "its client is gone, whatever is remembered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_changes_nothing() {
    let service = Service::start(&[operator(), application(APP.1)].concat()).await;
    let token = service.token().await;
    for (settings, clients) in [
        ("[log]\nlevel = \"inof\"", operator()),
        ("", [operator(), "[[clients]]\nclient_id = \"app\"\n".to_owned()].concat()),
        ("nonsense", operator()),
    ] {
        service.write(settings, &clients);
        assert!(matches!(service.reloader.reload().await, Err(ReloadError::Config(_))), "{settings}");
        assert!(service.api.is_active(APP, &token).await, "the client that the file leaves out is still there");
    }
    // As whoever writes a file over leaves it for a moment, or for good when the disk is full.
    for nothing in ["", "\n", "# nothing\n[log]\n"] {
        std::fs::write(service.folder.path().join("introspectd.toml"), nothing).unwrap();
        assert!(matches!(service.reloader.reload().await, Err(ReloadError::Emptied(_))), "{nothing:?}");
        assert!(service.api.is_active(APP, &token).await);
    }
    std::fs::remove_file(service.folder.path().join("introspectd.toml")).unwrap();
    assert!(service.reloader.reload().await.is_err());
    assert!(service.api.is_active(APP, &token).await);
    let page = service.api.send(service.api.request("GET", &service.api.admin_url("/metrics"))).await.body;
    assert!(page.contains("introspect_config_reloads_total{result=\"refused\"} 7\n"), "{page}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_needs_a_restart_is_named_until_there_is_one() {
    let service = Service::start(&operator()).await;
    for _ in 0..2 {
        service.write("[tokens]\naccess_lifetime = \"7m\"\n[log]\nlevel = \"warn\"", &operator());
        let reloaded = service.reloader.reload().await.unwrap();
        assert_eq!(reloaded.at_restart, ["tokens.access_lifetime"]);
    }
    service.write("", &operator());
    let reloaded = service.reloader.reload().await.unwrap();
    assert_eq!((&reloaded.taken[..], &reloaded.at_restart[..]), (&["log.level".to_owned()][..], &[][..]));
}

/// Files are read at the start, and what they say is in effect a moment later: a change in between is none that was read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changes_while_the_service_starts_is_taken_over() {
    let late = application(APP.1);
    let service = Service::start_and_meanwhile("", &operator(), |write| write(&[operator(), late].concat())).await;
    let reloader = Arc::clone(&service.reloader);
    let watching = tokio::spawn(async move { reloader.watch(Duration::from_millis(10)).await });
    eventually("the client is known", async || {
        service.api.post("/token", APP, &[("grant_type", "client_credentials")]).await.status == 200
    })
    .await;
    watching.abort();
}

/// Opens a connection to a server that is to present this certificate.
async fn connect(to: std::net::SocketAddr, presenting: &CertificateDer<'static>) -> TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(presenting.clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let socket = TcpStream::connect(to).await.unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, socket).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_swapped_under_open_connections() {
    let folder = tempfile::tempdir().unwrap();
    let make = || rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (one, other) = (make(), make());
    let (certificate, key) = (folder.path().join("tls.crt"), folder.path().join("tls.key"));
    std::fs::write(&certificate, one.cert.pem()).unwrap();
    std::fs::write(&key, one.signing_key.serialize_pem()).unwrap();
    let settings = format!("tls_certificate_file = {certificate:?}\ntls_key_file = {key:?}\n");
    let service = Service::start_with(&settings, &operator()).await;
    let open = connect(service.public, one.cert.der()).await;
    std::fs::write(&certificate, other.cert.pem()).unwrap();
    // A key that is not that of the certificate: nothing is swapped.
    assert!(matches!(service.reloader.reload().await, Err(ReloadError::Tls { listener: "public", .. })));
    connect(service.public, one.cert.der()).await;
    std::fs::write(&key, other.signing_key.serialize_pem()).unwrap();
    let reloaded = service.reloader.reload().await.unwrap();
    assert_eq!(reloaded.taken, ["public.tls_certificate_file", "public.tls_key_file"], "what is in them has changed");
    connect(service.public, other.cert.der()).await;
    // A listener that loses its certificate keeps it until the next start: nothing else is said.
    service.write("", &operator());
    let reloaded = service.reloader.reload().await.unwrap();
    assert_eq!((&reloaded.taken[..], reloaded.at_restart.len()), (&[][..], 2), "{reloaded:?}");
    connect(service.public, other.cert.der()).await;
    let request = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    assert_eq!(raw::exchange_over(open, request).await.status, 200, "who is connected stays so");
}

#[tokio::test]
async fn a_signal_and_a_replaced_link_take_settings_over() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let settings = |level: &str| format!("[reload]\ninterval = \"1s\"\n[log]\nlevel = \"{level}\"\n{}", operator());
    std::fs::write(file("one.toml"), settings("info")).unwrap();
    std::fs::write(file("other.toml"), settings("debug")).unwrap();
    std::os::unix::fs::symlink(file("one.toml"), file("current.toml")).unwrap();
    let current = file("current.toml");
    let data = file("data");
    let arguments = ["-c", current.to_str().unwrap(), "--data", data.to_str().unwrap()];
    let program = Program::serve(&arguments, &[("INTROSPECTD_DRAIN__MIN", "0s")]);
    let said = |what: &'static str| {
        let program = &program;
        async move || program.log().contains(what)
    };
    program.hang_up();
    eventually("it read its settings anew", said("settings were read anew")).await;
    assert!(!program.log().contains("DEBUG"), "{}", program.log());
    std::fs::remove_file(&current).unwrap();
    std::os::unix::fs::symlink(file("other.toml"), &current).unwrap();
    eventually("it saw the other file", said("taken=\"log.level\"")).await;
    // Something that is said at that level only.
    let of_an_unknown_key = format!("itd_at_zz{}", "A".repeat(51));
    assert!(!program.api().is_active(OPERATOR, &of_an_unknown_key).await);
    eventually("it says more", said("DEBUG")).await;
    std::fs::write(file("other.toml"), "nonsense").unwrap();
    eventually("it says what is wrong", said("settings were not taken over")).await;
    assert_eq!(program.api().send(program.api().request("GET", &program.api().url("/livez"))).await.status, 200);
}
