//! Why a signed text or a key was refused.

/// Why a signed text was not taken. Says which rule it broke, and nothing of what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoseError {
    /// Longer than [`super::compact::Compact::MAX_BYTES`].
    #[error("the text is longer than {} bytes", super::compact::Compact::MAX_BYTES)]
    TooLong,
    /// Not three parts of base64url without padding, none of them empty (RFC 7515 section 7.1).
    #[error("the text does not have the compact form")]
    Form,
    /// The header is not a JSON object without repeated names, or this member of it is missing or must not be there.
    #[error("the header is not acceptable: {0}")]
    Header(&'static str),
    /// `alg` names none of ours (RFC 8725 section 3.1).
    #[error("the algorithm is not accepted")]
    Algorithm,
    /// The claims are not a JSON object without repeated names, or this one is missing or has the wrong type.
    #[error("the claims are not acceptable: {0}")]
    Claims(&'static str),
    /// It was not signed by this key with the one algorithm that the key is for.
    #[error("the signature does not match")]
    Signature,
}

/// Why a key was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It is not a JSON object, or this member is missing or wrong (RFC 7517 section 4, RFC 7518 section 6).
    #[error("the key's {0} is missing or wrong")]
    Member(&'static str),
    /// It holds what only its owner may know.
    #[error("the key holds a private member")]
    Private,
    /// Of a type, curve or algorithm that is not used here.
    #[error("the type of the key is not supported")]
    Unsupported,
    /// It is for another algorithm than the one that was asked for.
    #[error("the key is for another algorithm")]
    Algorithm,
    /// An RSA modulus outside [`super::key::PublicKey::RSA_BITS`].
    #[error("the RSA modulus must have {} to {} bits", super::key::PublicKey::RSA_BITS.start(), super::key::PublicKey::RSA_BITS.end())]
    Size,
    /// The cryptographic library refused it: not a point of the curve, or not a private key of its kind.
    #[error("the key is not valid")]
    Invalid,
    /// The library could not make a key or a signature.
    #[error("the cryptographic library failed")]
    Backend,
}
