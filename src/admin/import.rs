//! `POST /admin/tokens/import`: tokens that were issued elsewhere, many in one request.
//!
//! ```text
//! {"tokens": [{"token": "...", "client_id": "app", "exp": 1900000000, ...}, ...], "dry_run": false}
//! {"results": [{"outcome": "imported"}, {"outcome": "refused", "member": "exp", "reason": "..."}]}
//! ```
//!
//! Each element has the members of an active introspection answer (RFC 7662 section 2.2) and `token` beside them. Each
//! is judged for itself, in the order of the question, and no result repeats anything of what was sent. If it cannot be
//! said of one token what became of it, the whole is 503; to send all of it again does no harm.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use http::{Request, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::authorise;
use super::tokens::{self, Audience};
use crate::auth::Caller;
use crate::client::{ClientId, ClientState, Right};
use crate::http::error::ApiError;
use crate::http::request::{self, MediaType};
use crate::http::trail::Trail;
use crate::http::{Answer, Context, respond};
use crate::json::{StrictValue, explain};
use crate::server::{Peer, RequestBody};
use crate::service::import::{ForeignToken, Import, ImportError};
use crate::service::issue::IssueError;
use crate::token::claims::Claims;
use crate::token::time::Now;
use crate::token::value::{TokenKind, TokenValue};

/// The most tokens in one request.
pub const MOST_TOKENS: usize = 1_000;

/// How many of them are read and written at a time.
const AT_ONCE: usize = 32;

/// Members that are claims here as they were there, beside those that have a place of their own: RFC 8693 sections 4.1
/// and 4.4, RFC 9470 section 6.2, RFC 8176, and what Ory Hydra says of a session.
const CLAIMS: [&str; 7] = ["act", "may_act", "acr", "amr", "auth_time", "ext", "obfuscated_subject"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Question<'a> {
    #[serde(borrow)]
    tokens: Vec<&'a RawValue>,
    #[serde(default)]
    dry_run: bool,
}

/// Why one token was refused: the member at fault, if it is one, and a reason without anything that was sent.
struct Refusal {
    member: Option<&'static str>,
    reason: String,
}

/// What an element says.
enum Element {
    Active(Box<ForeignToken>),
    /// `"active": false`: nothing is to be taken over.
    Inactive,
}

/// Why an element was not read.
enum Trouble {
    Refused(Refusal),
    /// Nothing can be said of it.
    Unavailable(ApiError),
}

impl From<Refusal> for Trouble {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Takes over tokens.
///
/// # Errors
/// The caller's, the caller's right, the body's, the store's, in this order: the body may be large, and nobody else's
/// is read.
pub async fn tokens(context: &Context, request: &mut Request<RequestBody>, peer: &Peer) -> Result<Answer, ApiError> {
    request::expect_media_type(request, MediaType::Json)?;
    let now = context.service.now();
    let caller = authorise(context, request, peer, now, &[Right::Import, Right::Admin]).await?;
    let body = request.body_mut().read(context.limits.max_batch_bytes).await?;
    let question = read(&body)?;
    if !context.service.keys.takes_imports() {
        return Err(ApiError::invalid_request("tokens.imports is off"));
    }
    // The body may have been slow: what has expired by now is not taken over.
    let now = context.service.now();
    let taken = (0..question.tokens.len()).map(async |place| {
        let _turn = context.service.batch_reads.acquire().await;
        Box::pin(take_over(context, &caller, question.tokens[place], question.dry_run, now)).await
    });
    let results: Vec<Value> = stream::iter(taken).buffered(AT_ONCE).try_collect().await?;
    let imported = results.iter().filter(|result| result["outcome"] == "imported").count();
    let trail = Trail::of(request);
    trail.changed = Some(imported > 0 && !question.dry_run);
    for (member, count) in [("tokens", results.len()), ("imported", imported)] {
        trail.target.value(member, count);
    }
    trail.target.value("dry_run", question.dry_run);
    Ok(respond::json(StatusCode::OK, json!({"results": results}).to_string().into()))
}

fn read(body: &[u8]) -> Result<Question<'_>, ApiError> {
    // A list would be read as the members in the order in which they happen to be declared.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(ApiError::invalid_request("The body must be a JSON object"));
    }
    let question: Question<'_> = serde_json::from_slice(body)
        .map_err(|error| ApiError::invalid_request(format!("The body cannot be read: {}", explain(&error))))?;
    if question.tokens.len() > MOST_TOKENS {
        return Err(ApiError::invalid_request(format!("There are more than {MOST_TOKENS} tokens")));
    }
    Ok(question)
}

/// What became of one token.
async fn take_over(
    context: &Context,
    caller: &Caller,
    text: &RawValue,
    dry_run: bool,
    now: Now,
) -> Result<Value, ApiError> {
    let taken = async {
        let token = match element(context, caller, text).await? {
            Element::Inactive => return Ok("inactive"),
            Element::Active(token) => *token,
        };
        let taken = context.service.import(token, dry_run, now).await.map_err(refuse)?;
        if taken == Import::Imported && !dry_run {
            context.observer.issued(TokenKind::Access);
        }
        Ok(match taken {
            Import::Imported => "imported",
            Import::Unchanged => "unchanged",
            Import::Revoked => "revoked",
            Import::Expired => "expired",
        })
    };
    match taken.await {
        Ok(outcome) => Ok(json!({"outcome": outcome})),
        Err(Trouble::Refused(Refusal { member: Some(member), reason })) => {
            Ok(json!({"outcome": "refused", "member": member, "reason": reason}))
        }
        Err(Trouble::Refused(Refusal { member: None, reason })) => Ok(json!({"outcome": "refused", "reason": reason})),
        Err(Trouble::Unavailable(error)) => Err(error),
    }
}

/// Reads one element.
async fn element(context: &Context, caller: &Caller, text: &RawValue) -> Result<Element, Trouble> {
    let StrictValue(value) = serde_json::from_str(text.get()).map_err(|error| general(explain(&error)))?;
    let Value::Object(mut members) = value else { return Err(general("not an object").into()) };
    let text: String = required(&mut members, "token")?;
    if take::<bool>(&mut members, "active")? == Some(false) {
        return Ok(Element::Inactive);
    }
    let value = TokenValue::import(&text).map_err(|error| about("token", error.to_string()))?;
    let id: String = required(&mut members, "client_id")?;
    let find = ClientId::parse(&id).ok_or_else(|| of("client_id", &tokens::unknown_client()))?;
    let owner = context.service.registry.find(&find).await.map_err(|error| Trouble::Unavailable(error.into()))?;
    let owner = owner.ok_or_else(|| of("client_id", &tokens::unknown_client()))?;
    if owner.client.state == ClientState::Revoked {
        return Err(about("client_id", "the client is revoked").into());
    }
    let mut moment = |name| -> Result<_, Refusal> {
        take(&mut members, name)?.map(tokens::seconds).transpose().map_err(|error| of(name, &error))
    };
    let (expires_at, issued_at, not_before) = (moment("exp")?, moment("iat")?, moment("nbf")?);
    let subject = tokens::subject(take(&mut members, "sub")?, &owner.client).map_err(|error| of("sub", &error))?;
    let username = take(&mut members, "username")?.map(|name| tokens::text("username", name)).transpose();
    let scope: String = take(&mut members, "scope")?.unwrap_or_default();
    let scope = tokens::scope(&scope, &owner.client, caller).map_err(|error| of("scope", &error))?;
    let audience = take::<Audience>(&mut members, "aud").map_err(|_| about("aud", "a text, or a list of texts"))?;
    let audience = tokens::audience(audience).map_err(|error| of("aud", &error))?;
    let claims = claims(&mut members)?;
    expect_usable(&mut members, &claims)?;
    // Who issued it, and what it was called there: here both are others.
    let _: (Option<String>, Option<String>) = (take(&mut members, "iss")?, take(&mut members, "jti")?);
    if !members.is_empty() {
        return Err(
            general("a member that introspection answers do not have: further claims belong into claims").into()
        );
    }
    Ok(Element::Active(Box::new(ForeignToken {
        owner,
        value,
        issued_at,
        not_before,
        expires_at: expires_at.ok_or_else(|| about("exp", "missing: every token ends"))?,
        subject,
        username: username.map_err(|error| of("username", &error))?,
        scope,
        audience,
        claims,
    })))
}

/// All that is said beyond what has a place of its own.
fn claims(members: &mut Map<String, Value>) -> Result<Claims, Refusal> {
    let mut further: Map<String, Value> = take(members, "claims")?.unwrap_or_default();
    for name in CLAIMS {
        if let Some(value) = take::<Value>(members, name)?
            && further.insert(name.to_owned(), value).is_some()
        {
            return Err(about(name, "there twice: beside claims and in it"));
        }
    }
    let (confirmation, details) = (take::<Value>(members, "cnf")?, take::<Value>(members, "authorization_details")?);
    Claims::build(confirmation.as_ref(), details.as_ref(), &further).map_err(|error| match error {
        // The names were sent by somebody, and may hold what belongs elsewhere.
        crate::token::claims::ClaimsError::Null(_) => about("claims", "a claim is null: leave it out instead"),
        error => about("claims", error.to_string()),
    })
}

/// Refuses what is no access token, or would be weaker here than it was.
fn expect_usable(members: &mut Map<String, Value>, claims: &Claims) -> Result<(), Refusal> {
    let (kind, usage) = (take::<String>(members, "token_type")?, take::<String>(members, "token_use")?);
    let is = |text: &Option<String>, name: &str| text.as_deref().is_some_and(|text| text.eq_ignore_ascii_case(name));
    if is(&usage, "refresh_token") || is(&kind, "refresh_token") {
        let member = if is(&usage, "refresh_token") { "token_use" } else { "token_type" };
        return Err(about(member, "refresh tokens cannot be taken over: they name their grant here"));
    }
    if usage.is_some() && !is(&usage, "access_token") {
        return Err(about("token_use", "must be access_token"));
    }
    if is(&kind, "DPoP") && !claims.confirms("jkt") {
        return Err(about("token_type", "DPoP without a jkt in cnf"));
    }
    if kind.is_some() && !["Bearer", "DPoP", "access_token"].iter().any(|name| is(&kind, name)) {
        return Err(about("token_type", "must be Bearer or DPoP"));
    }
    Ok(())
}

/// Takes a member out; `null` is as good as none.
fn take<T: DeserializeOwned>(members: &mut Map<String, Value>, name: &'static str) -> Result<Option<T>, Refusal> {
    match members.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => serde_json::from_value(value).map(Some).map_err(|error| about(name, explain(&error))),
    }
}

fn required(members: &mut Map<String, Value>, name: &'static str) -> Result<String, Refusal> {
    take(members, name)?.ok_or_else(|| about(name, "missing"))
}

fn about(member: &'static str, reason: impl Into<String>) -> Refusal {
    Refusal { member: Some(member), reason: reason.into() }
}

fn general(reason: impl Into<String>) -> Refusal {
    Refusal { member: None, reason: reason.into() }
}

fn of(member: &'static str, error: &ApiError) -> Refusal {
    about(member, error.description())
}

fn refuse(error: ImportError) -> Trouble {
    let member = match &error {
        ImportError::NotYetIssued => "iat",
        ImportError::Differs | ImportError::Issue(IssueError::SignedHere) => "token",
        ImportError::Issue(IssueError::NeverActive | IssueError::TooLong(_)) => "exp",
        ImportError::Issue(IssueError::UserDisabled) => "sub",
        ImportError::Issue(IssueError::Unstorable(_)) => return general(error.to_string()).into(),
        ImportError::Issue(_) => {
            let ImportError::Issue(error) = error else { return general(error.to_string()).into() };
            return Trouble::Unavailable(tokens::refuse(error));
        }
    };
    about(member, error.to_string()).into()
}
