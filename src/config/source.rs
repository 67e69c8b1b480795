//! Where settings are said: files, the environment, flags; gathered into one tree, the stronger over the weaker.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use super::declaration::{Declarations, PREFIX, Shape, variable};
use super::error::ConfigError;
use super::format::Format;
use super::tree::{Node, Origin, Value, join};

/// All sources, weakest first: files in their order, the environment, flags.
#[derive(Clone, Debug, Default)]
pub struct Sources<E = ProcessEnvironment> {
    /// Files given with `-c`: `.toml`, `.yaml`, `.yml` or `.json`. A later one wins over an earlier one.
    pub files: Vec<PathBuf>,
    /// Variables.
    pub environment: E,
    /// Flags: a key as `public.address`, and its value as text. A later one wins over an earlier one.
    pub overrides: Vec<(String, String)>,
}

/// Where variables are read from. Tests bring a map, because the environment of a process is shared by all its tests.
pub trait Environment {
    /// All variables.
    fn variables(&self) -> Vec<(OsString, OsString)>;
}

/// The environment of this process.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    fn variables(&self) -> Vec<(OsString, OsString)> {
        std::env::vars_os().collect()
    }
}

impl Environment for BTreeMap<String, String> {
    fn variables(&self) -> Vec<(OsString, OsString)> {
        self.iter().map(|(name, value)| (name.into(), value.into())).collect()
    }
}

/// Variables under our prefix that are not settings: the command line reads them.
const RESERVED: [&str; 1] = ["INTROSPECTD_CONFIG"];

/// Variables that OpenTelemetry gives the same meaning in every service, and the settings that they stand for. Our own
/// variables are stronger.
const COMMON: [(&str, &str); 4] = [
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "tracing.endpoint"),
    ("OTEL_TRACES_SAMPLER_ARG", "tracing.sample_ratio"),
    ("OTEL_SERVICE_NAME", "tracing.service_name"),
    ("OTEL_RESOURCE_ATTRIBUTES", "tracing.resource_attributes"),
];

/// Those of [`COMMON`] that are set. An empty one is not, and none counts with `OTEL_SDK_DISABLED`, as their
/// specification says; one that is not UTF-8 cannot be meant for anybody.
fn common(variables: &[(OsString, OsString)]) -> Vec<(&'static str, String)> {
    let find = |name: &str| {
        let (_, value) = variables.iter().find(|(found, _)| found == name)?;
        value.to_str().map(str::trim).filter(|value| !value.is_empty())
    };
    if find("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Vec::new();
    }
    COMMON.iter().filter_map(|(name, _)| Some((*name, find(name)?.to_owned()))).collect()
}

/// Puts all sources into one tree. What cannot be read is reported and left out.
pub(super) fn gather<E: Environment>(
    sources: &Sources<E>,
    declarations: &Declarations,
    errors: &mut Vec<ConfigError>,
) -> Node {
    let mut tree = Node::empty();
    for file in &sources.files {
        add(&mut tree, read_file(file), errors);
    }
    let mut variables = sources.environment.variables();
    // A table given whole comes before its parts, which are stronger.
    variables.sort();
    for (name, value) in common(&variables) {
        let key = COMMON.iter().find(|(common, _)| *common == name).map_or("", |(_, key)| key);
        add(&mut tree, place(key, value, &Origin::Variable(name.into()), declarations), errors);
    }
    for (name, value) in variables {
        let Some(name) = name.to_str().filter(|name| is_ours(name, declarations)) else { continue };
        let origin = Origin::Variable(name.into());
        let key = name[PREFIX.len()..].to_lowercase().replace("__", ".");
        let node = match value.into_string() {
            Ok(value) => place(&key, value, &origin, declarations),
            Err(_) => Err(ConfigError { key: Some(key), origin, message: "is not UTF-8".into() }),
        };
        add(&mut tree, node, errors);
    }
    let flagged = |key: &str| sources.overrides.iter().any(|(flagged, _)| flagged == key);
    // A flag that chooses a store wins over a configuration that chooses the other one.
    match (flagged("redis.url"), flagged("store.path")) {
        (true, false) => {
            forget(&mut tree, |section, key| section == "store" || (section, key) == ("redis", "url_file"));
        }
        (false, true) => forget(&mut tree, |section, _| section == "redis"),
        _ => {}
    }
    for (key, value) in &sources.overrides {
        add(&mut tree, place(key, value.clone(), &Origin::CommandLine, declarations), errors);
    }
    tree
}

fn add(tree: &mut Node, node: Result<Node, ConfigError>, errors: &mut Vec<ConfigError>) {
    match node {
        Ok(node) => {
            reject_repeated(&node, "", errors);
            tree.overlay(node);
        }
        Err(error) => errors.push(error),
    }
}

/// Takes settings out of what the weaker sources said, and sections that are then empty.
fn forget(tree: &mut Node, forgotten: impl Fn(&str, &str) -> bool) {
    let Value::Table(sections) = &mut tree.value else { return };
    sections.retain_mut(|(name, section)| {
        let Value::Table(entries) = &mut section.value else { return true };
        entries.retain(|(key, _)| !forgotten(name, key));
        !entries.is_empty()
    });
}

/// Notes the keys that one source gives twice: JSON allows it, and readers disagree about which one counts.
fn reject_repeated(node: &Node, path: &str, errors: &mut Vec<ConfigError>) {
    match &node.value {
        Value::Table(entries) => {
            for (position, (key, child)) in entries.iter().enumerate() {
                let at = join(path, key);
                if entries[..position].iter().any(|(earlier, _)| earlier == key) {
                    let message = "is given twice".into();
                    errors.push(ConfigError { key: Some(at.clone()), origin: child.origin.clone(), message });
                }
                reject_repeated(child, &at, errors);
            }
        }
        Value::List(elements) => {
            for (position, element) in elements.iter().enumerate() {
                reject_repeated(element, &format!("{path}[{position}]"), errors);
            }
        }
        _ => {}
    }
}

/// Whether a variable is meant for the settings.
///
/// For a Service called `introspectd`, Kubernetes puts variables like `INTROSPECTD_SERVICE_HOST` and
/// `INTROSPECTD_PORT_8080_TCP_ADDR` into every pod of the namespace. They are not misspelt settings.
fn is_ours(name: &str, declarations: &Declarations) -> bool {
    let Some(rest) = name.strip_prefix(PREFIX) else { return false };
    if RESERVED.contains(&name) {
        return false;
    }
    let is_setting = declarations.shape(&rest.to_lowercase().replace("__", ".")).is_some();
    let is_service_link = !rest.contains("__")
        && (rest == "PORT"
            || rest.ends_with("_PORT")
            || rest.starts_with("PORT_")
            || rest.contains("_PORT_")
            || rest.starts_with("SERVICE_")
            || rest.contains("_SERVICE_HOST")
            || rest.contains("_SERVICE_PORT"));
    is_setting || !is_service_link
}

fn read_file(path: &PathBuf) -> Result<Node, ConfigError> {
    let origin = Origin::File(Arc::new(path.clone()));
    let fault = |message: String| ConfigError { key: None, origin: origin.clone(), message };
    let format = Format::of(path).ok_or_else(|| fault("must end in .toml, .yaml, .yml or .json".into()))?;
    let bytes = std::fs::read(path).map_err(|error| fault(format!("cannot be read: {error}")))?;
    let text = String::from_utf8(bytes).map_err(|_| fault("is not UTF-8".into()))?;
    let node = format.parse(&text).map_err(&fault)?;
    match node.value {
        Value::Table(_) => Ok(node.with_origin(&origin)),
        // An empty YAML file.
        Value::Null => Ok(Node::empty()),
        other => Err(fault(format!("must hold a table of settings, and holds {}", other.kind()))),
    }
}

/// The value of one variable or flag, at its place in a tree.
fn place(key: &str, text: String, origin: &Origin, declarations: &Declarations) -> Result<Node, ConfigError> {
    let fault = |key: Option<&str>, message: String| ConfigError {
        key: key.map(str::to_owned),
        origin: origin.clone(),
        message,
    };
    let path: Vec<&str> = key.split('.').collect();
    let Some(shape) = declarations.shape(key) else {
        // The name of a variable says it already.
        let named = (*origin == Origin::CommandLine).then_some(key);
        return Err(fault(named, unknown(key, origin, declarations)));
    };
    let value = match shape {
        Shape::Setting(_) => Value::Plain(text),
        Shape::Section | Shape::Tables => {
            let node: Option<Node> = serde_json::from_str(&text).ok();
            match (shape, node.map(|node| node.with_origin(origin).value)) {
                (Shape::Section, Some(value @ Value::Table(_))) | (Shape::Tables, Some(value @ Value::List(_))) => {
                    value
                }
                (Shape::Section, _) => return Err(fault(Some(key), "must be a table, as JSON".into())),
                _ => return Err(fault(Some(key), "must be a list of tables, as JSON".into())),
            }
        }
    };
    Ok(Node::at(&path, origin, value))
}

fn unknown(key: &str, origin: &Origin, declarations: &Declarations) -> String {
    let name = |key: &str| match origin {
        Origin::Variable(_) => variable(key),
        _ => key.to_owned(),
    };
    let list = declarations.tables().find(|list| key.starts_with(&format!("{list}.")));
    match (list, declarations.nearest(key)) {
        (Some(list), _) => format!("names no setting; {} takes the whole list, as JSON", name(list)),
        (None, Some(nearest)) => format!("names no setting; did you mean {}?", name(&nearest)),
        (None, None) => "names no setting".into(),
    }
}
