//! Which pages may use these routes: those of listed origins, and no other (RFC 6454, the Fetch standard, ASVS 5.0
//! sections 3.4.2 and 3.5).
//!
//! Two things are kept apart. *Sharing* says which page may read an answer: it is for the browser to enforce, and never
//! keeps a request from arriving. *Proof of origin* says which page a request with a cookie comes from: it is looked at
//! before anything is done, because a browser sends the cookie along whoever asks.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method};

use super::AccountsFace;
use crate::config::{Delivery, FirstPartyClient, WebOrigin};
use crate::http::error::ApiError;

/// A header that no form and no link can send, and no script to another origin that we have not listed.
const PROOF: &str = "x-requested-with";

/// The origin of the issuer's own pages.
pub(super) fn of_issuer(issuer: &str) -> Option<WebOrigin> {
    let (scheme, rest) = issuer.split_once("://")?;
    let authority = rest.split('/').next().unwrap_or_default().to_ascii_lowercase();
    let usual = if scheme == "https" { ":443" } else { ":80" };
    WebOrigin::parse(&format!("{scheme}://{}", authority.strip_suffix(usual).unwrap_or(&authority)))
}

/// Where the page is from that sends the request; `None` when the request does not say.
fn origin(headers: &HeaderMap) -> Option<&HeaderValue> {
    headers.get(ORIGIN)
}

fn is(listed: &WebOrigin, origin: &HeaderValue) -> bool {
    listed.as_str().as_bytes() == origin.as_bytes()
}

/// Whether pages of this origin are the client's.
fn lists(client: &FirstPartyClient, origin: &HeaderValue) -> bool {
    client.origins.iter().any(|listed| is(listed, origin))
}

/// Whether a request can come from a page of this client.
pub(super) fn may_be_of(face: &AccountsFace, client: &FirstPartyClient, headers: &HeaderMap) -> bool {
    let own = |origin| face.own_origin.as_ref().is_some_and(|own| is(own, origin));
    origin(headers).is_none_or(|origin| lists(client, origin) || own(origin))
}

/// Makes sure that a request which a cookie comes with, or is to come back with, is sent by a page of the client: to be
/// asked before anything else is done.
///
/// The header shows that a script has sent it; where from says `Origin`, and where that is missing `Sec-Fetch-Site`,
/// which no script can write.
///
/// # Errors
/// 403 `access_denied`.
pub(super) fn expect_own_page(
    face: &AccountsFace,
    client: &FirstPartyClient,
    headers: &HeaderMap,
) -> Result<(), ApiError> {
    if headers.get(PROOF).is_none_or(HeaderValue::is_empty) {
        return Err(ApiError::access_denied("The header X-Requested-With is missing"));
    }
    let several = headers.get_all(ORIGIN).iter().count() > 1;
    let proved = match origin(headers) {
        Some(_) => !several && may_be_of(face, client, headers),
        None => headers.get_all("sec-fetch-site").iter().eq(["same-origin"]),
    };
    if proved { Ok(()) } else { Err(ApiError::access_denied("The request comes from a page of another origin")) }
}

/// What lets a page of another origin read the answer: exact origins only (ASVS 5.0 section 3.4.2).
pub(super) fn shared_with(face: &AccountsFace, headers: &HeaderMap) -> HeaderMap {
    let mut shared = HeaderMap::new();
    // Also where nothing is shared: a cache must not give this answer to a page of another origin.
    shared.insert(VARY, HeaderValue::from_static("Origin"));
    let Some(origin) = origin(headers) else { return shared };
    let clients = || face.clients.iter().filter(|client| lists(client, origin));
    if clients().next().is_some() {
        shared.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        shared.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("Retry-After"));
    }
    if clients().any(|client| client.delivery == Delivery::Cookie) {
        shared.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
    shared
}

/// The answer to a browser that asks what it may send.
pub(super) fn preflight(face: &AccountsFace, headers: &HeaderMap, method: &Method) -> HeaderMap {
    let mut shared = shared_with(face, headers);
    if shared.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) {
        if let Ok(method) = HeaderValue::from_str(method.as_str()) {
            shared.insert(ACCESS_CONTROL_ALLOW_METHODS, method);
        }
        let allowed = HeaderValue::from_static("authorization, content-type, x-requested-with");
        shared.insert(ACCESS_CONTROL_ALLOW_HEADERS, allowed);
        // Ten minutes: an origin that is taken off the list is soon out.
        shared.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    }
    shared
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_origin_of_an_issuer_is_written_as_browsers_write_it() {
        for (issuer, origin) in [
            ("https://as.example.com", Some("https://as.example.com")),
            ("https://AS.example.com:443/tenant", Some("https://as.example.com")),
            ("https://as.example.com:8443/", Some("https://as.example.com:8443")),
            ("http://127.0.0.1:8080", Some("http://127.0.0.1:8080")),
            ("http://as.example.com", None),
            ("nonsense", None),
        ] {
            assert_eq!(of_issuer(issuer).as_ref().map(WebOrigin::as_str), origin, "{issuer}");
        }
    }
}
