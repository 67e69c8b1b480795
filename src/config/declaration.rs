//! What settings there are. Not a list of its own: the reading of the settings says it, asked with nothing to read.

use serde_json::Value as Json;

use super::suggest::nearest;

/// What environment variables of ours begin with.
pub(super) const PREFIX: &str = "INTROSPECTD_";

/// One key.
#[derive(Clone, Debug)]
pub(super) struct Declaration {
    /// Its path, as `keys.digest[].id`: `[]` stands for any element.
    pub(super) path: String,
    /// What is found there.
    pub(super) shape: Shape,
    /// What it is for, in one sentence.
    pub(super) meaning: &'static str,
}

/// What is found at a key.
#[derive(Clone, Debug)]
pub(super) enum Shape {
    /// Further keys.
    Section,
    /// A list of tables with further keys.
    Tables,
    /// A value.
    Setting(Setting),
}

/// What a value must be.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    /// A word or two, for the reference.
    pub(super) name: String,
    /// What it must be, as JSON Schema.
    pub(super) schema: Json,
    /// What it is when nobody sets it; `None` when there is nothing then.
    pub(super) default: Option<Json>,
    /// Whether it must be set.
    pub(super) required: bool,
    /// Whether it is a secret: never shown, and also read from the file that the key with `_file` names.
    pub(super) secret: bool,
}

/// All keys, in the order in which they are read.
#[derive(Clone, Debug, Default)]
pub(super) struct Declarations(Vec<Declaration>);

impl Declarations {
    /// Adds a key, unless another element of the same list has added it.
    pub(super) fn add(&mut self, declaration: Declaration) {
        if !self.0.iter().any(|known| known.path == declaration.path) {
            self.0.push(declaration);
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Declaration> {
        self.0.iter()
    }

    /// What is found at a path; the file key of a secret is found too.
    pub(super) fn shape(&self, path: &str) -> Option<&Shape> {
        let find = |path: &str| self.0.iter().find(|known| known.path == path).map(|known| &known.shape);
        find(path).or_else(|| {
            let shape = find(path.strip_suffix("_file")?)?;
            matches!(shape, Shape::Setting(setting) if setting.secret).then_some(shape)
        })
    }

    /// The paths of the lists of tables.
    pub(super) fn tables(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|known| matches!(known.shape, Shape::Tables)).map(|known| known.path.as_str())
    }

    /// The key that was probably meant.
    pub(super) fn nearest(&self, path: &str) -> Option<String> {
        let settings = self.0.iter().flat_map(|known| match &known.shape {
            Shape::Setting(setting) if setting.secret => vec![known.path.clone(), format!("{}_file", known.path)],
            _ => vec![known.path.clone()],
        });
        nearest(path, settings)
    }
}

/// The environment variable of a key.
pub(super) fn variable(path: &str) -> String {
    format!("{PREFIX}{}", path.to_uppercase().replace('.', "__"))
}
