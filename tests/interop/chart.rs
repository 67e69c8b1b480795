//! The chart: what Helm makes of each file in `ci/`, whether every Kubernetes takes the objects, and whether the program
//! takes the configuration that the nodes would read.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::scripts::python_environment;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// Where the chart mounts what must not be in a `ConfigMap`.
const SECRETS: &str = "/run/secrets/introspectd";
const URL: &str = "redis://user:password@redis.example.svc:6379/0";

#[test]
fn helm_renders_it_kubernetes_takes_it_and_the_service_its_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("rendered");
    fs::create_dir(&output).unwrap();
    let said = checked(&output);
    let last = said.lines().last().unwrap_or_default();
    assert!(said.lines().count() == 1 && last.starts_with("checked "), "{said}");
    let mut configurations = 0;
    for entry in fs::read_dir(&output).unwrap() {
        takes(&entry.unwrap().path(), folder.path());
        configurations += 1;
    }
    // One of them brings its own.
    assert_eq!(configurations + 1, fs::read_dir(Path::new(ROOT).join("helm/introspectd/ci")).unwrap().count());
}

/// What the program says that asks Helm and the schemas of Kubernetes.
fn checked(output: &Path) -> String {
    let mut command = Command::new(python_environment());
    command.arg(Path::new(ROOT).join("tests/interop/python/chart.py"));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let asked = json!({"chart": Path::new(ROOT).join("helm/introspectd"), "output": output}).to_string();
    child.stdin.take().unwrap().write_all(asked.as_bytes()).unwrap();
    let ended = child.wait_with_output().unwrap();
    assert!(ended.status.success());
    String::from_utf8(ended.stdout).unwrap()
}

/// Lets the program check a configuration. The files that it names are made up.
fn takes(configuration: &Path, folder: &Path) {
    let name = configuration.file_stem().unwrap().to_str().unwrap();
    let secrets = folder.join(format!("secrets-{name}"));
    let secrets = secrets.to_str().unwrap();
    let text = fs::read_to_string(configuration).unwrap().replace(SECRETS, secrets);
    for word in text.split(|letter: char| letter.is_whitespace() || letter == '"') {
        if word.starts_with(secrets) {
            fs::create_dir_all(Path::new(word).parent().unwrap()).unwrap();
            let is_url = word.ends_with("/url");
            let made_up = if is_url { URL.to_owned() } else { "0123456789abcdef".repeat(3) };
            fs::write(word, made_up).unwrap();
        }
    }
    let file = Path::new(secrets).with_extension("yaml");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, text).unwrap();
    let checked = Command::new(env!("CARGO_BIN_EXE_introspectd"))
        .args(["config", "check", "-c"])
        .arg(&file)
        .env_clear()
        .output()
        .unwrap();
    assert!(checked.status.success(), "{name}: {}", String::from_utf8_lossy(&checked.stderr));
}
