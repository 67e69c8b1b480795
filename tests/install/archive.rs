//! The archive of a release, built around a stand-in that calls the program that the tests have: that one is many times
//! as large as a release, and the rest is what is looked at here.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::{PROGRAM, root, run, runs_clean, settings, text};

const TARGET: &str = "x86_64-unknown-linux-musl";

struct Archive {
    folder: TempDir,
    file: PathBuf,
    name: String,
}

impl Archive {
    fn build(umask: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let out = folder.path().join("out");
        let program = folder.path().join("stand-in");
        fs::write(&program, format!("#!/bin/sh\nexec {PROGRAM} \"$@\"\n")).unwrap();
        assert!(runs_clean("chmod", &["755", program.to_str().unwrap()]));
        let script = format!("umask {umask}; deploy/release --binary \"$1\" --target \"$2\" --out \"$3\"");
        let built = Command::new("bash")
            .args(["-c", &script, "release", program.to_str().unwrap(), TARGET, out.to_str().unwrap()])
            .env("SOURCE_DATE_EPOCH", "1000000000")
            .current_dir(root())
            .output()
            .unwrap();
        let said = String::from_utf8(built.stdout).unwrap();
        assert!(built.status.success(), "{said}{}", String::from_utf8_lossy(&built.stderr));
        let name = format!("introspectd-{}-{TARGET}", env!("CARGO_PKG_VERSION"));
        let file = out.join(format!("{name}.tar.gz"));
        assert_eq!(said.trim(), file.to_str().unwrap());
        Self { folder, file, name }
    }

    /// Unpacks it as whoever downloads it does; the folder that it makes.
    fn unpack(&self) -> PathBuf {
        let place = self.folder.path().to_str().unwrap();
        assert!(runs_clean(
            "tar",
            &["--extract", "--gzip", "--file", self.file.to_str().unwrap(), "--directory", place]
        ));
        let top = self.folder.path().join(&self.name);
        assert!(top.is_dir(), "everything is in one folder of its name");
        top
    }
}

fn files(folder: &Path) -> Vec<String> {
    fn walk(top: &Path, folder: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(top, &path, found);
            } else {
                found.push(path.strip_prefix(top).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    let mut found = Vec::new();
    walk(folder, folder, &mut found);
    found.sort();
    found
}

/// Every verb of the program, as `client create`, the way its own help tells of them.
fn verbs() -> Vec<String> {
    let page = text("docs/command-line.md");
    let titles = page.lines().filter_map(|line| line.strip_prefix("## `introspectd")?.strip_suffix('`'));
    titles.map(|title| title.trim().to_owned()).collect()
}

#[test]
fn it_holds_what_a_machine_needs_and_checksums_of_it() {
    let archive = Archive::build("022");
    let top = archive.unpack();
    let found = files(&top);
    for wanted in [
        "CHANGELOG.md",
        "LICENSE",
        "README.md",
        "THIRD-PARTY",
        "completions/_introspectd",
        "completions/introspectd.bash",
        "completions/introspectd.fish",
        "config/introspectd.toml",
        "config/schema.json",
        "install.md",
        "introspectd",
        "systemd/introspectd.service",
        "systemd/secrets.conf",
    ] {
        assert!(found.iter().any(|file| file == wanted), "{wanted} is missing: {found:?}");
    }
    let verbs = verbs();
    assert!(verbs.len() > 20, "{verbs:?}");
    for verb in &verbs {
        let page = format!("introspectd {verb}").trim().replace(' ', "-");
        assert!(found.contains(&format!("man/man1/{page}.1")), "no page for {verb}");
    }
    let pages = found.iter().filter(|file| file.starts_with("man/")).count();
    assert_eq!(pages, verbs.len(), "a page for each verb, and no other");

    let listed = fs::read_to_string(top.join("SHA256SUMS")).unwrap();
    assert_eq!(listed.lines().count(), found.len() - 1, "all but the list itself");
    for (folder, list) in [(top.as_path(), "SHA256SUMS"), (archive.file.parent().unwrap(), "SHA256SUMS")] {
        let checked =
            Command::new("sha256sum").args(["--check", "--strict", list]).current_dir(folder).output().unwrap();
        assert!(checked.status.success(), "{checked:?}");
    }
    let said = run(top.join("introspectd").to_str().unwrap(), &["--version"]).unwrap();
    assert_eq!(said.stdout, concat!("introspectd ", env!("CARGO_PKG_VERSION"), "\n").as_bytes());
    assert!(settings(&top.join("config/introspectd.toml"), &[]).is_ok());
    let schema: serde_json::Value = serde_json::from_slice(&fs::read(top.join("config/schema.json")).unwrap()).unwrap();
    assert!(schema["properties"]["store"].is_object());

    check_completions(&top.join("completions"));
    check_manual(&top.join("man/man1"));
    check_notices(&fs::read_to_string(top.join("THIRD-PARTY")).unwrap());
}

#[test]
fn the_same_commit_gives_the_same_archive_whoever_builds_it() {
    let (one, other) = (Archive::build("022"), Archive::build("077"));
    assert!(fs::read(&one.file).unwrap() == fs::read(&other.file).unwrap(), "they differ");
    let listed = run("tar", &["--list", "--verbose", "--gzip", "--file", one.file.to_str().unwrap()]).unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    for line in listed.lines() {
        assert!(line.contains(" 0/0 ") && line.contains(" 2001-09-09 "), "{line}");
    }
    // Nothing of the machine that built it, but for the stand-in.
    let top = one.unpack();
    for file in files(&top).iter().filter(|file| *file != "introspectd") {
        let content = fs::read_to_string(top.join(file)).unwrap();
        assert!(!content.contains(root().to_str().unwrap()), "{file} names this folder");
    }
}

#[test]
fn a_program_that_is_linked_dynamically_is_not_packed_as_static() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("out");
    let arguments = ["--binary", PROGRAM, "--target", TARGET, "--out", out.to_str().unwrap()];
    let refused = run(root().join("deploy/release").to_str().unwrap(), &arguments).unwrap();
    assert!(!refused.status.success() && !out.exists());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("linked dynamically"));
}

#[test]
fn a_program_of_another_version_is_refused() {
    let folder = TempDir::new().unwrap();
    let other = folder.path().join("introspectd");
    fs::write(&other, "#!/bin/sh\necho introspectd 0.0.0\n").unwrap();
    assert!(runs_clean("chmod", &["755", other.to_str().unwrap()]));
    let out = folder.path().join("out");
    let arguments = ["--binary", other.to_str().unwrap(), "--out", out.to_str().unwrap()];
    let refused = run(root().join("deploy/release").to_str().unwrap(), &arguments).unwrap();
    assert!(!refused.status.success() && !out.exists());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("0.0.0"));
    for wrong in [&["--no-flag", "x"][..], &["--out"]] {
        assert_eq!(run(root().join("deploy/release").to_str().unwrap(), wrong).unwrap().status.code(), Some(2));
    }
}

fn check_completions(folder: &Path) {
    let script = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    assert!(runs_clean("bash", &["-n", &script("introspectd.bash")]));
    runs_clean("zsh", &["-n", &script("_introspectd")]);
    runs_clean("fish", &["--no-execute", &script("introspectd.fish")]);
}

/// Each page by itself, as `man` finds it, without a warning from what formats it.
fn check_manual(folder: &Path) {
    for page in files(folder) {
        let path = folder.join(&page);
        let text = fs::read_to_string(&path).unwrap();
        let name = page.strip_suffix(".1").unwrap();
        assert!(text.contains(&format!("\n.TH {name} 1 ")), "{page}: {}", &text[..200]);
        let path = path.to_str().unwrap();
        assert!(runs_clean("groff", &["-man", "-Tutf8", "-ww", "-z", path]), "tests/run installs groff");
        runs_clean("mandoc", &["-T", "lint", "-W", "error", path]);
    }
}

/// The licences of what is linked, each with its text.
fn check_notices(text: &str) {
    for part in ["aws-lc-sys ", "hyper ", "tokio ", "rustls ", "redb ", "mimalloc "] {
        assert!(text.lines().any(|line| line.trim_start().starts_with(part)), "{part} is not named");
    }
    for sentence in [
        "Apache License",
        "Permission is hereby granted, free of charge",
        "Redistributions of source code",
        "Microsoft",
    ] {
        assert!(text.contains(sentence), "{sentence}");
    }
    assert!(!text.contains("introspectd 0."), "ours is in LICENSE");
}
