//! RESP3 as a server speaks it: requests are read, replies are written.

use std::fmt;

/// What a server answers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Reply {
    Status(&'static str),
    Error(String),
    Integer(i64),
    Bulk(Vec<u8>),
    Null,
    Array(Vec<Self>),
    Map(Vec<(Self, Self)>),
    Push(Vec<Self>),
    /// Nothing is answered now: the client waits for something.
    Later,
}

impl Reply {
    pub(crate) const OK: Self = Self::Status("OK");

    pub(crate) fn bulk(text: impl AsRef<[u8]>) -> Self {
        Self::Bulk(text.as_ref().to_vec())
    }

    pub(crate) fn error(text: impl fmt::Display) -> Self {
        Self::Error(text.to_string())
    }

    pub(crate) fn count(count: usize) -> Self {
        Self::Integer(i64::try_from(count).unwrap_or(i64::MAX))
    }

    /// Appends the encoded form.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Status(text) => line(out, '+', text),
            Self::Error(text) => line(out, '-', text),
            Self::Integer(number) => line(out, ':', number),
            Self::Bulk(bytes) => {
                line(out, '$', bytes.len());
                out.extend_from_slice(bytes);
                out.extend_from_slice(b"\r\n");
            }
            Self::Null => out.extend_from_slice(b"_\r\n"),
            Self::Array(items) => list(out, '*', items),
            Self::Push(items) => list(out, '>', items),
            Self::Map(pairs) => {
                line(out, '%', pairs.len());
                for (name, value) in pairs {
                    name.write(out);
                    value.write(out);
                }
            }
            Self::Later => {}
        }
    }
}

fn line(out: &mut Vec<u8>, kind: char, text: impl fmt::Display) {
    out.extend_from_slice(format!("{kind}{text}\r\n").as_bytes());
}

fn list(out: &mut Vec<u8>, kind: char, items: &[Reply]) {
    line(out, kind, items.len());
    for item in items {
        item.write(out);
    }
}

/// A command: its name and its arguments.
pub(crate) type Request = Vec<Vec<u8>>;

/// Takes one whole command from the front of what has arrived.
pub(crate) fn take_request(input: &mut Vec<u8>) -> Option<Request> {
    let (count, mut at) = header(input, 0, b'*')?;
    let mut words = Vec::with_capacity(count);
    for _ in 0..count {
        let (length, start) = header(input, at, b'$')?;
        words.push(input.get(start..start + length)?.to_vec());
        input.get(start + length..start + length + 2)?;
        at = start + length + 2;
    }
    input.drain(..at);
    Some(words)
}

/// The number after `kind`, and where the line after it begins.
fn header(input: &[u8], at: usize, kind: u8) -> Option<(usize, usize)> {
    let rest = input.get(at..)?;
    let end = rest.windows(2).position(|two| two == b"\r\n")?;
    assert_eq!(rest[0], kind, "a client sends what is no command: {:?}", String::from_utf8_lossy(rest));
    let number = std::str::from_utf8(&rest[1..end]).ok().and_then(|digits| digits.parse().ok());
    Some((number.expect("a client sends lengths as numbers"), at + end + 2))
}
