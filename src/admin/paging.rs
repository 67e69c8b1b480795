//! Lists, a page at a time: `?limit=` up to 1000, `?after=` the identifier that the page before ended with.

use std::collections::BTreeMap;

use http::Uri;

use crate::form;
use crate::http::error::ApiError;

/// How many there are on a page for which nothing else is said.
const USUAL: usize = 100;
/// How many there are on a page at most.
const MOST: usize = 1000;

/// What a query asks for.
#[derive(Debug)]
pub struct Page {
    /// `after`.
    pub after: Option<String>,
    /// `limit`.
    pub limit: usize,
    /// What else may be in it, by name.
    pub further: BTreeMap<&'static str, String>,
}

impl Page {
    /// Reads a query that may hold `after`, `limit` and these, each once.
    ///
    /// # Errors
    /// 400.
    pub fn read(target: &Uri, further: &[&'static str]) -> Result<Self, ApiError> {
        let mut page = Self { after: None, limit: USUAL, further: BTreeMap::new() };
        let mut limit = None;
        for pair in target.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = form::decode(value.as_bytes())?.into_owned();
            let repeated = match (name, further.iter().find(|known| **known == name)) {
                ("after", _) => page.after.replace(value),
                ("limit", _) => limit.replace(value),
                (_, Some(known)) => page.further.insert(known, value),
                (_, None) => {
                    let known: Vec<&str> = ["after", "limit"].iter().chain(further).copied().collect();
                    return Err(ApiError::invalid_request(format!("The query may hold {}", known.join(", "))));
                }
            };
            if repeated.is_some() {
                return Err(ApiError::invalid_request("A member of the query is repeated"));
            }
        }
        if let Some(limit) = limit {
            let limit = limit.parse().ok().filter(|limit| (1..=MOST).contains(limit));
            page.limit = limit.ok_or_else(|| ApiError::invalid_request("limit must be 1 to 1000"))?;
        }
        Ok(page)
    }
}
