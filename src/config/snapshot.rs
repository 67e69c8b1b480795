//! The settings as they were at one moment, to be compared with those of a later one.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::error::{ConfigError, ConfigErrors};
use super::tree::{Node, Origin, Value, join};
use super::{Config, Environment, Sources, read};

/// All settings, and what they were read from.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The settings.
    pub config: Config,
    /// A digest of the value of each, by its full path: of secrets, too, so that a change of one is seen.
    values: BTreeMap<String, blake3::Hash>,
    files: Vec<PathBuf>,
    /// Those of the configuration that set something.
    speaking: Vec<PathBuf>,
    /// What stood in the files when they were read.
    read: blake3::Hash,
}

impl Snapshot {
    /// Reads all sources. Everything that is wrong with them comes back at once.
    ///
    /// Files are read until they say the same twice: else a change that comes while they are read would be in effect
    /// in part, or in none, and never be seen.
    ///
    /// # Errors
    /// [`ConfigErrors`].
    pub fn take<E: Environment>(sources: &Sources<E>) -> Result<Self, ConfigErrors> {
        let mut snapshot = Self::take_once(sources)?;
        // A pipe cannot be read again, and changes in no other way.
        if !sources.files.iter().all(|file| file.is_file()) {
            return Ok(snapshot);
        }
        for _ in 0..ATTEMPTS {
            let again = Self::take_once(sources)?;
            if again.read == snapshot.read {
                return Ok(again);
            }
            snapshot = again;
        }
        let message = "the files were changed again and again while they were read".to_owned();
        Err(ConfigErrors::one(ConfigError { key: None, origin: Origin::Default, message }))
    }

    fn take_once<E: Environment>(sources: &Sources<E>) -> Result<Self, ConfigErrors> {
        let (config, log, tree) = read(sources)?;
        let values = log.effective.iter().filter(|effective| effective.used).map(|effective| {
            let value = effective.value.as_ref().map(|value| digest_of(&effective.key, value));
            let digest = effective.secret_digest.or(value).unwrap_or_else(|| blake3::hash(b""));
            (join(&effective.table, &effective.key), digest)
        });
        let mut files = sources.files.clone();
        collect_files(&tree, &mut files);
        let speaking = sources.files.iter().filter(|file| sets_something(&tree, file)).cloned().collect();
        let read = fingerprint(&files);
        Ok(Self { values: values.collect(), config, files, speaking, read })
    }

    /// Whether something else stands in the files than when they were read, and a digest of that.
    pub fn change(&self) -> Option<blake3::Hash> {
        Some(fingerprint(&self.files)).filter(|now| *now != self.read)
    }

    /// A file of the configuration that set something here and sets nothing in `next`: whoever writes a file may have
    /// emptied it first, and everything in it would be taken for deleted.
    pub fn emptied_in(&self, next: &Self) -> Option<&Path> {
        self.speaking.iter().find(|file| !next.speaking.contains(file)).map(PathBuf::as_path)
    }

    /// The settings of which the two differ, in the order of their paths.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let paths = self.values.keys().chain(other.values.keys());
        let mut differing: Vec<String> =
            paths.filter(|path| self.values.get(*path) != other.values.get(*path)).cloned().collect();
        differing.sort();
        differing.dedup();
        differing
    }

    /// Takes the values of `other` for those settings that do not fulfil `taken`: they are what is in effect.
    pub fn keep_of(&mut self, other: &Self, taken: impl Fn(&str) -> bool) {
        self.values.retain(|path, _| taken(path));
        let kept = other.values.iter().filter(|(path, _)| !taken(path));
        self.values.extend(kept.map(|(path, digest)| (path.clone(), *digest)));
    }
}

/// How often files are read that somebody changes meanwhile.
const ATTEMPTS: usize = 5;

/// What stands in files, as a digest. Files are followed to where they are now, so that a replaced link is seen as well
/// as a changed file (as Kubernetes replaces what it mounts).
fn fingerprint(files: &[PathBuf]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    for file in files {
        let content = content(file).unwrap_or_default();
        hasher.update(&(content.len() as u64).to_be_bytes()).update(&content);
    }
    hasher.finalize()
}

/// Of a path, and of what is there: a certificate that was written over has changed.
fn digest_of(key: &str, value: &serde_json::Value) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(value.to_string().as_bytes());
    if let Some(path) = value.as_str().filter(|_| key.ends_with("_file")) {
        hasher.update(&content(Path::new(path)).unwrap_or_default());
    }
    hasher.finalize()
}

/// Whether a value of `node` comes from `file`.
fn sets_something(node: &Node, file: &Path) -> bool {
    match &node.value {
        Value::Table(entries) => entries.iter().any(|(_, child)| sets_something(child, file)),
        Value::List(elements) => elements.iter().any(|element| sets_something(element, file)),
        _ => matches!(&node.origin, Origin::File(path) if path.as_path() == file),
    }
}

/// How much of a file is looked at: more than any of ours has.
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;

fn content(file: &Path) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    File::open(file).ok()?.take(MAX_FILE_BYTES).read_to_end(&mut content).ok()?;
    Some(content)
}

/// Every setting that names a file ends with `_file`.
fn collect_files(node: &Node, files: &mut Vec<PathBuf>) {
    match &node.value {
        Value::Table(entries) => {
            for (key, child) in entries {
                match &child.value {
                    Value::Text(path) | Value::Plain(path) if key.ends_with("_file") => files.push(path.into()),
                    _ => collect_files(child, files),
                }
            }
        }
        Value::List(elements) => elements.iter().for_each(|element| collect_files(element, files)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn take(overrides: &[(&str, &str)]) -> Snapshot {
        let overrides = overrides.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Snapshot::take(&Sources { files: vec![], environment: BTreeMap::new(), overrides }).unwrap()
    }

    #[test]
    fn what_differs_is_named_and_secrets_are_compared_too() {
        let one = take(&[("log.level", "info"), ("forward_auth.secret", "a-secret-of-a-gateway")]);
        let other = take(&[("log.level", "warn"), ("forward_auth.secret", "b-secret-of-a-gateway")]);
        assert_eq!(one.differences(&other), ["forward_auth.secret", "log.level"]);
        assert_eq!(one.differences(&one), Vec::<String>::new());
        assert!(!format!("{:?}", one.differences(&other)).contains("gateway"));
        let fewer = take(&[]);
        assert_eq!(fewer.differences(&take(&[("log.level", "info")])), Vec::<String>::new(), "the default, said aloud");
    }

    #[test]
    fn a_changed_or_replaced_file_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second, link) = (folder.path().join("1"), folder.path().join("2"), folder.path().join("current"));
        std::fs::write(&first, "a-secret-of-a-gateway").unwrap();
        std::fs::write(&second, "b-secret-of-a-gateway").unwrap();
        std::os::unix::fs::symlink(&first, &link).unwrap();
        let snapshot = take(&[("forward_auth.secret_file", link.to_str().unwrap())]);
        assert_eq!(snapshot.change(), None);
        std::fs::remove_file(&link).unwrap();
        let gone = snapshot.change();
        assert!(gone.is_some());
        std::os::unix::fs::symlink(&second, &link).unwrap();
        assert!(snapshot.change().is_some() && snapshot.change() != gone);
    }
}
