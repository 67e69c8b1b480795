//! The description of what both listeners answer, in OpenAPI 3.1: served at `/openapi.json`, printed by `introspectd
//! openapi`, and written out in `docs/api.md`.
//!
//! Each listener describes itself, because no caller can follow a path of one at the other. What is served names the
//! routes that the configuration has on, since it is what this server answers; what is printed names all.
//!
//! - `public`, `accounts`, `admin` what each route does: found by the routes that the routers look up
//! - `operation` one thing that a route does; `refusals` what each step of it is refused with
//! - `components` the objects; `schema` the words that they are written in
//! - `page` the page for people
//!
//! It cannot drift: paths come from the tables that the routers look up, methods are compared with theirs, each refusal
//! is made by the function that the route makes it with, and objects that are read are compared with their types.

mod accounts;
mod admin;
mod components;
mod operation;
mod page;
mod public;
mod refusals;
mod schema;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value, json};

use self::operation::Operation;
use crate::admin::PATHS as ADMIN;
use crate::config::Config;
use crate::http::accounts::Route as Account;
use crate::http::forward_auth;
use crate::http::metadata::MetadataDocument;
use crate::http::{PATHS as PUBLIC, Route};

pub use self::page::page;

/// Which routes are on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    /// Those of accounts.
    pub accounts: bool,
    /// `/forward-auth`.
    pub forward_auth: bool,
}

impl Features {
    /// All that there are.
    pub const ALL: Self = Self { accounts: true, forward_auth: true };

    /// What a configuration has on.
    pub fn of(config: &Config) -> Self {
        Self { accounts: config.accounts.enabled, forward_auth: config.forward_auth.enabled }
    }
}

/// One path with all that can be done there.
struct Place {
    path: String,
    tag: &'static str,
    operations: Vec<Operation>,
    /// The usual path of the same, where there is another.
    alias_of: Option<String>,
    /// The URL before the path, where it is another than that of all others.
    server: Option<String>,
}

/// The description of the public listener for this issuer: an absolute URL, or empty where it is not known.
pub fn public(features: Features, issuer: &str) -> Value {
    let mut components: Vec<_> = components::public();
    if features.accounts {
        components.extend(components::accounts());
    }
    let title = "introspectd";
    let text = "Token introspection (RFC 7662), revocation (RFC 7009) and issue for a fleet of APIs. `OPTIONS` is \
         answered at each path but those of documents, `HEAD` wherever `GET` is; neither is listed. A head that is no \
         HTTP, or is longer than `http.max_header_bytes`, is answered 400 or 431 without a body. A client that cannot \
         send a header authenticates in the form of the body: by `client_id` with `client_secret`, with an assertion, \
         with a certificate, or alone where it is a public one.";
    let mut document = write(title, text, &public_places(features, issuer), components);
    if !issuer.is_empty() {
        document["servers"] = json!([{"url": issuer.trim_end_matches('/')}]);
    }
    document
}

/// The description of the admin listener, which is not told to anybody by what name it is reached.
pub fn admin() -> Value {
    let text = "The listener for operators. `OPTIONS` is answered at each path, `HEAD` wherever `GET` is; neither is \
         listed. Callers authenticate by the `Authorization` header: Basic, or a Bearer token with the scope of the \
         right.";
    write("introspectd, admin listener", text, &admin_places(), components::admin())
}

fn public_places(features: Features, issuer: &str) -> Vec<Place> {
    let mut routes: Vec<(String, Route)> = PUBLIC.iter().map(|(path, route)| ((*path).to_owned(), *route)).collect();
    let issuer_path = MetadataDocument::path_of(issuer);
    let [by_oauth, by_openid] = MetadataDocument::places_of(issuer_path);
    routes.push((by_oauth.clone(), Route::Metadata));
    // This one stands behind the path of the issuer, which is a part of the server's URL here.
    routes.push((by_openid.strip_prefix(issuer_path).unwrap_or(&by_openid).to_owned(), Route::Metadata));
    if features.forward_auth {
        routes.push((forward_auth::ROUTE.to_owned(), Route::ForwardAuth));
        routes.push((format!("{}/{{path}}", forward_auth::ROUTE), Route::ForwardAuth));
    }
    if features.accounts {
        routes.extend(Account::PATHS.iter().map(|(path, route)| ((*path).to_owned(), Route::Account(*route))));
    }
    let mut places: Vec<Place> = Vec::new();
    for (path, route) in routes {
        let (tag, operations) = public::describe(route, &path);
        let same = |place: &&Place| place.operations.first().map(|one| one.id) == operations.first().map(|one| one.id);
        let alias_of = places.iter().find(same).map(|place| place.path.clone());
        let base = issuer.trim_end_matches('/');
        let server =
            (path == by_oauth && !issuer_path.is_empty()).then(|| base.trim_end_matches(issuer_path).to_owned());
        places.push(Place { path, tag, operations, alias_of, server });
    }
    places
}

/// Of the paths and objects, which stay as they are when programs go on to work with them. Which release answers is
/// nobody's business (RFC 9110 section 17.12).
const VERSION: &str = "1";

/// What can stand for any identifier in a path.
const SAMPLE: &str = "p6enp6enp6enp6enp6enpw";

fn admin_places() -> Vec<Place> {
    let mut places = Vec::new();
    for (path, filled) in &ADMIN {
        if let Some(route) = filled([SAMPLE, SAMPLE]) {
            let (tag, operations) = admin::describe(&route);
            places.push(Place { path: (*path).to_owned(), tag, operations, alias_of: None, server: None });
        }
    }
    places
}

fn write(title: &str, text: &str, places: &[Place], components: Vec<(&str, Value)>) -> Value {
    let mut paths = Map::new();
    let mut tags: Vec<&str> = Vec::new();
    for place in places {
        let operations = place.operations.iter().map(|operation| {
            let mut written = operation.to_json(&place.path, place.tag, place.alias_of.is_some());
            if let Some(usual) = &place.alias_of {
                written["summary"] = format!("{}{usual}", page::ALIAS).into();
            }
            (operation.method.as_str().to_ascii_lowercase(), written)
        });
        let mut item: Map<String, Value> = operations.collect();
        if let Some(server) = &place.server {
            item.insert("servers".to_owned(), json!([{"url": server}]));
        }
        paths.insert(place.path.clone(), item.into());
        if !tags.contains(&place.tag) {
            tags.push(place.tag);
        }
    }
    let schemas: Map<String, Value> = components.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect();
    json!({
        "openapi": "3.1.1",
        "info": {
            "title": title,
            "version": VERSION,
            "description": text,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "tags": tags.into_iter().map(|name| json!({"name": name})).collect::<Vec<_>>(),
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": operation::shared_responses(),
            "headers": {"NoStore": operation::no_store()},
            "securitySchemes": security_schemes(),
        },
    })
}

fn security_schemes() -> Value {
    json!({
        "basic": {
            "type": "http", "scheme": "basic",
            "description": "Identifier and secret of a client, form-encoded and joined (RFC 6749 section 2.3.1).",
        },
        "bearer": {
            "type": "http", "scheme": "bearer",
            "description": "An access token, for what a client has a right to: one with the scope of that right.",
        },
        "userToken": {
            "type": "http", "scheme": "bearer",
            "description": "An access token of a user, issued to an application of the operator's own.",
        },
        "callerToken": {
            "type": "http", "scheme": "bearer",
            "description": "The access token of whoever a gateway asks about, as it came.",
        },
        "mutualTls": {
            "type": "mutualTLS",
            "description": "The certificate of a client that names itself by `client_id` (RFC 8705 section 2).",
        },
        "refreshToken": {"type": "http", "scheme": "bearer", "description": "A refresh token."},
        "refreshCookie": {
            "type": "apiKey", "in": "cookie", "name": "__Host-refresh_token",
            "description": "A refresh token, in the cookie of an application whose pages run in browsers; `cookie` in \
                [[accounts.clients]] names it.",
        },
    })
}
