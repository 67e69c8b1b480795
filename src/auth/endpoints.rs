//! Where we are reached, as we publish it: what assertions and proofs must have been made for.
//!
//! Taken from the issuer alone. The `Host` of a request is the sender's to choose, and whoever has caught a proof that
//! was made for another server would choose that server's.

use url::Url;

/// The issuer and the URLs of the endpoints that clients authenticate to.
#[derive(Debug)]
pub struct Endpoints {
    issuer: Box<str>,
    all: Vec<Box<str>>,
    token: Vec<Url>,
}

/// Each endpoint has two paths, of which the first is published.
const TOKEN: [&str; 2] = ["/token", "/oauth2/token"];
const OTHERS: [&str; 4] = ["/introspect", "/oauth2/introspect", "/revoke", "/oauth2/revoke"];

impl Endpoints {
    /// The endpoints of this issuer: an absolute URL without query and fragment.
    pub fn new(issuer: &str) -> Self {
        let base = issuer.trim_end_matches('/');
        let url = |path: &&str| format!("{base}{path}");
        Self {
            issuer: issuer.into(),
            all: TOKEN.iter().chain(&OTHERS).map(url).map(Into::into).collect(),
            token: TOKEN.iter().map(url).filter_map(|url| Url::parse(&url).ok()).collect(),
        }
    }

    /// The issuer identifier.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Whether this is the URL of one of the endpoints, character by character.
    pub fn holds(&self, url: &str) -> bool {
        self.all.iter().any(|endpoint| **endpoint == *url)
    }

    /// Whether this is the URL of the token endpoint. Compared after the normalisation of RFC 3986 section 6 and
    /// without query and fragment, as RFC 9449 section 4.3 asks.
    pub fn is_token(&self, url: &str) -> bool {
        let Ok(mut url) = Url::parse(url) else { return false };
        url.set_query(None);
        url.set_fragment(None);
        self.token.contains(&url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc9449_4_3_urls_are_compared_normalised_and_without_query_and_fragment() {
        let endpoints = Endpoints::new("https://as.example/t1/");
        for same in [
            "https://as.example/t1/token",
            "https://as.example/t1/oauth2/token",
            "HTTPS://AS.example:443/t1/token",
            "https://as.example/t1/./x/../token",
            "https://as.example/t1/token?grant=1#top",
        ] {
            assert!(endpoints.is_token(same), "{same}");
        }
        for other in [
            "",
            "/t1/token",
            "http://as.example/t1/token",
            "https://as.example:8443/t1/token",
            "https://as.example/token",
            "https://as.example/t1/token/",
            "https://as.example/t1/TOKEN",
            "https://as.example/t1/introspect",
            "https://as.example.evil/t1/token",
            "https://user@as.example/t1/token",
        ] {
            assert!(!endpoints.is_token(other), "{other}");
        }
    }

    #[test]
    fn rfc7523_3_the_endpoints_as_an_audience_are_compared_as_they_are_written() {
        let endpoints = Endpoints::new("https://as.example");
        assert_eq!(endpoints.issuer(), "https://as.example");
        for url in ["https://as.example/token", "https://as.example/introspect", "https://as.example/oauth2/revoke"] {
            assert!(endpoints.holds(url), "{url}");
        }
        for url in
            ["https://as.example", "https://as.example/", "https://AS.example/token", "https://as.example/token/"]
        {
            assert!(!endpoints.holds(url), "{url}");
        }
    }
}
