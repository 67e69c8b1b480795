//! Chunked bodies (RFC 9112 section 7.1).

use super::Fault;

/// Longer bodies are refused; an introspection answer's is a few hundred bytes.
pub(crate) const MAX_BODY_BYTES: usize = 1 << 20;
/// The longest size of a chunk with its extensions, and the longest trailer.
const MAX_LINE_BYTES: usize = 1024;

/// Puts the chunks in `bytes` together in `body`; `None` when the end has not come, else the bytes that it took.
pub(crate) fn read_chunks(bytes: &[u8], body: &mut Vec<u8>) -> Result<Option<usize>, Fault> {
    body.clear();
    let mut at = 0;
    loop {
        let Some(line) = line(&bytes[at..])? else { return Ok(None) };
        at += line.len() + 2;
        let size = size(line)?;
        if size == 0 {
            return trailers(bytes, at);
        }
        if body.len() + size > MAX_BODY_BYTES {
            return Err(Fault::BodyTooLarge);
        }
        let Some(chunk) = bytes.get(at..at + size) else { return Ok(None) };
        body.extend_from_slice(chunk);
        at += size;
        match bytes.get(at..at + 2) {
            None => return Ok(None),
            Some(b"\r\n") => at += 2,
            Some(_) => return Err(Fault::Framing),
        }
    }
}

fn trailers(bytes: &[u8], mut at: usize) -> Result<Option<usize>, Fault> {
    let begin = at;
    loop {
        let Some(line) = line(&bytes[at..])? else { return Ok(None) };
        at += line.len() + 2;
        if line.is_empty() {
            return Ok(Some(at));
        }
        if at - begin > MAX_LINE_BYTES {
            return Err(Fault::HeadTooLarge);
        }
    }
}

fn line(bytes: &[u8]) -> Result<Option<&[u8]>, Fault> {
    let seen = &bytes[..bytes.len().min(MAX_LINE_BYTES)];
    match seen.iter().position(|byte| *byte == b'\n') {
        Some(end) => seen[..end].strip_suffix(b"\r").map(Some).ok_or(Fault::Framing),
        None if seen.len() == MAX_LINE_BYTES => Err(Fault::Framing),
        None => Ok(None),
    }
}

fn size(line: &[u8]) -> Result<usize, Fault> {
    let digits = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii_end();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(Fault::Framing);
    }
    let text = std::str::from_utf8(digits).map_err(|_| Fault::Framing)?;
    usize::from_str_radix(text, 16)
        .map_err(|_| Fault::BodyTooLarge)
        .and_then(|size| if size > MAX_BODY_BYTES { Err(Fault::BodyTooLarge) } else { Ok(size) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_put_together_however_they_arrive() {
        let text = b"5;name=value\r\n{\"act\r\nB \r\nive\":false}\r\n0\r\nTrailer: x\r\n\r\nmore";
        let mut body = Vec::new();
        for end in 0..text.len() - 4 {
            assert_eq!(read_chunks(&text[..end], &mut body), Ok(None), "{end}");
        }
        assert_eq!(read_chunks(text, &mut body), Ok(Some(text.len() - 4)));
        assert_eq!(body, br#"{"active":false}"#);
    }

    #[test]
    fn malformed_and_huge_chunks_are_refused() {
        let mut body = Vec::new();
        let mut read = |text: &str| read_chunks(text.as_bytes(), &mut body);
        for text in ["\r\n", "x\r\n", "-1\r\n", "0x5\r\n", "5\n", "1\r\nab\r\n"] {
            assert_eq!(read(text), Err(Fault::Framing), "{text}");
        }
        assert_eq!(read(&"1".repeat(2000)), Err(Fault::Framing));
        for text in ["FFFFFFFFFFFFFFFFF\r\n", "100001\r\n"] {
            assert_eq!(read(text), Err(Fault::BodyTooLarge), "{text}");
        }
        assert_eq!(read(&format!("0\r\n{}", "A: b\r\n".repeat(1000))), Err(Fault::HeadTooLarge));
    }
}
