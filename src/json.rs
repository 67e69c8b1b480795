//! JSON, read strictly: what two programs could read as two different things is refused.

use std::fmt;

use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// A JSON value in which no object names a member twice, at any depth.
///
/// `serde_json::Value` silently keeps the last of two; another reader may keep the first, and then two programs see two
/// different tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct StrictValue(pub Value);

impl<'de> Deserialize<'de> for StrictValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value without repeated member names")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        // Whole numbers arrive here only when they are too large to be kept exactly.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        if value.fract() == 0.0 && value.abs() > EXACT {
            return Err(E::custom("a number is too large to be kept exactly"));
        }
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(StrictValue(element)) = elements.next_element()? {
            array.push(element);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((name, StrictValue(value))) = members.next_entry::<String, StrictValue>()? {
            if object.contains_key(&name) {
                return Err(de::Error::custom("a member name is repeated"));
            }
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

/// Reads an object, strictly; `None` for anything else, and for one that is nested deeper than `max_depth` levels.
pub fn object(text: &[u8], max_depth: usize) -> Option<Map<String, Value>> {
    let StrictValue(value) = serde_json::from_slice(text).ok()?;
    match value {
        Value::Object(members) if members.values().all(|value| depth(value) < max_depth) => Some(members),
        _ => None,
    }
}

/// How deep arrays and objects are nested in a value; 0 for a text, a number and their like.
pub fn depth(value: &Value) -> usize {
    match value {
        Value::Array(elements) => 1 + elements.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// What is wrong with a body, without anything of what is in it: that may be a secret in the wrong member.
pub fn explain(error: &serde_json::Error) -> String {
    const LONGEST: usize = 200;
    let text = error.to_string();
    // `invalid type: string "what was there", expected u64`. The part behind is ours, and does not hold these words.
    let text = match text.rsplit_once(", expected ") {
        Some((found, expected)) => {
            let kind = found.split(['"', '`']).next().unwrap_or_default().trim_end();
            format!("{kind}, expected {expected}")
        }
        None => text,
    };
    text.replace(['`', '"'], "'").chars().take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_names_and_inexact_numbers_are_refused_at_any_depth() {
        assert!(serde_json::from_str::<StrictValue>(r#"{"a":1,"b":[{"c":1}]}"#).is_ok());
        assert!(serde_json::from_str::<StrictValue>("[18446744073709551615, -9223372036854775808, 1.5, 2.0]").is_ok());
        for text in ["18446744073709551616", "-9223372036854775809", "1e300"] {
            assert!(serde_json::from_str::<StrictValue>(text).is_err(), "{text}");
        }
        for text in [r#"{"a":1,"a":1}"#, r#"{"x":[{"a":1,"a":2}]}"#, r#"{"x":{"a":1,"\u0061":2}}"#] {
            assert!(serde_json::from_str::<StrictValue>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_object_has_a_bounded_depth_and_nothing_else_is_one() {
        assert!(object(br#"{"a":[1]}"#, 2).is_some());
        assert!(object(br#"{"a":[[1]]}"#, 2).is_none());
        for text in [&b"[]"[..], b"1", b"", b"{} {}", b"{\"a\":1,}", b"{\"a\":\"\xFF\"}"] {
            assert!(object(text, 9).is_none(), "{text:?}");
        }
        let abyss = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(object(format!("{{\"a\":{abyss}}}").as_bytes(), 9).is_none());
    }
}
