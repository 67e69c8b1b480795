//! What a token is bound to, because the request that asks for it proves possession: a key (RFC 9449) or a certificate
//! (RFC 8705 section 3).

use http::HeaderMap;
use serde_json::{Value, json};

use super::error::ApiError;
use super::{Context, certificate};
use crate::auth::Caller;
use crate::auth::dpop::{Proof, ProofError};
use crate::server::Peer;
use crate::token::time::Now;

/// What the sender of a request has proved to have: at least one of the two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirmation {
    /// `jkt`: the RFC 7638 thumbprint of a key.
    pub key: Option<String>,
    /// `x5t#S256`: the SHA-256 of a certificate.
    pub certificate: Option<String>,
}

impl Confirmation {
    /// The `cnf` of the token (RFC 7800 section 3.1).
    pub fn to_json(&self) -> Value {
        let mut confirmation = json!({});
        if let Some(thumbprint) = &self.key {
            confirmation["jkt"] = json!(thumbprint);
        }
        if let Some(thumbprint) = &self.certificate {
            confirmation["x5t#S256"] = json!(thumbprint);
        }
        confirmation
    }
}

/// Who sent a request, by all that the request shows.
#[derive(Clone, Copy)]
pub struct Sender<'a> {
    /// The headers of the request.
    pub headers: &'a HeaderMap,
    /// The other end of the connection.
    pub peer: &'a Peer,
    /// The client, authenticated as far as it can be.
    pub caller: &'a Caller,
}

impl Sender<'_> {
    /// What the token that is asked for is to be bound to; `None` for a Bearer token.
    ///
    /// A proof that is sent is always honoured; one that the client is registered for must be sent. It is kept that
    /// the proof was used: to be called once everything else has been found to be in order, since many of those who
    /// ask prove nothing.
    ///
    /// # Errors
    /// 400 `invalid_dpop_proof` for a proof that is wrong, was used before, or is missing; 400 `invalid_request` for a
    /// missing certificate; 503 when it cannot be said whether the proof was used before.
    pub async fn confirmation(&self, context: &Context, now: Now) -> Result<Option<Confirmation>, ApiError> {
        let client = self.caller.client();
        let headers = self.headers;
        let certificate = if client.tls_client_certificate_bound_access_tokens {
            let presented = certificate::presented(headers, self.peer, &context.authentication.certificate_proxies)?;
            let missing =
                || ApiError::invalid_request("The client gets tokens that are bound to a certificate, and sent none");
            Some(presented.ok_or_else(missing)?.thumbprint())
        } else {
            None
        };
        let key = match Proof::of_token_request(headers, context.authenticator.endpoints(), now).map_err(refuse)? {
            Some(proof) => {
                let Proof { thumbprint, single_use } = proof;
                if !context.service.store.use_once(single_use.name, single_use.until, now).await? {
                    return Err(refuse(ProofError::Replayed));
                }
                Some(thumbprint)
            }
            None if client.dpop_bound_access_tokens => {
                let description = "The client gets tokens that are bound to a key";
                return Err(ApiError::bad_request("invalid_dpop_proof", description));
            }
            None => None,
        };
        Ok((key.is_some() || certificate.is_some()).then_some(Confirmation { key, certificate }))
    }
}

fn refuse(error: ProofError) -> ApiError {
    ApiError::bad_request("invalid_dpop_proof", error.to_string())
}
