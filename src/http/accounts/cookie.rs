//! The cookie that a browser keeps a refresh token in (RFC 6265, RFC 10017).

use http::header::{COOKIE, HeaderMap, HeaderValue};

use crate::http::error::ApiError;

/// What every such cookie is: sent over TLS, hidden from scripts, never sent from a page of another site. The name begins
/// with `__Host-`, so that no other host can set it.
const ATTRIBUTES: &str = "Path=/; Secure; HttpOnly; SameSite=Strict";

/// The value of a cookie that the request carries.
///
/// # Errors
/// 400 when it is there twice: which of the two a browser meant cannot be told.
pub(super) fn find<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, ApiError> {
    let mut found = None;
    // As bytes: other cookies of the host may hold anything, and must not hide this one.
    let lines = headers.get_all(COOKIE).into_iter().map(HeaderValue::as_bytes);
    for pair in lines.flat_map(|line| line.split(|byte| *byte == b';')) {
        let value = pair.trim_ascii().strip_prefix(name.as_bytes()).and_then(|rest| rest.strip_prefix(b"="));
        // What is no text is no token of ours, and is refused like any other.
        if let Some(value) = value.map(|value| str::from_utf8(value).unwrap_or_default())
            && found.replace(value).is_some()
        {
            return Err(ApiError::invalid_request("The cookie is there twice"));
        }
    }
    Ok(found)
}

/// Sets it for so many seconds.
pub(super) fn set(name: &str, value: &str, seconds: u64) -> Result<HeaderValue, ApiError> {
    let mut line = HeaderValue::try_from(format!("{name}={value}; {ATTRIBUTES}; Max-Age={seconds}"))
        .map_err(|_| ApiError::internal("a refresh token does not fit a cookie"))?;
    line.set_sensitive(true);
    Ok(line)
}

/// Removes it.
pub(super) fn clear(name: &str) -> HeaderValue {
    HeaderValue::try_from(format!("{name}=; {ATTRIBUTES}; Max-Age=0"))
        .expect("the configuration takes names of letters and digits only")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(COOKIE, HeaderValue::from_str(line).unwrap());
        }
        headers
    }

    #[test]
    fn a_cookie_is_found_by_its_whole_name() {
        let name = "__Host-refresh_token";
        let value = |lines: &[&str]| find(&headers(lines), name).unwrap().map(str::to_owned);
        assert_eq!(value(&["__Host-refresh_token=abc"]).as_deref(), Some("abc"));
        assert_eq!(value(&["a=b; __Host-refresh_token=abc; c=d"]).as_deref(), Some("abc"));
        assert_eq!(value(&["a=b", "__Host-refresh_token=abc=="]).as_deref(), Some("abc=="));
        assert_eq!(value(&["__Host-refresh_token="]).as_deref(), Some(""));
        for other in ["", "x__Host-refresh_token=abc", "__host-refresh_token=abc", "__Host-refresh_token", ";;=;"] {
            assert_eq!(value(&[other]), None, "{other}");
        }
        let twice = ["__Host-refresh_token=abc; __Host-refresh_token=def"];
        assert!(find(&headers(&twice), name).is_err());
    }

    #[test]
    fn a_cookie_is_found_beside_others_that_are_no_ascii() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, HeaderValue::from_bytes(b"name=Jos\xc3\xa9; __Host-r=abc; raw=\xff").unwrap());
        assert_eq!(find(&headers, "__Host-r").unwrap(), Some("abc"));
        headers.append(COOKIE, HeaderValue::from_bytes(b"__Host-r=\xff").unwrap());
        assert!(find(&headers, "__Host-r").is_err());
    }

    #[test]
    fn asvs_3_3_it_is_set_and_cleared_with_the_same_attributes() {
        let set = set("__Host-r", "abc", 60).unwrap();
        assert_eq!(set, "__Host-r=abc; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=60");
        assert!(set.is_sensitive());
        assert_eq!(clear("__Host-r"), "__Host-r=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0");
    }
}
