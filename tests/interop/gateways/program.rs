//! How each program is started with the configuration that is its example.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::process::run;
use crate::scripts::{INSTALLING, KEPT, npm_folder, once, python_environment};

/// Where the examples are.
pub(super) const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/gateways");

/// A program that an example is for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Program {
    Nginx,
    Haproxy,
    Envoy,
    Apache,
    Spring,
    Express,
}

/// What stands in place of the ports and the path of the examples.
pub(super) struct Around<'a> {
    /// For 8080.
    pub(super) node: u16,
    /// For 9000.
    pub(super) api: u16,
    /// For 8000.
    pub(super) gateway: u16,
    /// For `/etc/introspectd/ca.pem`; there is one if the program asks over TLS. Other files from there are in the
    /// program's own folder.
    pub(super) ca: &'a Path,
}

impl Program {
    /// Whether it asks at `/forward-auth`, and does not introspect.
    pub(super) fn asks_forward_auth(self) -> bool {
        matches!(self, Self::Nginx | Self::Haproxy | Self::Envoy)
    }

    /// Whether it is the API itself, and has none behind it.
    pub(super) fn is_the_api(self) -> bool {
        matches!(self, Self::Spring | Self::Express)
    }

    /// Whether it asks over TLS and no other way.
    pub(super) fn asks_over_tls(self) -> bool {
        self == Self::Apache
    }

    /// The status for a token of which the node says that it cannot be read.
    pub(super) fn without_store(self) -> u16 {
        match self {
            // Takes whatever is not an answer for a bad token: nothing that could be told to it changes that.
            Self::Apache => 401,
            _ => 503,
        }
    }

    /// The status while the node is away.
    pub(super) fn without_answer(self) -> u16 {
        self.without_store()
    }

    /// A command that runs it in the foreground, in one process, with its example's files in `folder`; and the Debian
    /// package that has it.
    pub(super) fn prepare(self, folder: &Path, around: &Around<'_>) -> (Command, &'static str) {
        let place = |name: &str| folder.join(name).display().to_string();
        match self {
            Self::Nginx => {
                fill("nginx/introspectd.conf", folder, around);
                fs::write(folder.join("nginx.conf"), NGINX).unwrap();
                let mut command = system("nginx");
                command.args(["-e", "stderr", "-c", "nginx.conf", "-p"]).arg(folder);
                (command, "nginx")
            }
            Self::Haproxy => {
                fill("haproxy/haproxy.cfg", folder, around);
                fill("haproxy/forward-auth.lua", folder, around);
                let mut command = system("haproxy");
                command.args(["-db", "-f", "haproxy.cfg"]);
                (command, "haproxy")
            }
            Self::Envoy => {
                fill("envoy/envoy.yaml", folder, around);
                let mut command = Command::new(python_environment().with_file_name("envoy"));
                command.args(["-c", "envoy.yaml", "--disable-hot-restart", "--concurrency", "1", "-l", "warning"]);
                (command, "python3-venv")
            }
            Self::Apache => {
                fill("apache/introspectd.conf", folder, around);
                fill("apache/callers.lua", folder, around);
                // It gives root's rights away before it reads this.
                fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
                fs::copy(around.ca, folder.join("ca.pem")).unwrap();
                fs::write(folder.join("apache.conf"), APACHE.replace("FOLDER", &folder.display().to_string())).unwrap();
                let mut command = system("apache2");
                command.args(["-X", "-f", &place("apache.conf")]);
                (command, "apache2-bin libapache2-mod-auth-openidc")
            }
            Self::Spring => {
                fill("spring/src/main/resources/application.yaml", folder, around);
                let mut command = Command::new("java");
                command.args(["-Xmx256m", "-XX:TieredStopAtLevel=1", "-jar"]).arg(spring_application());
                command.arg(format!("--spring.config.location=file:{}", place("application.yaml")));
                (command, "default-jdk-headless")
            }
            Self::Express => {
                static DONE: OnceLock<PathBuf> = OnceLock::new();
                let packages = npm_folder("interop-express", &DONE, &Path::new(EXAMPLES).join("express"));
                for file in ["server.mjs", "introspection.mjs", "package.json"] {
                    fill(&format!("express/{file}"), folder, around);
                }
                symlink(packages.join("node_modules"), folder.join("node_modules")).unwrap();
                let mut command = Command::new("node");
                command.env_remove("NODE_OPTIONS").arg("server.mjs");
                (command, "nodejs")
            }
        }
    }
}

/// Debian keeps servers where only root looks.
fn system(name: &str) -> Command {
    let place = Path::new("/usr/sbin").join(name);
    Command::new(if place.exists() { place } else { PathBuf::from(name) })
}

/// Copies a file of an example, with other around.
pub(super) fn fill(example: &str, folder: &Path, around: &Around<'_>) {
    let file = Path::new(EXAMPLES).join(example);
    let text = fs::read_to_string(&file).unwrap();
    let gateway = around.gateway.to_string();
    let text = text.replace("8080", &around.node.to_string()).replace("9000", &around.api.to_string());
    // The name is one for the whole machine.
    let text = text.replace("8000", &gateway).replace("abns@introspectd", &format!("abns@introspectd-{gateway}"));
    let text = text.replace("/etc/introspectd/", &format!("{}/", folder.display()));
    fs::write(folder.join(file.file_name().unwrap()), text).unwrap();
}

/// What is around the example's file in Debian's own configuration, with all files in a folder of the test's.
const NGINX: &str = "
daemon off;
master_process off;
pid nginx.pid;
error_log stderr warn;
events {}
http {
    access_log off;
    client_body_buffer_size 1m;
    client_body_temp_path temporary-body;
    proxy_temp_path temporary-proxy;
    fastcgi_temp_path temporary-fastcgi;
    uwsgi_temp_path temporary-uwsgi;
    scgi_temp_path temporary-scgi;
    include introspectd.conf;
}
";

const APACHE: &str = "
ServerName localhost
DefaultRuntimeDir FOLDER
PidFile FOLDER/apache.pid
ErrorLog FOLDER/log
User nobody
Group nogroup
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authn_core_module /usr/lib/apache2/modules/mod_authn_core.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule authz_user_module /usr/lib/apache2/modules/mod_authz_user.so
LoadModule headers_module /usr/lib/apache2/modules/mod_headers.so
LoadModule lua_module /usr/lib/apache2/modules/mod_lua.so
LoadModule proxy_module /usr/lib/apache2/modules/mod_proxy.so
LoadModule proxy_http_module /usr/lib/apache2/modules/mod_proxy_http.so
LoadModule auth_openidc_module /usr/lib/apache2/modules/mod_auth_openidc.so
Include FOLDER/introspectd.conf
";

/// The Spring application, built by Maven in the target folder; what it needs is kept beside it.
fn spring_application() -> PathBuf {
    static DONE: OnceLock<PathBuf> = OnceLock::new();
    let folder = once("interop-spring", &DONE, |folder| {
        let wanted = copy(&Path::new(EXAMPLES).join("spring"), folder);
        let stamp = folder.join("built.txt");
        if fs::read(&stamp).is_ok_and(|built| built == wanted) {
            return;
        }
        let mut build = Command::new("mvn");
        build.args(["--batch-mode", "--quiet", "--no-transfer-progress", "package"]).current_dir(folder);
        build.arg(format!("-Dmaven.repo.local={KEPT}/interop-maven"));
        run(&mut build, "maven default-jdk-headless", INSTALLING);
        fs::write(&stamp, &wanted).unwrap();
    });
    folder.join("target/orders.jar")
}

/// Copies a folder, and gives all that was copied.
fn copy(from: &Path, to: &Path) -> Vec<u8> {
    let mut all = vec![];
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            all.extend(copy(&entry.path(), &to.join(entry.file_name())));
        } else {
            let content = fs::read(entry.path()).unwrap();
            fs::write(to.join(entry.file_name()), &content).unwrap();
            all.extend(content);
        }
    }
    all
}
