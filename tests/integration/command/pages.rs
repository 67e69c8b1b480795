//! Completions, manual and help.

use std::process::Command;

use crate::support::program::{run, run_with};

const VERBS: [&str; 8] = ["serve", "config", "client", "token", "health", "openapi", "completions", "man"];

#[test]
fn completions_are_scripts_that_know_every_verb() {
    for (shell, begins) in [("bash", "_introspectd()"), ("zsh", "#compdef introspectd"), ("fish", "# Print an optspec")]
    {
        let finished = run(&["completions", shell], &[]);
        assert_eq!(finished.code, Some(0), "{}", finished.stderr);
        assert!(finished.stdout.starts_with(begins), "{shell}: {}", &finished.stdout[..200]);
        for verb in VERBS.iter().chain(&["rotate-secret", "introspect", "--print"]) {
            let bare = verb.trim_start_matches('-');
            assert!(finished.stdout.contains(bare), "{verb} is not in the script for {shell}");
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("introspectd.bash");
    std::fs::write(&script, run(&["completions", "bash"], &[]).stdout).unwrap();
    let offered = format!(
        "source {}; COMP_WORDS=(introspectd client ro); COMP_CWORD=2; _introspectd introspectd ro client; \
         echo ${{COMPREPLY[@]}}",
        script.display()
    );
    let bash = Command::new("bash").args(["-c", &offered]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&bash.stdout).trim(), "rotate-secret", "{bash:?}");
    assert_eq!(run(&["completions", "no-shell"], &[]).code, Some(2));
}

#[test]
fn the_manual_is_troff_and_knows_every_verb() {
    let manual = run(&["man"], &[]);
    assert_eq!(manual.code, Some(0));
    assert!(manual.stdout.lines().any(|line| line.starts_with(".TH introspectd 1")), "{}", manual.stdout);
    for verb in VERBS {
        let title = format!(".TH introspectd-{verb} 1");
        assert!(manual.stdout.lines().any(|line| line.starts_with(&title)), "{title} is not in the manual");
    }
    for line in manual.stdout.lines() {
        assert!(!line.starts_with('\''), "troff would take it for a request: {line}");
    }
}

#[test]
fn the_manual_has_a_page_for_each_verb() {
    let folder = tempfile::tempdir().unwrap();
    let written = run(&["man", "--folder", folder.path().to_str().unwrap()], &[]);
    assert_eq!((written.code, written.stdout.as_str()), (Some(0), ""), "{}", written.stderr);
    for page in ["introspectd", "introspectd-serve", "introspectd-client", "introspectd-client-rotate-secret"] {
        let text = std::fs::read_to_string(folder.path().join(format!("{page}.1"))).unwrap();
        assert!(text.contains(&format!(".TH {page} 1")), "{page}: {text}");
    }
    assert!(!folder.path().join("introspectd-help.1").exists());
    let nowhere = run(&["man", "--folder", "/nowhere/at/all"], &[]);
    assert_eq!(nowhere.code, Some(1));
    assert!(nowhere.stderr.contains("/nowhere/at/all"), "{}", nowhere.stderr);
}

#[test]
fn help_names_every_verb_and_a_wrong_call_is_told_apart() {
    let help = run(&["--help"], &[]);
    assert_eq!(help.code, Some(0));
    for verb in VERBS {
        assert!(help.stdout.lines().any(|line| line.trim_start().starts_with(verb)), "{verb}: {}", help.stdout);
    }
    let version = run(&["--version"], &[]);
    assert_eq!(version.stdout, concat!("introspectd ", env!("CARGO_PKG_VERSION"), "\n"));
    for wrong in [&[][..], &["no-verb"], &["serve", "--no-flag"], &["client"], &["token", "introspect"]] {
        let finished = run_with(wrong, &[], "");
        assert_eq!((finished.code, finished.stdout.as_str()), (Some(2), ""), "{wrong:?}");
        assert!(finished.stderr.contains("Usage"), "{}", finished.stderr);
    }
}

#[test]
fn the_description_of_each_listener_is_printed() {
    let printed = |arguments: &[&str]| {
        let finished = run(arguments, &[]);
        assert_eq!(finished.code, Some(0), "{}", finished.stderr);
        serde_json::from_str::<serde_json::Value>(&finished.stdout).unwrap()
    };
    let public = printed(&["openapi"]);
    assert_eq!(public, printed(&["openapi", "--public"]));
    assert!(public["paths"]["/login"].is_object() && public["paths"]["/admin/clients"].is_null());
    let admin = printed(&["openapi", "--admin"]);
    assert!(admin["paths"]["/admin/clients"].is_object() && admin["paths"]["/introspect"].is_null());
    assert_eq!(run(&["openapi", "--admin", "--public"], &[]).code, Some(2));
}
