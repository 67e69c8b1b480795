//! `grant_type=client_credentials` (RFC 6749 section 4.4): tokens that a client asks for on its own behalf.

use super::{answer, parameters, refuse_issue, unauthorized_client};
use crate::client::{GrantType, policy};
use crate::form::{Form, Parameter};
use crate::http::confirmation::{Confirmation, Sender};
use crate::http::error::ApiError;
use crate::http::{Answer, Context};
use crate::service::issue::NewToken;
use crate::token::claims::Claims;
use crate::token::scope::Scope;
use crate::token::time::Now;
use crate::token::value::TokenKind;

/// Issues an access token, and no refresh token (section 4.4.3).
pub(super) async fn issue(
    context: &Context,
    sender: &Sender<'_>,
    form: &Form<'_>,
    now: Now,
) -> Result<Answer, ApiError> {
    let client = sender.caller.client();
    if !client.may_use(GrantType::ClientCredentials) || client.is_public() {
        return Err(unauthorized_client());
    }
    let requested = Scope::parse(form.get(Parameter::Scope).unwrap_or_default());
    let requested = requested.map_err(|_| parameters::invalid_scope())?;
    let scope = policy::granted_scope(client, &requested).ok_or_else(parameters::invalid_scope)?;
    let resources = parameters::resources(form)?;
    let audience = policy::granted_audience(client, &resources).ok_or_else(parameters::invalid_target)?;
    let details = parameters::authorization_details(form)?;
    if let Some(details) = &details
        && !policy::may_ask_for(client, details)
    {
        return Err(parameters::invalid_authorization_details());
    }
    let confirmation = sender.confirmation(context, now).await?.as_ref().map(Confirmation::to_json);
    let claims = Claims::build(confirmation.as_ref(), details.as_ref(), &serde_json::Map::new())
        .map_err(|_| parameters::invalid_authorization_details())?;
    let owner = context.service.registry.find(&client.client_id).await?.ok_or_else(ApiError::invalid_client)?;
    let new = NewToken {
        // A prefix keeps clients out of the users' namespace (RFC 9700 section 4.15).
        subject: Some(format!("client:{}", client.client_id).into()),
        owner,
        username: None,
        scope,
        audience,
        not_before: None,
        expires_at: None,
        format: None,
        refresh: None,
        claims,
        import: None,
    };
    let issued = context.service.issue(new, now).await.map_err(refuse_issue)?;
    context.observer.issued(TokenKind::Access);
    Ok(answer(&issued))
}
