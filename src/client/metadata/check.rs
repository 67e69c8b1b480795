//! Rules that hold between members: what a client is must fit together before it is kept.

use super::{MetadataError, refuse};
use crate::client::certificate::CertificateName;
use crate::client::keys::ClientKeys;
use crate::client::{AuthenticationMethod, Client, GrantType};

/// Whether a client is one that can be kept.
///
/// # Errors
/// [`MetadataError`] names the member that does not fit the others.
pub(super) fn check(client: &Client) -> Result<(), MetadataError> {
    if client.is_public() && client.may_use(GrantType::ClientCredentials) {
        return Err(refuse("grant_types", "a client without authentication cannot use client_credentials"));
    }
    if client.is_public() && !client.rights.is_empty() {
        return Err(refuse("rights", "a client without authentication cannot have rights"));
    }
    check_method(client)
}

/// Whether a client has what its way of authentication needs.
///
/// # Errors
/// [`MetadataError`] names the member that is missing.
pub fn check_method(client: &Client) -> Result<(), MetadataError> {
    let jwks = client.jwks.as_ref();
    match client.authentication {
        Some(AuthenticationMethod::PrivateKeyJwt) => {
            let signers = jwks.and_then(ClientKeys::signers);
            let signers = signers
                .ok_or_else(|| refuse("jwks", "private_key_jwt needs jwks: the keys that the client signs with"))?;
            match client.token_endpoint_auth_signing_alg {
                Some(algorithm) if !signers.supports(algorithm) => {
                    Err(refuse("jwks", "jwks holds no key for the token_endpoint_auth_signing_alg"))
                }
                _ => Ok(()),
            }
        }
        Some(AuthenticationMethod::SelfSignedTlsClientAuth)
            if jwks.is_none_or(|keys| keys.certificates().len() == 0) =>
        {
            Err(refuse("jwks", "self_signed_tls_client_auth needs jwks: keys with the certificate as x5c"))
        }
        Some(AuthenticationMethod::TlsClientAuth) if client.tls_client_auth.is_none() => Err(refuse(
            CertificateName::MEMBERS[0].0,
            "tls_client_auth needs exactly one of tls_client_auth_subject_dn, tls_client_auth_san_dns, \
             tls_client_auth_san_uri, tls_client_auth_san_ip and tls_client_auth_san_email",
        )),
        _ => Ok(()),
    }
}
