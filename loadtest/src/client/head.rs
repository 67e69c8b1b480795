//! The head of an answer of HTTP/1.1 (RFC 9112 sections 4 and 5), read strictly.

use super::Fault;

/// Longer heads are refused; an introspection answer's is a few hundred bytes.
pub(crate) const MAX_HEAD_BYTES: usize = 16 * 1024;

/// What matters of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// Its length in bytes, the empty line included.
    pub(crate) length: usize,
    /// The status.
    pub(crate) status: u16,
    /// How long the body is.
    pub(crate) framing: Framing,
    /// Whether another request may follow on the connection.
    pub(crate) keeps_alive: bool,
}

/// How long a body is (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// So many bytes.
    Length(usize),
    /// Chunks, until an empty one.
    Chunked,
    /// Until the connection is closed.
    UntilClosed,
}

/// Reads a head; `None` when its end has not come yet.
pub(crate) fn read(bytes: &[u8]) -> Result<Option<Head>, Fault> {
    let seen = &bytes[..bytes.len().min(MAX_HEAD_BYTES)];
    let mut lines = Lines { rest: seen };
    let Some(line) = lines.next_line()? else {
        // Garbage without a line end must not be waited for: what has come must at least begin as an answer does.
        return if b"HTTP/1.".starts_with(&seen[..seen.len().min(7)]) {
            unfinished(bytes)
        } else {
            Err(Fault::StatusLine)
        };
    };
    let (status, mut keeps_alive) = status_line(line)?;
    let (mut length, mut chunked) = (None, false);
    loop {
        let Some(line) = lines.next_line()? else { return unfinished(bytes) };
        if line.is_empty() {
            break;
        }
        let (name, value) = header(line)?;
        if name.eq_ignore_ascii_case(b"content-length") {
            if length.is_some() {
                return Err(Fault::Header);
            }
            length = Some(number(value)?);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Fault::Header);
            }
            chunked = true;
        } else if name.eq_ignore_ascii_case(b"connection") {
            let says = |token: &[u8]| {
                value.split(|byte| *byte == b',').any(|part| part.trim_ascii().eq_ignore_ascii_case(token))
            };
            keeps_alive = (keeps_alive || says(b"keep-alive")) && !says(b"close");
        }
    }
    let framing = match (status, length, chunked) {
        // Both at once is how requests are smuggled.
        (_, Some(_), true) => return Err(Fault::Header),
        (100..=199 | 204 | 304, _, _) => Framing::Length(0),
        (_, _, true) => Framing::Chunked,
        (_, Some(length), false) => Framing::Length(length),
        (_, None, false) => Framing::UntilClosed,
    };
    Ok(Some(Head {
        length: seen.len() - lines.rest.len(),
        status,
        framing,
        keeps_alive: keeps_alive && framing != Framing::UntilClosed,
    }))
}

fn unfinished(bytes: &[u8]) -> Result<Option<Head>, Fault> {
    if bytes.len() >= MAX_HEAD_BYTES { Err(Fault::HeadTooLarge) } else { Ok(None) }
}

struct Lines<'a> {
    rest: &'a [u8],
}

impl<'a> Lines<'a> {
    /// The next line without its end; `None` when that has not come.
    fn next_line(&mut self) -> Result<Option<&'a [u8]>, Fault> {
        let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') else { return Ok(None) };
        let line = self.rest[..end].strip_suffix(b"\r").ok_or(Fault::Header)?;
        self.rest = &self.rest[end + 1..];
        Ok(Some(line))
    }
}

/// The status, and whether its version of HTTP keeps connections by default.
fn status_line(line: &[u8]) -> Result<(u16, bool), Fault> {
    let version = |prefix: &[u8]| line.strip_prefix(prefix);
    let (rest, keeps_alive) = match (version(b"HTTP/1.1 "), version(b"HTTP/1.0 ")) {
        (Some(rest), _) => (rest, true),
        (_, Some(rest)) => (rest, false),
        _ => return Err(Fault::StatusLine),
    };
    match rest {
        [a @ b'1'..=b'5', b @ b'0'..=b'9', c @ b'0'..=b'9']
        | [a @ b'1'..=b'5', b @ b'0'..=b'9', c @ b'0'..=b'9', b' ', ..] => {
            let digit = |byte: &u8| u16::from(byte - b'0');
            Ok((digit(a) * 100 + digit(b) * 10 + digit(c), keeps_alive))
        }
        _ => Err(Fault::StatusLine),
    }
}

fn header(line: &[u8]) -> Result<(&[u8], &[u8]), Fault> {
    let colon = line.iter().position(|byte| *byte == b':').ok_or(Fault::Header)?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    if name.is_empty()
        || !name.iter().all(is_name)
        || value.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t')
    {
        return Err(Fault::Header);
    }
    Ok((name, value.trim_ascii()))
}

fn number(value: &[u8]) -> Result<usize, Fault> {
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(value).ok().filter(|_| digits).ok_or(Fault::Header)?;
    text.parse().map_err(|_| Fault::BodyTooLarge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_usual_head() {
        let text = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nContent-Length: 16\r\n\r\n{\"active\":false}";
        let head = read(text).unwrap().unwrap();
        assert_eq!((head.status, head.framing, head.keeps_alive), (200, Framing::Length(16), true));
        assert_eq!(&text[head.length..], b"{\"active\":false}");
        for end in 0..head.length {
            assert_eq!(read(&text[..end]), Ok(None), "{end}");
        }
    }

    #[test]
    fn rfc9112_6_3_how_long_a_body_is() {
        let framing = |head: &str| read(head.as_bytes()).unwrap().map(|head| (head.framing, head.keeps_alive));
        assert_eq!(framing("HTTP/1.1 200\r\nTransfer-Encoding: Chunked\r\n\r\n"), Some((Framing::Chunked, true)));
        assert_eq!(framing("HTTP/1.1 200 OK\r\n\r\n"), Some((Framing::UntilClosed, false)));
        assert_eq!(framing("HTTP/1.1 204 No\r\n\r\n"), Some((Framing::Length(0), true)));
        assert_eq!(framing("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n"), Some((Framing::Length(1), false)));
        let close = "HTTP/1.1 200 OK\r\nConnection: upgrade , CLOSE\r\nContent-Length: 1\r\n\r\n";
        assert_eq!(framing(close), Some((Framing::Length(1), false)));
    }

    #[test]
    fn garbage_is_named() {
        for (text, fault) in [
            ("SSH-2.0-OpenSSH", Fault::StatusLine),
            ("\r\n", Fault::StatusLine),
            ("HTTP/2 200 OK\r\n\r\n", Fault::StatusLine),
            ("HTTP/1.1 2000 OK\r\n\r\n", Fault::StatusLine),
            ("HTTP/1.1 999 OK\r\n\r\n", Fault::StatusLine),
            ("HTTP/1.1 200 OK\nA: b\n\n", Fault::Header),
            ("HTTP/1.1 200 OK\r\nno colon\r\n\r\n", Fault::Header),
            ("HTTP/1.1 200 OK\r\nA : b\r\n\r\n", Fault::Header),
            ("HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n", Fault::Header),
            ("HTTP/1.1 200 OK\r\nA: \0\r\n\r\n", Fault::Header),
            ("HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n", Fault::Header),
            ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", Fault::Header),
            ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", Fault::Header),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", Fault::Header),
            ("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n", Fault::BodyTooLarge),
        ] {
            assert_eq!(read(text.as_bytes()), Err(fault), "{text}");
        }
        let endless = format!("HTTP/1.1 200 OK\r\n{}", "A: b\r\n".repeat(10_000));
        assert_eq!(read(endless.as_bytes()), Err(Fault::HeadTooLarge));
        let one_long = format!("HTTP/1.1 200 OK\r\nA: {}", "b".repeat(100_000));
        assert_eq!(read(one_long.as_bytes()), Err(Fault::HeadTooLarge));
    }
}
