//! Which form of answer a caller wants (RFC 9110 section 12.5.1), as far as introspection has two of them.

use http::HeaderMap;
use http::header::ACCEPT;

/// The media type of a signed answer (RFC 9701 section 4).
pub const SIGNED: &str = "application/token-introspection+jwt";

/// Whether the caller prefers the signed form to plain JSON.
///
/// Only a caller that names it can: a range such as `*/*` is met by JSON. JSON wins where it is named with the same
/// weight, where nothing that is asked for can be had, and where the header cannot be read: an answer in a form that
/// was not asked for is better than none.
pub fn prefers_signed(headers: &HeaderMap) -> bool {
    let mut signed = 0;
    // Of several ranges that JSON meets, the most specific one says how much it is wanted.
    let mut plain = (Specific::Nothing, 0);
    for line in headers.get_all(ACCEPT) {
        for range in line.to_str().unwrap_or_default().split(',') {
            let mut parts = range.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default();
            let weight = parts.find_map(weight).unwrap_or(MOST);
            if name.eq_ignore_ascii_case(SIGNED) {
                signed = signed.max(weight);
            } else if let Some(specific) = Specific::of(name) {
                plain = plain.max((specific, weight));
            }
        }
    }
    let (specific, plain) = plain;
    signed > plain || (signed == plain && signed > 0 && specific != Specific::Named)
}

/// How closely a media range describes JSON.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Specific {
    Nothing,
    Anything,
    Application,
    Named,
}

impl Specific {
    fn of(range: &str) -> Option<Self> {
        let known = [("*/*", Self::Anything), ("application/*", Self::Application), ("application/json", Self::Named)];
        known.into_iter().find(|(name, _)| range.eq_ignore_ascii_case(name)).map(|(_, specific)| specific)
    }
}

const MOST: u16 = 1000;

/// `q=0.5` in thousandths (section 12.4.2); `None` for another parameter. One that is malformed counts as 0.
fn weight(parameter: &str) -> Option<u16> {
    let (name, value) = parameter.split_once('=')?;
    if !name.trim().eq_ignore_ascii_case("q") {
        return None;
    }
    let (whole, fraction) = value.trim().split_once('.').unwrap_or((value.trim(), ""));
    let digits = fraction.len() <= 3 && fraction.bytes().all(|byte| byte.is_ascii_digit());
    Some(match whole {
        "1" if digits && fraction.bytes().all(|byte| byte == b'0') => MOST,
        "0" if digits => format!("{fraction:0<3}").parse().unwrap_or(0),
        _ => 0,
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn prefers(lines: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(ACCEPT, HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        prefers_signed(&headers)
    }

    /// RFC 9701 section 4: by `Accept`, with its weights.
    #[test]
    fn rfc9701_4_the_signed_form_is_for_those_who_name_it() {
        for wanted in [
            &["application/token-introspection+jwt"][..],
            &["Application/Token-Introspection+JWT"],
            &["application/token-introspection+jwt;q=0.2"],
            &["application/json;q=0.1, application/token-introspection+jwt"],
            &["application/json;q=0.1", "application/token-introspection+jwt;q=0.101"],
            &["application/token-introspection+jwt, */*"],
            &["text/html, application/token-introspection+jwt ; q=1.000, */*;q=0.5"],
            &["application/json;q=0, application/token-introspection+jwt;q=0.001"],
            &["application/json;q=0.3, application/token-introspection+jwt;q=0.5, */*;q=0.5"],
        ] {
            assert!(prefers(wanted), "{wanted:?}");
        }
        for plain in [
            &[][..],
            &["*/*"],
            &["application/json"],
            &["text/html"],
            &[""],
            &["\u{e9}"],
            &["application/*"],
            &["application/json, application/token-introspection+jwt"],
            &["application/token-introspection+jwt;q=0"],
            &["application/token-introspection+jwt;q=0.5, application/json"],
            &["application/token-introspection+jwt;q=0.5, */*"],
            &["application/token-introspection+jwt;q=nonsense"],
            &["application/token-introspection+jwt;q=2"],
            &["application/token-introspection+jwtx"],
        ] {
            assert!(!prefers(plain), "{plain:?}");
        }
    }
}
