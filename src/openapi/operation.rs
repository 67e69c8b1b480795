//! One thing that a route does, and how it is written down in OpenAPI 3.1.

use std::collections::{BTreeMap, BTreeSet};

use http::header::{CACHE_CONTROL, HeaderName};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::refusals;
use super::schema::{client_id, identifier, named};
use crate::client::Right;
use crate::http::error::ApiError;
use crate::http::respond;

/// Who may ask, and how that is proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Callers {
    /// Anybody.
    Anybody,
    /// A client, by header, certificate or form, with this right.
    Client(Option<Right>),
    /// A client, by header, with one of these rights.
    Header(&'static [Right]),
    /// A user who is logged in, by an access token.
    User,
    /// A user who is logged in, by a refresh token as Bearer or as a cookie.
    Session,
    /// A gateway, with the token of whoever it asks about.
    Gateway,
}

impl Callers {
    /// As OpenAPI says it: one of these, each with the scopes that a token needs.
    fn requirement(self) -> Value {
        let scopes = |rights: &[Right]| json!(rights.iter().take(1).map(|right| right.scope()).collect::<Vec<_>>());
        match self {
            Self::Anybody => json!([]),
            Self::Client(right) => json!([
                {"basic": []}, {"bearer": scopes(right.as_slice())}, {"mutualTls": []}
            ]),
            Self::Header(rights) => json!([{"basic": []}, {"bearer": scopes(rights)}]),
            Self::User => json!([{"userToken": []}]),
            Self::Gateway => json!([{"callerToken": []}]),
            Self::Session => json!([{"refreshToken": []}, {"refreshCookie": []}]),
        }
    }

    /// As people say it.
    pub(super) fn text(self) -> String {
        let rights = |rights: &[Right]| {
            let names: Vec<String> = rights.iter().map(|right| format!("`{}`", right.as_str())).collect();
            let scopes: Vec<String> = rights.iter().map(|right| format!("`{}`", right.scope())).collect();
            format!("with the right {}, or a Bearer token with the scope {}", names.join(" or "), scopes.join(" or "))
        };
        match self {
            Self::Anybody => "anybody".to_owned(),
            Self::Client(None) => "every client, authenticated as it is registered".to_owned(),
            Self::Client(Some(right)) => format!("a client {}", rights(&[right])),
            Self::Header(among) => format!("a client {}; by the Authorization header alone", rights(among)),
            Self::User => "a user who is logged in, with an access token as Bearer".to_owned(),
            Self::Session => "whoever has a refresh token, as Bearer or as a cookie".to_owned(),
            Self::Gateway => "gateways that are known by address, and by their secret if one is set".to_owned(),
        }
    }
}

/// An answer that is no refusal.
pub(super) struct Answer {
    status: StatusCode,
    meaning: &'static str,
    content: Vec<(&'static str, Value)>,
    headers: Vec<(HeaderName, Value)>,
    links: Vec<(&'static str, Value)>,
    kept: bool,
}

impl Answer {
    /// Without a body.
    pub(super) fn empty(status: StatusCode, meaning: &'static str) -> Self {
        Self { status, meaning, content: Vec::new(), headers: Vec::new(), links: Vec::new(), kept: false }
    }

    /// A JSON body of a schema that has a name.
    pub(super) fn json(status: StatusCode, schema: &'static str, meaning: &'static str) -> Self {
        Self::empty(status, meaning).or("application/json", named(schema))
    }

    /// Or a body of another type.
    pub(super) fn or(mut self, media_type: &'static str, schema: Value) -> Self {
        self.content.push((media_type, schema));
        self
    }

    /// With a header, which may be missing.
    pub(super) fn header(mut self, name: HeaderName, meaning: &str) -> Self {
        self.headers.push((name, json!({"description": meaning, "schema": {"type": "string"}})));
        self
    }

    /// With a header that is always there.
    pub(super) fn always(mut self, name: HeaderName, meaning: &str) -> Self {
        let schema = json!({"type": "string"});
        self.headers.push((name, json!({"description": meaning, "required": true, "schema": schema})));
        self
    }

    /// What can be done with what is in it.
    pub(super) fn link(mut self, operation: &'static str, parameter: &'static str, expression: &'static str) -> Self {
        self.links.push((operation, json!({"operationId": operation, "parameters": {parameter: expression}})));
        self
    }

    /// Others may keep it, for as long as it says.
    pub(super) fn kept(mut self) -> Self {
        self.kept = true;
        self
    }
}

/// What one method of one path does.
pub(super) struct Operation {
    pub(super) method: Method,
    pub(super) id: &'static str,
    pub(super) summary: &'static str,
    pub(super) text: String,
    pub(super) callers: Callers,
    parameters: Vec<Value>,
    body: Option<Value>,
    answers: Vec<Answer>,
    refusals: Vec<ApiError>,
}

impl Operation {
    /// An operation for anybody, that answers nothing yet.
    pub(super) fn new(method: Method, id: &'static str, summary: &'static str) -> Self {
        Self {
            method,
            id,
            summary,
            text: String::new(),
            callers: Callers::Anybody,
            parameters: Vec::new(),
            body: None,
            answers: Vec::new(),
            refusals: Vec::new(),
        }
    }

    /// What there is to know beyond the summary.
    pub(super) fn text(mut self, text: &str) -> Self {
        text.clone_into(&mut self.text);
        self
    }

    /// Clients only: with what they are refused.
    pub(super) fn callers(mut self, callers: Callers) -> Self {
        self.callers = callers;
        self.refuses(match callers {
            Callers::Anybody | Callers::Gateway | Callers::Session => Vec::new(),
            Callers::Client(_) | Callers::Header(_) => refusals::caller(),
            Callers::User => refusals::bearer(),
        })
    }

    /// A form, and with what forms are refused.
    pub(super) fn form(mut self, schema: &'static str) -> Self {
        let content = json!({"application/x-www-form-urlencoded": {"schema": named(schema)}});
        self.body = Some(json!({"required": true, "content": content}));
        self.refuses(refusals::form())
    }

    /// A JSON body, and with what those are refused.
    pub(super) fn json(mut self, schema: &'static str) -> Self {
        self.body = Some(json!({"required": true, "content": {"application/json": {"schema": named(schema)}}}));
        self.refuses(refusals::json())
    }

    /// A JSON body is taken and says nothing.
    pub(super) fn ignored_body(self) -> Self {
        self.refuses(refusals::body())
    }

    /// The same, where no body says the same as an empty object.
    pub(super) fn optional_json(self, schema: &'static str) -> Self {
        let mut operation = self.json(schema);
        if let Some(body) = &mut operation.body {
            body["required"] = false.into();
        }
        operation
    }

    /// Something that may be in the query.
    #[expect(clippy::needless_pass_by_value, reason = "schemas are written inside each other")]
    pub(super) fn query(self, name: &'static str, schema: Value, meaning: &str) -> Self {
        self.parameter("query", name, &schema, meaning)
    }

    /// A header that may be there.
    pub(super) fn header(self, name: &'static str, meaning: &str) -> Self {
        self.parameter("header", name, &json!({"type": "string"}), meaning)
    }

    fn parameter(mut self, place: &str, name: &str, schema: &Value, meaning: &str) -> Self {
        self.parameters.push(json!({"name": name, "in": place, "schema": schema, "description": meaning}));
        self
    }

    /// One more answer.
    pub(super) fn answers(mut self, answer: Answer) -> Self {
        self.answers.push(answer);
        self
    }

    /// Each answer has this header.
    pub(super) fn shared(mut self, name: &HeaderName) -> Self {
        let meaning = "Which pages may read it.";
        self.answers = self.answers.into_iter().map(|answer| answer.always(name.clone(), meaning)).collect();
        self
    }

    /// Further refusals.
    pub(super) fn refuses(mut self, refusals: impl IntoIterator<Item = ApiError>) -> Self {
        self.refusals.extend(refusals);
        self
    }

    /// As OpenAPI writes it, at this path. `alias` marks one that is beside the usual one.
    pub(super) fn to_json(&self, path: &str, tag: &str, alias: bool) -> Value {
        let id = if alias { format!("{}Alias", self.id) } else { self.id.to_owned() };
        let parameters: Vec<Value> =
            path.split('/').filter_map(filled).chain(self.parameters.iter().cloned()).collect();
        let mut operation = json!({
            "operationId": id,
            "tags": [tag],
            "summary": self.summary,
            "description": format!("{}\n\nWho may: {}.", self.text, self.callers.text()).trim(),
            "security": self.callers.requirement(),
            "responses": self.responses(),
        });
        if !parameters.is_empty() {
            operation["parameters"] = parameters.into();
        }
        if let Some(body) = &self.body {
            operation["requestBody"] = body.clone();
        }
        operation
    }

    fn responses(&self) -> Value {
        let mut responses = BTreeMap::new();
        for answer in &self.answers {
            responses.insert(answer.status.as_u16(), success(answer));
        }
        let shared = refusals::everywhere();
        let statuses: BTreeSet<u16> =
            self.refusals.iter().chain(&shared).map(|error| error.status().as_u16()).collect();
        for status in statuses {
            let is = |error: &&ApiError| error.status().as_u16() == status;
            let own: Vec<&ApiError> = self.refusals.iter().filter(is).collect();
            let response = if own.is_empty() {
                json!({"$ref": format!("#/components/responses/{}", shared_name(status))})
            } else {
                refusal(own.into_iter().chain(shared.iter().filter(is)))
            };
            match responses.get_mut(&status) {
                None => {
                    responses.insert(status, response);
                }
                Some(answer) => join(answer, &refusal(shared.iter().filter(is))),
            }
        }
        if self.callers != Callers::Gateway {
            responses.insert(405, json!({"$ref": "#/components/responses/MethodNotAllowed"}));
        }
        responses.into_iter().map(|(status, response)| (status.to_string(), response)).collect()
    }
}

/// What stands in a path where its template has braces.
fn filled(segment: &str) -> Option<Value> {
    let name = segment.strip_prefix('{')?.strip_suffix('}')?;
    let (schema, meaning) = match name {
        "client_id" => (client_id(), "The identifier of a client, percent-encoded where it needs to be."),
        "kid" => (json!({"type": "string", "pattern": "^[A-Za-z0-9_-]+$"}), "The `kid` of a key."),
        "user_id" => (identifier(), "The `id` of a user."),
        "session_id" => (identifier(), "The `id` of a session."),
        _ => (json!({"type": "string"}), "The path of the request that is asked about, with any number of segments."),
    };
    Some(json!({"name": name, "in": "path", "required": true, "schema": schema, "description": meaning}))
}

/// What every route can answer, by name.
pub(super) fn shared_responses() -> Value {
    let shared = refusals::everywhere();
    let mut responses: BTreeMap<String, Value> = shared
        .iter()
        .map(|error| {
            let status = error.status();
            (shared_name(status.as_u16()), refusal(shared.iter().filter(|other| other.status() == status)))
        })
        .collect();
    let wrong_method = [ApiError::method_not_allowed(true, "GET, HEAD")];
    responses.insert("MethodNotAllowed".to_owned(), refusal(wrong_method.iter()));
    json!(responses)
}

fn shared_name(status: u16) -> String {
    let name = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or_default();
    name.split(|character: char| !character.is_ascii_alphanumeric()).collect()
}

fn success(answer: &Answer) -> Value {
    let mut headers: serde_json::Map<String, Value> =
        answer.headers.iter().map(|(name, header)| (title(name), header.clone())).collect();
    if !answer.kept {
        headers.insert(title(&CACHE_CONTROL), json!({"$ref": "#/components/headers/NoStore"}));
    }
    let mut response = json!({"description": answer.meaning, "headers": headers});
    if !answer.content.is_empty() {
        let content: serde_json::Map<String, Value> = answer
            .content
            .iter()
            .map(|(media_type, schema)| ((*media_type).to_owned(), json!({"schema": schema})))
            .collect();
        response["content"] = content.into();
    }
    if !answer.links.is_empty() {
        response["links"] = answer.links.iter().map(|(name, link)| ((*name).to_owned(), link.clone())).collect();
    }
    response
}

/// All refusals of one status. A header that all of them have is promised; the others may be there.
fn refusal<'a>(errors: impl Iterator<Item = &'a ApiError>) -> Value {
    let errors: Vec<&ApiError> = errors.collect();
    let mut lines: Vec<String> = Vec::new();
    for error in &errors {
        let about = error.fault().map(|(field, reason)| format!(" (`{field}`: `{reason}`)")).unwrap_or_default();
        let line = format!("- `{}`: {}{about}", error.code(), error.description());
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    let codes: BTreeSet<&str> = errors.iter().map(|error| error.code()).collect();
    let names: BTreeSet<&str> =
        errors.iter().flat_map(|error| error.headers().keys()).map(HeaderName::as_str).collect();
    let mut headers = serde_json::Map::new();
    for name in names {
        let always = errors.iter().all(|error| error.headers().contains_key(name));
        let (meaning, schema) = match name {
            "retry-after" => ("Seconds to wait before the next attempt.", json!({"type": "integer", "minimum": 1})),
            "www-authenticate" => ("How to authenticate (RFC 9110 section 11.6.1).", json!({"type": "string"})),
            "allow" => ("The methods that there are.", json!({"type": "string"})),
            _ => ("What would be taken.", json!({"type": "string"})),
        };
        let mut header = json!({"description": meaning, "schema": schema});
        if always {
            header["required"] = true.into();
        }
        headers.insert(title(&HeaderName::from_bytes(name.as_bytes()).unwrap_or(CACHE_CONTROL)), header);
    }
    headers.insert(title(&CACHE_CONTROL), json!({"$ref": "#/components/headers/NoStore"}));
    let schema = json!({
        "$ref": "#/components/schemas/Error",
        "properties": {"error": {"enum": codes}},
    });
    json!({
        "description": lines.join("\n"),
        "headers": headers,
        "content": {"application/json": {"schema": schema}},
    })
}

/// Lets an answer be a refusal as well, where both have the same status.
fn join(answer: &mut Value, refusal: &Value) {
    let text = |response: &Value| response["description"].as_str().unwrap_or_default().to_owned();
    answer["description"] = format!("{}\n{}", text(answer), text(refusal)).into();
    let schemas = [&*answer, refusal].map(|response| response["content"]["application/json"]["schema"].clone());
    answer["content"]["application/json"]["schema"] = json!({"anyOf": schemas});
}

/// What is never kept says so, in the words of the answers themselves.
pub(super) fn no_store() -> Value {
    let answer = respond::empty(StatusCode::OK);
    let line = answer.headers().get(CACHE_CONTROL).and_then(|line| line.to_str().ok()).unwrap_or_default();
    json!({
        "description": "Answers are kept by nobody (RFC 6749 section 5.1).",
        "required": true,
        "schema": {"type": "string", "const": line},
    })
}

/// A header as people write it.
fn title(name: &HeaderName) -> String {
    let parts = name.as_str().split('-').map(|part| match part {
        "www" => "WWW".to_owned(),
        "etag" => "ETag".to_owned(),
        part => part.chars().take(1).map(|first| first.to_ascii_uppercase()).chain(part.chars().skip(1)).collect(),
    });
    parts.collect::<Vec<String>>().join("-")
}
