//! Tests of reading as a whole: sources in, settings or messages out.

mod documentation;
mod forms;
mod mistakes;
mod secrets;

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::*;

/// Sources made by hand: files in a folder of their own, and a map for the environment.
struct Case {
    folder: tempfile::TempDir,
    sources: Sources<BTreeMap<String, String>>,
}

impl Case {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder, sources: Sources { files: vec![], environment: BTreeMap::new(), overrides: vec![] } }
    }

    /// A file that is not a source by itself; returns its path.
    fn beside(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    fn file(mut self, name: &str, content: &str) -> Self {
        let path = self.beside(name, content);
        self.sources.files.push(path);
        self
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.sources.environment.insert(name.into(), value.into());
        self
    }

    fn flag(mut self, key: &str, value: &str) -> Self {
        self.sources.overrides.push((key.into(), value.into()));
        self
    }

    #[track_caller]
    fn config(&self) -> Config {
        Config::load(&self.sources).unwrap_or_else(|errors| panic!("{errors}"))
    }

    /// What is wrong, one mistake per line, with the folder's path taken out.
    #[track_caller]
    fn errors(&self) -> Vec<String> {
        let errors = Config::load(&self.sources).expect_err("this configuration has mistakes").to_string();
        let folder = format!("{}/", self.folder.path().display());
        errors.lines().map(|line| line.replace(&folder, "")).collect()
    }

    fn printed(&self) -> String {
        let folder = format!("{}/", self.folder.path().display());
        print(&self.sources).unwrap_or_else(|errors| panic!("{errors}")).replace(&folder, "")
    }
}
