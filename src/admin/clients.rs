//! `/admin/clients`: creating, reading, changing and deleting clients.

use http::{Method, Request, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::authorise;
use super::paging::Page;
use crate::client::metadata::{self, ClientMetadata};
use crate::client::secret::Secret;
use crate::client::{Client, ClientId, ClientState, Right, is_vschar};
use crate::http::error::ApiError;
use crate::http::json as body;
use crate::http::name;
use crate::http::request::{self, MediaType};
use crate::http::trail::Trail;
use crate::http::{Answer, Context, respond};
use crate::server::{Peer, RequestBody};
use crate::service::clients::{ClientError, NewClient, Overlap};

/// What can be done to a client beyond changing its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Accept it and its tokens again.
    Approve,
    /// Refuse it and all its tokens.
    Revoke,
    /// Give it a new secret.
    RotateSecret,
}

/// `POST` creates a client, `GET` lists them: `?limit=` up to 1000 at a time, `?after=` an identifier.
///
/// # Errors
/// 400 `invalid_client_metadata`, 401, 403, 409, 503.
pub async fn collection(
    context: &Context,
    request: &mut Request<RequestBody>,
    peer: &Peer,
) -> Result<Answer, ApiError> {
    if request.method() == Method::POST {
        return create(context, request, peer).await;
    }
    authorise(context, request, peer, context.service.now(), &[Right::Admin]).await?;
    let Page { after, limit, .. } = Page::read(request.uri(), &[])?;
    // Taken for absent, a mistyped one would begin the list again.
    let invalid = || ApiError::invalid_request("after must be an identifier of a client");
    let after = after.map(|after| ClientId::parse(&after).ok_or_else(invalid)).transpose()?;
    let mut clients: Vec<Value> = Vec::new();
    if after.is_none() {
        clients.extend(context.service.registry.all_declared().iter().map(|client| shown(client, true)));
    }
    let page = context.service.store.clients(after.as_ref(), limit).await?;
    let next = (page.len() == limit).then(|| page.last().map(|(id, _)| id.clone())).flatten();
    for (id, document) in page {
        let known = context.service.registry.resolve(id.as_str(), Some(document))?;
        clients.extend(known.filter(|known| known.version.is_some()).map(|known| shown(&known.client, false)));
    }
    let mut page = json!({"clients": clients});
    if let Some(next) = next {
        page["next"] = json!(next);
    }
    Ok(respond::json(StatusCode::OK, page.to_string().into()))
}

async fn create(context: &Context, request: &mut Request<RequestBody>, peer: &Peer) -> Result<Answer, ApiError> {
    let body = request::read(context, request, MediaType::Json).await?;
    let now = context.service.now();
    authorise(context, request, peer, now, &[Right::Admin]).await?;
    let members: Map<String, Value> = body::read(&body)?;
    let invalid = |text: &'static str| ApiError::bad_request("invalid_client_metadata", text);
    let id = match members.get("client_id") {
        None => None,
        Some(id) => Some(
            id.as_str()
                .and_then(ClientId::parse)
                .ok_or_else(|| invalid("client_id must have 1 to 128 printable ASCII characters"))?,
        ),
    };
    if let Some(id) = &id {
        Trail::of(request).name(&context.service, "client_id", id.as_str(), now).await;
        // It would be in every log.
        if !name::may_be_written(&context.service, id.as_str(), now).await {
            return Err(invalid("client_id must not be a token, nor have the form of one"));
        }
    }
    let secret = match members.get("client_secret") {
        None => None,
        Some(secret) => {
            let usable =
                |secret: &&str| (Secret::MIN_BYTES..=Secret::MAX_BYTES).contains(&secret.len()) && is_vschar(secret);
            let secret = secret.as_str().filter(usable);
            Some(Secret::new(
                secret.ok_or_else(|| invalid("client_secret must have 8 to 1024 printable ASCII characters"))?,
            ))
        }
    };
    let new = NewClient { id, secret, metadata: read_metadata(members)? };
    let (client, secret) = context.service.create_client(new, now).await.map_err(refuse)?;
    let target = &mut Trail::of(request).target;
    target.text("client_id", client.client_id.as_str());
    target.value("rights", json!(client.rights));
    Ok(respond::json(StatusCode::CREATED, with_secret(&client, secret.as_ref()).to_string().into()))
}

/// `GET` shows a client, `PATCH` changes the members given, `PUT` sets all, `DELETE` removes it.
///
/// # Errors
/// 400 `invalid_client_metadata`, 401, 403, 404, 409, 503.
pub async fn one(
    context: &Context,
    id: &ClientId,
    request: &mut Request<RequestBody>,
    peer: &Peer,
) -> Result<Answer, ApiError> {
    let service = &context.service;
    let now = service.now();
    let method = request.method().clone();
    if method == Method::GET || method == Method::DELETE {
        authorise(context, request, peer, now, &[Right::Admin]).await?;
        if method == Method::DELETE {
            service.delete_client(id, now).await.map_err(refuse)?;
            return Ok(respond::empty(StatusCode::NO_CONTENT));
        }
        let known = service.registry.find(id).await?.ok_or_else(ApiError::not_found)?;
        return Ok(answer(&shown(&known.client, known.version.is_none())));
    }
    let body = request::read(context, request, MediaType::Json).await?;
    authorise(context, request, peer, now, &[Right::Admin]).await?;
    let members: Map<String, Value> = body::read(&body)?;
    refuse_what_cannot_be_changed(context, id, &members).await?;
    let names: Vec<String> = members.keys().cloned().collect();
    let metadata = read_metadata(members)?;
    let client = service.update_client(id, metadata, method == Method::PUT, now).await.map_err(refuse)?;
    let target = &mut Trail::of(request).target;
    // All of them are names of members that there are.
    target.value("members", names);
    target.value("rights", json!(client.rights));
    Ok(answer(&shown(&client, false)))
}

/// Members of a record that have ways of their own to be changed. A record that was read may be sent back whole, so
/// they are refused only where they say something else.
async fn refuse_what_cannot_be_changed(
    context: &Context,
    id: &ClientId,
    members: &Map<String, Value>,
) -> Result<(), ApiError> {
    let invalid = |text: &'static str| Err(ApiError::bad_request("invalid_client_metadata", text));
    if members.contains_key("client_secret") {
        return invalid("client_secret cannot be set: rotate the secret instead");
    }
    if members.get("client_id").is_some_and(|given| given != id.as_str()) {
        return invalid("client_id cannot be changed");
    }
    if let Some(state) = members.get("state") {
        let known = context.service.registry.find(id).await?.ok_or_else(ApiError::not_found)?;
        if *state != json!(known.client.state) {
            return invalid("state cannot be set: revoke or approve the client instead");
        }
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RotateRequest {
    overlap_seconds: Option<u64>,
}

/// Does something to a client.
///
/// # Errors
/// 400, 401, 403, 404, 409, 503.
pub async fn act(
    context: &Context,
    id: &ClientId,
    action: Action,
    request: &mut Request<RequestBody>,
    peer: &Peer,
) -> Result<Answer, ApiError> {
    let body = request::read(context, request, MediaType::Json).await?;
    let service = &context.service;
    let now = service.now();
    authorise(context, request, peer, now, &[Right::Admin]).await?;
    let state = match action {
        Action::Approve => ClientState::Approved,
        Action::Revoke => ClientState::Revoked,
        Action::RotateSecret => {
            let asked: RotateRequest = body::read(&body)?;
            let usual = context.authentication.secret_overlap.as_secs();
            let overlap = Overlap { seconds: asked.overlap_seconds.unwrap_or(usual) };
            let (client, secret) = service.rotate_secret(id, overlap, now).await.map_err(refuse)?;
            return Ok(answer(&with_secret(&client, Some(&secret))));
        }
    };
    let changed = service.set_client_state(id, state).await.map_err(refuse)?;
    Trail::of(request).changed = Some(changed);
    Ok(answer(&json!({"changed": changed})))
}

fn answer(body: &Value) -> Answer {
    respond::json(StatusCode::OK, body.to_string().into())
}

fn shown(client: &Client, declared: bool) -> Value {
    Value::Object(metadata::view(client, declared))
}

/// The record with the secret, which is shown this once (RFC 7591 section 3.2.1).
fn with_secret(client: &Client, secret: Option<&Secret>) -> Value {
    let mut view = shown(client, false);
    if let Some(secret) = secret {
        view["client_secret"] = json!(secret.expose());
        view["client_secret_expires_at"] = json!(0);
    }
    view
}

fn read_metadata(members: Map<String, Value>) -> Result<ClientMetadata, ApiError> {
    serde_json::from_value(Value::Object(members))
        .map_err(|error| ApiError::bad_request("invalid_client_metadata", crate::json::explain(&error)))
}

fn refuse(error: ClientError) -> ApiError {
    match error {
        ClientError::Metadata(error) => ApiError::bad_request("invalid_client_metadata", error.to_string()),
        ClientError::Public => ApiError::bad_request("invalid_client_metadata", error.to_string()),
        ClientError::Unknown => ApiError::not_found(),
        ClientError::Exists | ClientError::Declared | ClientError::Conflict => ApiError::conflict(error.to_string()),
        ClientError::Busy(busy) => ApiError::overloaded(busy),
        ClientError::Internal(message) => ApiError::internal(message),
        ClientError::Store(error) => error.into(),
    }
}
