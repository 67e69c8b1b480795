//! What the sources say, before anybody knows what it means: a tree of values, each with where it came from.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// A file given with `-c`.
    File(Arc<PathBuf>),
    /// An environment variable.
    Variable(Arc<str>),
    /// A flag.
    CommandLine,
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => formatter.write_str("default"),
            Self::File(path) => write!(formatter, "{}", path.display()),
            Self::Variable(name) => formatter.write_str(name),
            Self::CommandLine => formatter.write_str("command line"),
        }
    }
}

/// A value and where it came from.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) origin: Origin,
    pub(super) value: Value,
}

/// A value as written.
#[derive(Clone)]
pub(super) enum Value {
    /// A key without a value, as YAML and JSON allow.
    Null,
    Boolean(bool),
    Integer(i64),
    Float(f64),
    /// Text in a file, where it has a type: `"2"` is not a number there.
    Text(String),
    /// Text of an environment variable or a flag, where everything is text.
    Plain(String),
    List(Vec<Node>),
    Table(Vec<(String, Node)>),
}

impl Value {
    /// What it is, for error messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Boolean(_) => "a boolean",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a number with a fraction",
            Self::Text(_) | Self::Plain(_) => "text",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }
}

/// Says what kind of value it is, and never the value: it may be a secret, and nobody here knows.
impl fmt::Debug for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.kind())
    }
}

impl Node {
    /// An empty table.
    pub(super) fn empty() -> Self {
        Self { origin: Origin::Default, value: Value::Table(Vec::new()) }
    }

    /// The element of a table.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        match &self.value {
            Value::Table(entries) => entries.iter().find(|(name, _)| name == key).map(|(_, node)| node),
            _ => None,
        }
    }

    /// Lays a stronger source over this one: tables are joined key by key, anything else is replaced.
    pub(super) fn overlay(&mut self, stronger: Self) {
        match (&mut self.value, stronger) {
            (Value::Table(own), Self { value: Value::Table(others), .. }) => {
                for (key, node) in others {
                    match own.iter_mut().find(|(name, _)| *name == key) {
                        Some((_, held)) => held.overlay(node),
                        None => own.push((key, node)),
                    }
                }
            }
            // YAML's way to write a table of which every line is commented out.
            (Value::Table(_), Self { value: Value::Null, .. }) => {}
            (_, stronger) => *self = stronger,
        }
    }

    /// The same tree, all of it from one source.
    pub(super) fn with_origin(self, origin: &Origin) -> Self {
        let value = match self.value {
            Value::List(nodes) => Value::List(nodes.into_iter().map(|node| node.with_origin(origin)).collect()),
            Value::Table(entries) => {
                Value::Table(entries.into_iter().map(|(key, node)| (key, node.with_origin(origin))).collect())
            }
            other => other,
        };
        Self { origin: origin.clone(), value }
    }

    /// A value at the end of a path.
    pub(super) fn at(path: &[&str], origin: &Origin, value: Value) -> Self {
        let leaf = Self { origin: origin.clone(), value };
        path.iter().rev().fold(leaf, |node, key| Self {
            origin: origin.clone(),
            value: Value::Table(vec![((*key).to_owned(), node)]),
        })
    }
}

/// The path of a key in the table at another path.
pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// Reads any of the three formats. A key given twice stays given twice, for the reader to complain about.
impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = deserializer.deserialize_any(AnyValue)?;
        Ok(Self { origin: Origin::Default, value })
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Boolean(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Integer(value))
    }

    /// What no setting can be is kept as the nearest that is out of range for all of them.
    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Integer(i64::try_from(value).unwrap_or(i64::MAX)))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Value, E> {
        let limit = if value < 0 { i64::MIN } else { i64::MAX };
        Ok(Value::Integer(i64::try_from(value).unwrap_or(limit)))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Value, E> {
        Ok(Value::Integer(i64::try_from(value).unwrap_or(i64::MAX)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::Text(value))
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = list.next_element()? {
            nodes.push(node);
        }
        Ok(Value::List(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Value::Table(entries))
    }
}
