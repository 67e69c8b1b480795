//! Distinguished names as operators write them (RFC 4514), to be compared with those in certificates.
//!
//! Compared is what is meant and not how it is written: attribute types by their object identifier, values after
//! unescaping, whichever string type a certificate wraps them in, and the parts of a multi-valued name in any order.
//! Values themselves are compared character by character, without regard to the matching rules of a directory: two
//! certificates of one authority may differ in case alone.

use serde::{Deserialize, Serialize};

/// A distinguished name: the most specific part first, as RFC 4514 writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DistinguishedName {
    text: Box<str>,
    parts: Vec<Vec<Expected>>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Expected {
    attribute: Box<str>,
    value: Value,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Value {
    Text(Box<str>),
    /// Written as `#` with the hexadecimal digits of its DER form.
    Der(Box<[u8]>),
}

/// One attribute of a certificate's name.
#[derive(Clone, Debug)]
pub struct Attribute<'a> {
    /// Its object identifier, dotted.
    pub attribute: String,
    /// Its value as text; `None` when it is of a type that has no characters.
    pub text: Option<&'a str>,
    /// Its value in DER, with tag and length.
    pub der: Vec<u8>,
}

/// The short names of RFC 4514 section 3, and those that tools print besides.
const SHORT_NAMES: [(&str, &str); 14] = [
    ("C", "2.5.4.6"),
    ("CN", "2.5.4.3"),
    ("DC", "0.9.2342.19200300.100.1.25"),
    ("EMAILADDRESS", "1.2.840.113549.1.9.1"),
    ("GIVENNAME", "2.5.4.42"),
    ("L", "2.5.4.7"),
    ("O", "2.5.4.10"),
    ("ORGANIZATIONIDENTIFIER", "2.5.4.97"),
    ("OU", "2.5.4.11"),
    ("SERIALNUMBER", "2.5.4.5"),
    ("SN", "2.5.4.4"),
    ("ST", "2.5.4.8"),
    ("STREET", "2.5.4.9"),
    ("UID", "0.9.2342.19200300.100.1.1"),
];

impl DistinguishedName {
    /// The longest name taken, in bytes.
    pub const MAX_BYTES: usize = 1024;

    /// Reads a name; `None` when it is empty, too long or not RFC 4514. Spaces around `,`, `+` and `=` are taken for
    /// decoration, as tools print them.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > Self::MAX_BYTES {
            return None;
        }
        let parts = split(text, ',')
            .map(|part| {
                let mut part = split(part, '+').map(attribute).collect::<Option<Vec<_>>>()?;
                part.sort();
                Some(part)
            })
            .collect::<Option<Vec<_>>>()?;
        Some(Self { text: text.into(), parts })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether this is the name, given in the order of the certificate: the most specific part last.
    pub fn is(&self, name: &[Vec<Attribute<'_>>]) -> bool {
        self.parts.len() == name.len()
            && self.parts.iter().zip(name.iter().rev()).all(|(expected, part)| {
                expected.len() == part.len()
                    && expected.iter().all(|expected| part.iter().any(|attribute| expected.is(attribute)))
                    && part.iter().all(|attribute| expected.iter().any(|expected| expected.is(attribute)))
            })
    }
}

impl Expected {
    fn is(&self, attribute: &Attribute<'_>) -> bool {
        *self.attribute == *attribute.attribute
            && match &self.value {
                Value::Text(text) => attribute.text == Some(text),
                Value::Der(der) => **der == *attribute.der,
            }
    }
}

impl TryFrom<String> for DistinguishedName {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("not a distinguished name as of RFC 4514")
    }
}

impl From<DistinguishedName> for String {
    fn from(name: DistinguishedName) -> Self {
        name.text.into()
    }
}

/// Cuts a text at each separator that is not escaped.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut escaped = false;
    text.split(move |character| {
        let cut = character == separator && !escaped;
        escaped = character == '\\' && !escaped;
        cut
    })
}

fn attribute(text: &str) -> Option<Expected> {
    let (name, value) = text.split_once('=')?;
    let attribute = object_identifier(name.trim_matches(' '))?;
    let value = trim(value);
    let value = match value.strip_prefix('#') {
        Some(digits) => Value::Der(hexadecimal(digits)?.into()),
        None => Value::Text(unescape(value)?.into()),
    };
    Some(Expected { attribute, value })
}

fn object_identifier(name: &str) -> Option<Box<str>> {
    if let Some((_, identifier)) = SHORT_NAMES.iter().find(|(short, _)| short.eq_ignore_ascii_case(name)) {
        return Some((*identifier).into());
    }
    let arc = |arc: &str| arc == "0" || (!arc.starts_with('0') && arc.parse::<u64>().is_ok());
    (name.contains('.') && name.split('.').all(arc)).then(|| name.into())
}

/// Takes away spaces at the ends, but one that is escaped.
fn trim(value: &str) -> &str {
    let value = value.trim_start_matches(' ');
    let trimmed = value.trim_end_matches(' ');
    let backslashes = trimmed.bytes().rev().take_while(|&byte| byte == b'\\').count();
    if backslashes % 2 == 1 { value.get(..=trimmed.len()).unwrap_or(trimmed) } else { trimmed }
}

/// RFC 4514 section 2.4: a backslash stands before a special character or two hexadecimal digits of UTF-8.
fn unescape(value: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let [byte, tail @ ..] = rest {
        rest = tail;
        match byte {
            b'\\' => match rest {
                [special @ (b' ' | b'"' | b'#' | b'+' | b',' | b';' | b'<' | b'=' | b'>' | b'\\'), tail @ ..] => {
                    bytes.push(*special);
                    rest = tail;
                }
                [high, low, tail @ ..] => {
                    bytes.push(digit(*high)? << 4 | digit(*low)?);
                    rest = tail;
                }
                _ => return None,
            },
            b'"' | b'+' | b',' | b';' | b'<' | b'>' | 0 => return None,
            other => bytes.push(*other),
        }
    }
    String::from_utf8(bytes).ok().filter(|text| !text.is_empty())
}

fn hexadecimal(digits: &str) -> Option<Vec<u8>> {
    let (pairs, []) = digits.as_bytes().as_chunks::<2>() else { return None };
    if pairs.is_empty() {
        return None;
    }
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

fn digit(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn certificate<'a>(parts: &[&[(&str, &'a str)]]) -> Vec<Vec<Attribute<'a>>> {
        let attribute = |(name, value): &(&str, &'a str)| {
            // A UTF8String: tag, length, characters.
            let mut der = vec![0x0c, u8::try_from(value.len()).unwrap()];
            der.extend(value.as_bytes());
            Attribute { attribute: (*name).to_owned(), text: Some(value), der }
        };
        parts.iter().map(|part| part.iter().map(attribute).collect()).collect()
    }

    #[test]
    fn rfc4514_2_the_order_is_that_of_the_text_and_spelling_does_not_matter() {
        let name = certificate(&[&[("2.5.4.6", "DE")], &[("2.5.4.10", "Example, Ltd")], &[("2.5.4.3", "app")]]);
        for same in [
            "CN=app,O=Example\\, Ltd,C=DE",
            "cn=app, o=Example\\2C Ltd, c=DE",
            "2.5.4.3 = app , 2.5.4.10=Example\\, Ltd,C = DE",
            "CN=#0c03617070,O=Example\\, Ltd,C=DE",
        ] {
            assert!(DistinguishedName::parse(same).unwrap().is(&name), "{same}");
        }
        for other in [
            "C=DE,O=Example\\, Ltd,CN=app",
            "CN=app,O=Example\\, Ltd",
            "CN=app,O=Example\\, Ltd,C=DE,C=DE",
            "CN=App,O=Example\\, Ltd,C=DE",
            "CN=app+O=Example\\, Ltd,C=DE",
            "CN=#1303617070,O=Example\\, Ltd,C=DE",
            "OU=app,O=Example\\, Ltd,C=DE",
        ] {
            assert!(!DistinguishedName::parse(other).unwrap().is(&name), "{other}");
        }
    }

    /// RFC 4514 section 4.
    #[test]
    fn rfc4514_4_examples() {
        let parsed = |text: &str| DistinguishedName::parse(text).unwrap();
        assert!(parsed("OU=Sales+CN=J.  Smith,DC=example,DC=net").is(&certificate(&[
            &[("0.9.2342.19200300.100.1.25", "net")],
            &[("0.9.2342.19200300.100.1.25", "example")],
            &[("2.5.4.3", "J.  Smith"), ("2.5.4.11", "Sales")],
        ])));
        assert!(
            parsed(r#"CN=James \"Jim\" Smith\, III"#).is(&certificate(&[&[("2.5.4.3", r#"James "Jim" Smith, III"#)]]))
        );
        assert!(parsed(r"CN=Lu\C4\8Di\C4\87").is(&certificate(&[&[("2.5.4.3", "Lu\u{10d}i\u{107}")]])));
        assert!(parsed(r"CN=Before\0dAfter").is(&certificate(&[&[("2.5.4.3", "Before\rAfter")]])));
        assert!(parsed(r"CN=\ app\ ").is(&certificate(&[&[("2.5.4.3", " app ")]])));
    }

    proptest! {
        #[test]
        fn no_text_makes_parsing_panic_and_what_is_read_reads_back(text in r#"([A-Za-z0-9.]{0,9}[=,+ \\\\#"é]{0,3}){0,8}"#) {
            if let Some(name) = DistinguishedName::parse(&text) {
                let again = DistinguishedName::try_from(String::from(name.clone()));
                prop_assert_eq!(again, Ok(name));
            }
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for bad in [
            "", "app", "CN", "CN=", "=app", "CN=a,", ",CN=a", "CN=a\\", "CN=a\\x", "CN=a\\f", "XY=a", "CN=a\"b",
            "CN=a;O=b", "CN=#", "CN=#0", "CN=#xy", "2.5.=a", "2.05=a", "5=a", "CN=\\FF",
        ] {
            assert_eq!(DistinguishedName::parse(bad), None, "{bad}");
        }
        assert_eq!(DistinguishedName::parse(&format!("CN={}", "a".repeat(DistinguishedName::MAX_BYTES))), None);
    }
}
