//! The pages: every test that they name is one, and every link within them leads somewhere.

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

/// Every page of the repository.
fn pages(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            if !name.starts_with('.') && !["target", "node_modules", "results"].contains(&name) {
                pages(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
}

/// What the links of a page lead to, but for those that leave the repository. What stands in a block of code, or between
/// backquotes, is none.
fn links(page: &str) -> Vec<&str> {
    let mut in_code = false;
    let lines = page.lines().filter(|line| {
        let fence = line.trim_start().starts_with("```");
        in_code ^= fence;
        !in_code && !fence
    });
    let targets = lines.flat_map(|line| line.split("](").skip(1).filter_map(|rest| rest.split(')').next()));
    targets
        .filter(|target| !target.contains("://") && !target.starts_with("mailto:") && !target.contains(' '))
        .collect()
}

/// The anchors of a page's headings, as they are made of their texts where pages are shown: lower case, spaces as
/// hyphens, and nothing else but letters, digits and hyphens.
fn anchors(page: &str) -> BTreeSet<String> {
    let headings = page
        .lines()
        .filter_map(|line| line.trim_start_matches('#').strip_prefix(' ').filter(|_| line.starts_with('#')));
    let letters = |letter: char| match letter {
        ' ' => Some('-'),
        '-' | '_' => Some(letter),
        letter if letter.is_alphanumeric() => Some(letter.to_ascii_lowercase()),
        _ => None,
    };
    headings.map(|heading| heading.chars().filter_map(letters).collect()).collect()
}

#[test]
fn every_link_of_a_page_leads_somewhere() {
    let mut found = Vec::new();
    pages(Path::new(ROOT), &mut found);
    assert!(found.len() > 20, "{found:?}");
    let mut broken = Vec::new();
    for page in &found {
        let text = fs::read_to_string(page).unwrap();
        for link in links(&text) {
            let (file, anchor) = link.split_once('#').map_or((link, None), |(file, anchor)| (file, Some(anchor)));
            let target = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            let is_there = target.exists()
                && anchor
                    .is_none_or(|anchor| fs::read_to_string(&target).is_ok_and(|text| anchors(&text).contains(anchor)));
            if !is_there {
                broken.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert_eq!(broken, Vec::<String>::new());
}
