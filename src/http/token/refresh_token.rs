//! `grant_type=refresh_token` (RFC 6749 section 6).

use super::{answer, parameters, refuse_issue, unauthorized_client};
use crate::client::GrantType;
use crate::form::{Form, Parameter};
use crate::http::confirmation::{Confirmation, Sender};
use crate::http::error::ApiError;
use crate::http::trail::Reuse;
use crate::http::{Answer, Context};
use crate::service::refresh::{RefreshError, RefreshRequest};
use crate::telemetry::metrics::RefreshResult;
use crate::token::scope::Scope;
use crate::token::time::Now;
use crate::token::value::{Presented, TokenKind};

/// Exchanges a refresh token for an access token and the next refresh token.
pub(super) async fn exchange(
    context: &Context,
    sender: &Sender<'_>,
    form: &Form<'_>,
    now: Now,
) -> Result<Answer, ApiError> {
    let client = sender.caller.client();
    if !client.may_use(GrantType::RefreshToken) {
        return Err(unauthorized_client());
    }
    let token = form.get(Parameter::RefreshToken);
    let token = token.ok_or_else(|| ApiError::invalid_request("The refresh_token is missing"))?;
    let token = Presented::new(token);
    let scope = form.get(Parameter::Scope).map(Scope::parse).transpose().map_err(|_| parameters::invalid_scope())?;
    let resources = parameters::resources(form)?;
    let authorization_details = parameters::authorization_details(form)?;
    context.service.recognise_refresh_token(token).map_err(|error| count_refusal(context, error))?;
    let request = RefreshRequest {
        client: context.service.registry.find(&client.client_id).await?.ok_or_else(ApiError::invalid_client)?,
        token,
        scope,
        resources,
        authorization_details,
        confirmation: sender.confirmation(context, now).await?.as_ref().map(Confirmation::to_json),
    };
    let refreshed = context.service.refresh(&request, now).await.map_err(|error| {
        let reused = matches!(error, RefreshError::InvalidGrant { reused: true });
        let refusal = count_refusal(context, error);
        if reused {
            let reuse = Reuse { token, client: client.client_id.as_str(), refusal: &refusal };
            context.record_reuse(&reuse, sender.headers, sender.peer, now);
        }
        refusal
    })?;
    let result = if refreshed.repeated { RefreshResult::Repeated } else { RefreshResult::Rotated };
    context.observer.refreshed(result);
    context.observer.issued(TokenKind::Access);
    if !refreshed.repeated {
        context.observer.issued(TokenKind::Refresh);
    }
    Ok(answer(&refreshed.issued))
}

fn count_refusal(context: &Context, error: RefreshError) -> ApiError {
    let reused = matches!(error, RefreshError::InvalidGrant { reused: true });
    let refused = refuse(error);
    if refused.status().is_client_error() {
        context.observer.refreshed(if reused { RefreshResult::Reused } else { RefreshResult::Refused });
    }
    refused
}

/// One wording for everything that can be wrong with a refresh token.
fn refuse(error: RefreshError) -> ApiError {
    match error {
        RefreshError::InvalidGrant { .. } => ApiError::bad_request("invalid_grant", "The refresh token is not valid"),
        RefreshError::InvalidScope => parameters::invalid_scope(),
        RefreshError::InvalidTarget => parameters::invalid_target(),
        RefreshError::InvalidDetails => parameters::invalid_authorization_details(),
        RefreshError::Issue(error) => refuse_issue(error),
    }
}
