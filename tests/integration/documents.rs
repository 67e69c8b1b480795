//! The pages that name tests: every name in them is one.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The names of all tests and of the modules that they lie in, as `module::test`, whatever the store that they run
/// over.
fn tests() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    collect(&Path::new(ROOT).join("tests/integration"), "", &mut names);
    for program in ["chaos", "simulation", "wire"] {
        collect(&Path::new(ROOT).join("tests").join(program), program, &mut names);
    }
    names
}

fn collect(folder: &Path, module: &str, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let inner = match (module, stem) {
            (module, "mod" | "main") => module.to_owned(),
            ("", stem) => stem.to_owned(),
            (module, stem) => format!("{module}::{stem}"),
        };
        names.insert(inner.clone());
        if path.is_dir() {
            collect(&path, &inner, names);
            continue;
        }
        let functions = fs::read_to_string(&path).unwrap();
        for line in functions.lines() {
            let line = line.trim_start().trim_start_matches("pub(crate) ").trim_start_matches("async ");
            if let Some(name) = line.strip_prefix("fn ").and_then(|rest| rest.split(['(', '<']).next()) {
                names.insert(format!("{inner}::{name}"));
            }
        }
    }
}

/// What stands between backquotes in the cells of tables whose last column is called `test` or `tests`.
fn named(page: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut in_table = false;
    for line in page.lines() {
        let cells: Vec<&str> = line.trim().trim_matches('|').split(" | ").map(str::trim).collect();
        match cells.last() {
            Some(&("test" | "tests")) => in_table = true,
            Some(last) if in_table && line.starts_with('|') => {
                names.extend(last.split('`').skip(1).step_by(2).map(str::to_owned));
            }
            _ => in_table = false,
        }
    }
    names
}

#[test]
fn every_test_that_a_page_names_is_there() {
    let tests = tests();
    for page in ["README.md", "docs/conformance.md", "docs/consistency.md", "docs/threat-model.md"] {
        let names = named(&fs::read_to_string(Path::new(ROOT).join(page)).unwrap());
        assert!(names.len() > 15, "{page} names {} tests", names.len());
        for name in names {
            let is_file =
                || PathBuf::from(ROOT).join(&name).exists() || PathBuf::from(ROOT).join(format!("{name}.rs")).exists();
            assert!(tests.contains(&name) || is_file(), "{page} names {name}, and there is no such test");
        }
    }
}
