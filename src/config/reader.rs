//! Reads settings from the tree of what the sources say. Each call declares a setting and reads it at once, so there is
//! one place per setting, and none of them can be forgotten in the schema, the reference, or the printed configuration.
//!
//! Mistakes are noted and reading goes on with the default, so all of them are found in one go.

use std::ops::RangeInclusive;
use std::path::Path;

use serde_json::Value as Json;

use super::declaration::{Declaration, Declarations, Setting, Shape};
use super::error::ConfigError;
use super::kind::{Description, Kind};
use super::tree::{Node, Origin, Value, join};
use crate::client::secret::Secret;

/// Reads one table.
pub(super) struct Reader<'a> {
    /// Where the table is, as `keys.digest[0]`; empty for the root.
    path: String,
    /// The same for any element, as `keys.digest[]`.
    pattern: String,
    table: Option<&'a Node>,
    log: &'a mut Log,
}

/// What reading brings to light besides the settings.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) declarations: Declarations,
    pub(super) errors: Vec<ConfigError>,
    pub(super) effective: Vec<Effective>,
    /// Set while the element of an empty list is read, only to see what it could hold.
    rehearsal: bool,
}

/// One value that is in effect.
#[derive(Clone, Debug)]
pub(super) struct Effective {
    /// The table, as `keys.digest[0]`.
    pub(super) table: String,
    pub(super) key: String,
    /// `None` when it is not set.
    pub(super) value: Option<Json>,
    pub(super) origin: Origin,
    pub(super) secret: bool,
    /// Of a secret that is set: a digest, to see whether it changes.
    pub(super) secret_digest: Option<blake3::Hash>,
    /// Whether it makes a difference; false for a store that is not the chosen one.
    pub(super) used: bool,
}

impl<'a> Reader<'a> {
    /// Reads from the root.
    pub(super) fn new(tree: &'a Node, log: &'a mut Log) -> Self {
        Self { path: String::new(), pattern: String::new(), table: Some(tree), log }
    }

    /// A value that is always there.
    pub(super) fn value<T: Kind>(&mut self, key: &str, default: T, meaning: &'static str) -> T {
        let read = self.read(key, Some(&default), false, |_| true, T::describe(), meaning);
        read.unwrap_or(default)
    }

    /// A value that is always there and lies in a range.
    pub(super) fn within<T: Kind + PartialOrd>(
        &mut self,
        key: &str,
        default: T,
        range: RangeInclusive<T>,
        meaning: &'static str,
    ) -> T {
        let description = bounded(T::describe(), &range);
        let read = self.read(key, Some(&default), false, |value| range.contains(value), description, meaning);
        read.unwrap_or(default)
    }

    /// A value that may be missing.
    pub(super) fn optional<T: Kind>(&mut self, key: &str, meaning: &'static str) -> Option<T> {
        self.read(key, None, false, |_| true, T::describe(), meaning)
    }

    /// A value that may be missing, and if not, lies in a range.
    pub(super) fn optional_within<T: Kind + PartialOrd>(
        &mut self,
        key: &str,
        range: RangeInclusive<T>,
        meaning: &'static str,
    ) -> Option<T> {
        let description = bounded(T::describe(), &range);
        self.read(key, None, false, |value| range.contains(value), description, meaning)
    }

    /// A value that must be set; `None` when it is not, which is noted.
    pub(super) fn required<T: Kind>(&mut self, key: &str, meaning: &'static str) -> Option<T> {
        self.read(key, None, true, |_| true, T::describe(), meaning)
    }

    /// A secret, from the key itself or from the file that the key with `_file` names.
    pub(super) fn secret(&mut self, key: &str, required: bool, meaning: &'static str) -> Option<Secret> {
        let schema = serde_json::json!({"type": "string", "minLength": 1, "writeOnly": true});
        let setting = Setting { name: "text, a secret".into(), schema, default: None, required, secret: true };
        self.declare(key, Shape::Setting(setting), meaning);
        let file_key = format!("{key}_file");
        let own = self.node(key).map(|node| (node.origin.clone(), String::parse(&node.value)));
        let file = self.node(&file_key).map(|node| (node.origin.clone(), String::parse(&node.value)));
        let (origin, value) = match (own, file) {
            (Some((origin, _)), Some(_)) => {
                let message = format!("{} is set too, in {origin}; set only one of the two", self.at(key));
                self.reject(&file_key, message);
                (origin, None)
            }
            (Some((origin, Some(text))), None) if !text.is_empty() => (origin, Some(Secret::new(text))),
            (Some((origin, _)), None) => {
                self.reject(key, "must be text, and not empty");
                (origin, None)
            }
            (None, Some((origin, Some(path)))) => {
                let secret = read_secret(Path::new(&path)).map_err(|fault| self.reject(&file_key, fault)).ok();
                (origin, secret)
            }
            (None, Some((origin, None))) => {
                self.reject(&file_key, "must be a path");
                (origin, None)
            }
            (None, None) => {
                if required {
                    self.complain(key, format!("is missing; set it, or {}", self.at(&file_key)));
                }
                (Origin::Default, None)
            }
        };
        let shown = value.is_some().then_some(Json::Null);
        let secret_digest = value.as_ref().map(|value| blake3::hash(value.expose().as_bytes()));
        self.show(Effective {
            table: self.path.clone(),
            key: key.into(),
            value: shown,
            origin,
            secret: true,
            secret_digest,
            used: true,
        });
        value
    }

    /// A table below this one.
    pub(super) fn section<T>(
        &mut self,
        key: &str,
        meaning: &'static str,
        read: impl FnOnce(&mut Reader<'_>) -> T,
    ) -> T {
        self.declare(key, Shape::Section, meaning);
        let table = self.node(key);
        if let Some(node) = table
            && !matches!(node.value, Value::Table(_) | Value::Null)
        {
            self.reject(key, format!("must be a table, found {}", node.value.kind()));
        }
        let (path, pattern) = (self.at(key), join(&self.pattern, key));
        read(&mut Reader { path, pattern, table, log: self.log })
    }

    /// A list of tables below this one. An element that cannot be used is noted and left out.
    pub(super) fn tables<T>(
        &mut self,
        key: &str,
        meaning: &'static str,
        mut read: impl FnMut(&mut Reader<'_>) -> Option<T>,
    ) -> Vec<T> {
        self.declare(key, Shape::Tables, meaning);
        let nodes = match self.node(key).map(|node| &node.value) {
            Some(Value::List(nodes)) => nodes.as_slice(),
            // YAML's way to write a list of which every line is commented out.
            Some(Value::Null) | None => &[],
            Some(other) => {
                self.reject(key, format!("must be a list of tables, found {}", other.kind()));
                &[]
            }
        };
        let pattern = format!("{}[]", join(&self.pattern, key));
        if nodes.is_empty() && !self.log.rehearsal {
            self.log.rehearsal = true;
            read(&mut Reader { path: pattern.clone(), pattern: pattern.clone(), table: None, log: self.log });
            self.log.rehearsal = false;
        }
        let mut elements = Vec::new();
        for (position, node) in nodes.iter().enumerate() {
            let path = format!("{}[{position}]", self.at(key));
            if !matches!(node.value, Value::Table(_)) {
                self.note(Some(path), node.origin.clone(), format!("must be a table, found {}", node.value.kind()));
                continue;
            }
            elements.extend(read(&mut Reader { path, pattern: pattern.clone(), table: Some(node), log: self.log }));
        }
        elements
    }

    /// Whether a source sets this key of the table.
    pub(super) fn is_set(&self, key: &str) -> bool {
        self.node(key).is_some()
    }

    /// How many elements the sources write into the list of this key, usable or not.
    pub(super) fn elements(&self, key: &str) -> usize {
        match self.node(key).map(|node| &node.value) {
            Some(Value::List(nodes)) => nodes.len(),
            _ => 0,
        }
    }

    /// Which source sets this key of the table.
    fn origin(&self, key: &str) -> Origin {
        self.node(key).map_or(Origin::Default, |node| node.origin.clone())
    }

    /// Which source sets the first of these keys in a table below this one; `None` when none is set.
    pub(super) fn section_origin(&self, section: &str, keys: &[&str]) -> Option<Origin> {
        let table = self.node(section)?;
        keys.iter().find_map(|key| table.get(key)).map(|node| node.origin.clone())
    }

    /// Says that nothing of this table makes a difference.
    pub(super) fn set_aside(&mut self) {
        let own = self.log.effective.iter_mut().filter(|effective| effective.table == self.path);
        own.for_each(|effective| effective.used = false);
    }

    /// Notes what is wrong with a key of the table.
    pub(super) fn reject(&mut self, key: &str, message: impl Into<String>) {
        self.note(Some(self.at(key)), self.origin(key), message.into());
    }

    /// Notes what is wrong with a key that is not there: the table's source is at fault.
    pub(super) fn complain(&mut self, key: &str, message: impl Into<String>) {
        let origin = self.table.map_or(Origin::Default, |node| node.origin.clone());
        self.note(Some(self.at(key)), origin, message.into());
    }

    /// The full path of a key of the table.
    pub(super) fn at(&self, key: &str) -> String {
        join(&self.path, key)
    }

    fn read<T: Kind>(
        &mut self,
        key: &str,
        default: Option<&T>,
        required: bool,
        accept: impl Fn(&T) -> bool,
        description: Description,
        meaning: &'static str,
    ) -> Option<T> {
        let Description { name, noun, schema } = description;
        let setting = Setting { name, schema, default: default.map(Kind::write), required, secret: false };
        self.declare(key, Shape::Setting(setting), meaning);
        let value = match self.node(key).map(|node| &node.value) {
            Some(Value::Null) => {
                self.reject(key, "has no value; give it one or remove the key");
                None
            }
            Some(value) => {
                let parsed = T::parse(value).filter(accept);
                if parsed.is_none() {
                    self.reject(key, format!("must be {noun}; found {}", shown(value)));
                }
                parsed
            }
            None => {
                if required {
                    self.complain(key, "is missing");
                }
                None
            }
        };
        let in_effect = value.as_ref().or(default).map(Kind::write);
        let origin = self.origin(key);
        self.show(Effective {
            table: self.path.clone(),
            key: key.into(),
            value: in_effect,
            origin,
            secret: false,
            secret_digest: None,
            used: true,
        });
        value
    }

    fn node(&self, key: &str) -> Option<&'a Node> {
        self.table.and_then(|table| table.get(key))
    }

    fn declare(&mut self, key: &str, shape: Shape, meaning: &'static str) {
        self.log.declarations.add(Declaration { path: join(&self.pattern, key), shape, meaning });
    }

    fn show(&mut self, effective: Effective) {
        if !self.log.rehearsal {
            self.log.effective.push(effective);
        }
    }

    fn note(&mut self, key: Option<String>, origin: Origin, message: String) {
        if !self.log.rehearsal {
            self.log.errors.push(ConfigError { key, origin, message });
        }
    }
}

/// Notes the keys that nothing reads. Comes after reading, which declares the keys.
pub(super) fn reject_unknown(node: &Node, path: &str, pattern: &str, log: &mut Log) {
    let Value::Table(entries) = &node.value else { return };
    for (key, child) in entries {
        let (at, declared) = (join(path, key), join(pattern, key));
        let fault = |message: String| ConfigError { key: Some(at.clone()), origin: child.origin.clone(), message };
        match (log.declarations.shape(&declared), &child.value) {
            (None, _) => {
                let suggestion =
                    log.declarations.nearest(&declared).map(|key| format!("; did you mean {key}?")).unwrap_or_default();
                log.errors.push(fault(format!("is no setting{suggestion}")));
            }
            (Some(Shape::Section), _) => reject_unknown(child, &at, &declared, log),
            (Some(Shape::Tables), Value::List(elements)) => {
                for (index, element) in elements.iter().enumerate() {
                    reject_unknown(element, &format!("{at}[{index}]"), &format!("{declared}[]"), log);
                }
            }
            _ => {}
        }
    }
}

/// The longest secret file taken: far more than any secret, and little enough to refuse a wrong path to something huge.
const MAX_SECRET_FILE_BYTES: u64 = 65_536;

/// The content of a secret's file, without the line break that editors put at the end.
fn read_secret(path: &Path) -> Result<Secret, String> {
    use std::io::Read as _;
    let fault = |what: String| format!("{}: {what}", path.display());
    let file = std::fs::File::open(path).map_err(|error| fault(error.to_string()))?;
    let mut text = zeroize::Zeroizing::new(String::new());
    file.take(MAX_SECRET_FILE_BYTES + 1).read_to_string(&mut text).map_err(|error| match error.kind() {
        std::io::ErrorKind::InvalidData => fault("is not UTF-8".into()),
        _ => fault(error.to_string()),
    })?;
    if text.len() as u64 > MAX_SECRET_FILE_BYTES {
        return Err(fault(format!("is longer than {MAX_SECRET_FILE_BYTES} bytes")));
    }
    let secret = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    if secret.is_empty() { Err(fault("is empty".into())) } else { Ok(Secret::new(secret)) }
}

/// How much of a wrong value is shown.
const SHOWN_CHARACTERS: usize = 60;

/// A wrong value, cut short; what is not a single value is only named.
fn shown(value: &Value) -> String {
    match value {
        Value::Boolean(boolean) => boolean.to_string(),
        Value::Integer(integer) => integer.to_string(),
        Value::Float(float) => float.to_string(),
        Value::Text(text) | Value::Plain(text) => {
            let cut: String = text.chars().take(SHOWN_CHARACTERS).collect();
            let dots = if cut.len() < text.len() { ".." } else { "" };
            format!("{cut:?}{dots}")
        }
        Value::Null | Value::List(_) | Value::Table(_) => value.kind().to_owned(),
    }
}

/// A description that names the range.
fn bounded<T: Kind>(description: Description, range: &RangeInclusive<T>) -> Description {
    let (low, high) = (range.start().write(), range.end().write());
    let mut schema = description.schema;
    if low.is_number()
        && let Some(object) = schema.as_object_mut()
    {
        object.insert("minimum".into(), low.clone());
        object.insert("maximum".into(), high.clone());
    }
    let plain = |json: &Json| json.as_str().map_or_else(|| json.to_string(), str::to_owned);
    let (low, high) = (plain(&low), plain(&high));
    Description {
        name: format!("{}, {low} to {high}", description.name),
        noun: format!("{}, from {low} to {high}", description.noun),
        schema,
    }
}
