//! Libraries of other languages: their packages are installed once, and each has programs that go through a list of
//! checks and say how many they made.
//!
//! | programs | what they check |
//! |---|---|
//! | `*_client` | clients with secrets: tokens, refreshing, introspection, revocation |
//! | `*_possession` | clients with keys and certificates: assertions, signed answers, DPoP, mutual TLS |
//! | `*_verifier`, `*_resource` | signed access tokens, and what becomes of them when keys change |

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use crate::process::run;
use crate::scenario::{Scenario, Store};

/// How long a registry may take.
pub(crate) const INSTALLING: Duration = Duration::from_mins(10);
/// How long a program may take.
pub(crate) const CHECKING: Duration = Duration::from_mins(3);

pub(crate) const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop");
pub(crate) const KEPT: &str = env!("CARGO_TARGET_TMPDIR");

macro_rules! over_both_stores {
    ($($name:ident: $runner:ident($script:literal) == $checks:literal;)*) => {$(
        mod $name {
            use super::*;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn over_the_embedded_store() { super::$runner($script, $checks, Store::Embedded).await; }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn over_redis() { super::$runner($script, $checks, Store::Redis).await; }
        }
    )*};
}

// The numbers are written here, so that a program which leaves something out is noticed.
over_both_stores! {
    authlib: python("authlib_client.py") == 253;
    requests_oauthlib: python("requests_oauthlib_client.py") == 261;
    openid_client: node("openid_client.mjs") == 271;
    oauth4webapi: node("oauth4webapi_client.mjs") == 269;
    authlib_possession: python("authlib_possession.py") == 80;
    openid_client_possession: node("openid_client_possession.mjs") == 105;
    oauth4webapi_possession: node("oauth4webapi_possession.mjs") == 105;
    authlib_verifier: python("authlib_verifier.py") == 48;
    joserfc_verifier: python("joserfc_verifier.py") == 96;
    pyjwt_verifier: python("pyjwt_verifier.py") == 96;
    jose_verifier: node("jose_verifier.mjs") == 57;
    oauth4webapi_resource: node("oauth4webapi_resource.mjs") == 18;
}

async fn python(script: &str, checks: u32, store: Store) {
    let interpreter = python_environment();
    let scenario = Scenario::start(store).await;
    let mut command = Command::new(interpreter);
    // Settings of whoever runs the tests must not decide whom the library trusts.
    command.env_remove("REQUESTS_CA_BUNDLE").env_remove("CURL_CA_BUNDLE").env("PYTHONDONTWRITEBYTECODE", "1");
    command.arg(Path::new(SOURCES).join("python").join(script)).arg(scenario.file());
    expect(&run(&mut command, "python3", CHECKING), checks);
}

async fn node(script: &str, checks: u32, store: Store) {
    let folder = npm_packages();
    let scenario = Scenario::start(store).await;
    let mut command = Command::new("node");
    command.env_remove("NODE_OPTIONS").env("NODE_EXTRA_CA_CERTS", scenario.ca_file());
    command.arg(folder.join(script)).arg(scenario.file());
    expect(&run(&mut command, "nodejs", CHECKING), checks);
}

pub(crate) fn expect(output: &str, checks: u32) {
    assert_eq!(output.lines().last(), Some(format!("{checks} checks").as_str()), "{output}");
}

/// Does `make` once for all tests of this program, and while no other program does the same.
pub(crate) fn once(name: &str, done: &OnceLock<PathBuf>, make: impl FnOnce(&Path)) -> PathBuf {
    let make_locked = || {
        let folder = Path::new(KEPT).join(name);
        fs::create_dir_all(&folder).unwrap();
        let lock = File::create(folder.with_extension("lock")).unwrap();
        lock.lock().unwrap();
        make(&folder);
        folder
    };
    done.get_or_init(make_locked).clone()
}

/// An environment with the libraries in it, made anew when their list has changed.
pub(crate) fn python_environment() -> PathBuf {
    static DONE: OnceLock<PathBuf> = OnceLock::new();
    let list = Path::new(SOURCES).join("python/requirements.txt");
    let folder = once("interop-python", &DONE, |folder| {
        let interpreter = folder.join("bin/python");
        let (wanted, stamp) = (fs::read(&list).unwrap(), folder.join("installed.txt"));
        // The interpreter that it was made with may be gone.
        let usable = || Command::new(&interpreter).arg("--version").output().is_ok_and(|made| made.status.success());
        if fs::read(&stamp).is_ok_and(|installed| installed == wanted) && usable() {
            return;
        }
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(folder), "python3 python3-venv", INSTALLING);
        let mut install = Command::new(&interpreter);
        install.args(["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]);
        // Nothing is built here: that would need compilers.
        install.args(["--only-binary", ":all:", "--requirement"]).arg(&list);
        run(&mut install, "python3-venv", INSTALLING);
        fs::write(&stamp, &wanted).unwrap();
    });
    folder.join("bin/python")
}

/// A folder with the packages in it and our programs beside them, where they are looked for.
pub(crate) fn npm_packages() -> PathBuf {
    static DONE: OnceLock<PathBuf> = OnceLock::new();
    npm_folder("interop-npm", &DONE, &Path::new(SOURCES).join("npm"))
}

/// A folder with the files of another in it, and the packages that its list names.
pub(crate) fn npm_folder(name: &str, done: &OnceLock<PathBuf>, sources: &Path) -> PathBuf {
    once(name, done, |folder| {
        let (list, stamp) = (fs::read(sources.join("package-lock.json")).unwrap(), folder.join("installed.json"));
        for entry in fs::read_dir(sources).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_file() {
                fs::copy(entry.path(), folder.join(entry.file_name())).unwrap();
            }
        }
        if fs::read(&stamp).is_ok_and(|installed| installed == list) {
            return;
        }
        let mut install = Command::new("npm");
        install.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(folder);
        run(&mut install, "npm", INSTALLING);
        fs::write(&stamp, &list).unwrap();
    })
}
