//! The compact form of a signed text (RFC 7515 section 7.1), read as strictly as RFC 8725 asks: what is not plainly a
//! signature of ours is refused before a key is touched.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::algorithm::Algorithm;
use super::error::JoseError;
use super::key::PublicKey;
use crate::json;

/// A signed text that has the right form. Who signed it is still to be found out: [`Compact::verify`].
#[derive(Clone)]
pub struct Compact<'a> {
    /// What the signature is over: the first two parts and the dot between them.
    signed: &'a str,
    algorithm: Algorithm,
    header: Map<String, Value>,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

/// What the header says, none of it proven yet.
#[derive(Clone, Copy, Debug)]
pub struct Header<'a> {
    /// `alg`.
    pub algorithm: Algorithm,
    /// `typ`: what kind of text it claims to be.
    pub typ: Option<&'a str>,
    /// `kid`: which key signed it, at most [`Compact::MAX_KID_BYTES`] long.
    pub kid: Option<&'a str>,
    /// `jwk`: a key that the text brings along. It proves nothing but that its holder signed.
    pub jwk: Option<&'a Value>,
}

impl Header<'_> {
    /// Whether `typ` is this media type. Compared without regard to case; the `application/` in front of it may be left
    /// out (RFC 7515 section 4.1.9).
    pub fn is_typ(&self, media_type: &str) -> bool {
        const PREFIX: &str = "application/";
        self.typ.is_some_and(|typ| {
            let short = match typ.split_at_checked(PREFIX.len()) {
                Some((prefix, rest)) if prefix.eq_ignore_ascii_case(PREFIX) => rest,
                _ => typ,
            };
            short.eq_ignore_ascii_case(media_type)
        })
    }
}

/// Header members that change what the rest means. None of them is understood here, so each is refused: the first by
/// rule (RFC 7515 section 4.1.11), the others because a text with them is compressed, encrypted or not encoded.
const REFUSED: [&str; 10] = ["crit", "b64", "zip", "enc", "epk", "apu", "apv", "p2s", "p2c", "tag"];

impl<'a> Compact<'a> {
    /// The longest text that is looked at, in bytes.
    pub const MAX_BYTES: usize = 16 * 1024;
    /// The longest `kid`, in bytes.
    pub const MAX_KID_BYTES: usize = 256;
    /// How deep arrays and objects may be nested in the header and in the claims.
    pub const MAX_DEPTH: usize = 24;
    /// The longest header, encoded, in bytes: enough for an RSA key of the largest size.
    const MAX_HEADER_BYTES: usize = 4 * 1024;

    /// Reads the form, and everything of the header.
    ///
    /// # Errors
    /// [`JoseError`]; no work is done on a text that is too long.
    pub fn parse(text: &'a str) -> Result<Self, JoseError> {
        if text.len() > Self::MAX_BYTES {
            return Err(JoseError::TooLong);
        }
        let mut parts = text.split('.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(JoseError::Form);
        };
        if header.is_empty() || payload.is_empty() || signature.is_empty() || header.len() > Self::MAX_HEADER_BYTES {
            return Err(JoseError::Form);
        }
        let members =
            json::object(&decode(header)?, Self::MAX_DEPTH).ok_or(JoseError::Header("not a plain JSON object"))?;
        if let Some(name) = REFUSED.into_iter().find(|&name| members.contains_key(name)) {
            return Err(JoseError::Header(name));
        }
        let algorithm = members.get("alg").and_then(Value::as_str).and_then(Algorithm::of_name_of_others);
        let algorithm = algorithm.ok_or(JoseError::Algorithm)?;
        if members.get("typ").is_some_and(|typ| !typ.is_string()) {
            return Err(JoseError::Header("typ"));
        }
        if members.get("kid").is_some_and(|kid| kid.as_str().is_none_or(|kid| kid.len() > Self::MAX_KID_BYTES)) {
            return Err(JoseError::Header("kid"));
        }
        Ok(Self {
            signed: &text[..header.len() + 1 + payload.len()],
            algorithm,
            header: members,
            payload: decode(payload)?,
            signature: decode(signature)?,
        })
    }

    /// What the header says.
    pub fn header(&self) -> Header<'_> {
        Header {
            algorithm: self.algorithm,
            typ: self.header.get("typ").and_then(Value::as_str),
            kid: self.header.get("kid").and_then(Value::as_str),
            jwk: self.header.get("jwk"),
        }
    }

    /// The claims: of no worth before [`Compact::verify`].
    ///
    /// # Errors
    /// [`JoseError::Claims`] when they are not a JSON object without repeated names.
    pub fn claims(&self) -> Result<Map<String, Value>, JoseError> {
        json::object(&self.payload, Self::MAX_DEPTH).ok_or(JoseError::Claims("not a plain JSON object"))
    }

    /// Whether this key signed it. A key verifies with its own algorithm only, whatever the header says (RFC 8725
    /// section 3.1).
    ///
    /// # Errors
    /// [`JoseError::Signature`], whatever the reason.
    pub fn verify(&self, key: &PublicKey) -> Result<(), JoseError> {
        if key.algorithm() == self.algorithm && key.verifies(self.signed.as_bytes(), &self.signature) {
            Ok(())
        } else {
            Err(JoseError::Signature)
        }
    }
}

impl std::fmt::Debug for Compact<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Compact(redacted)")
    }
}

/// A `NumericDate` (RFC 7519 section 2) as all of ours are: whole seconds from 1970 on, exact in every reader.
///
/// `None` when there is no claim of this name.
///
/// # Errors
/// [`JoseError::Claims`] for a text, a fraction, an exponent, a negative number, and what is beyond 2^53.
pub fn numeric_date(claims: &Map<String, Value>, name: &'static str) -> Result<Option<u64>, JoseError> {
    const LARGEST: u64 = 1 << 53;
    match claims.get(name) {
        None => Ok(None),
        Some(value) => value.as_u64().filter(|&seconds| seconds <= LARGEST).map(Some).ok_or(JoseError::Claims(name)),
    }
}

/// Base64url without padding, in which the bits that encode nothing are zero: one text for each value.
fn decode(part: &str) -> Result<Vec<u8>, JoseError> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| JoseError::Form)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::signing::SigningKey;
    use super::*;

    fn encode(part: impl AsRef<[u8]>) -> String {
        URL_SAFE_NO_PAD.encode(part)
    }

    fn key() -> SigningKey {
        SigningKey::generate(Algorithm::Es256).unwrap()
    }

    fn with_header(header: &str) -> Result<(), JoseError> {
        Compact::parse(&format!("{}.{}.{}", encode(header), encode("{}"), encode([1; 64]))).map(|_| ())
    }

    #[test]
    fn every_algorithm_signs_what_only_its_own_key_verifies() {
        let keys = Algorithm::ALL.map(|algorithm| SigningKey::generate(algorithm).unwrap());
        for signer in &keys {
            let text = signer.sign("at+jwt", "k1", br#"{"sub":"u"}"#).unwrap();
            let compact = Compact::parse(&text).unwrap();
            assert_eq!(compact.header().kid, Some("k1"));
            assert_eq!(compact.claims().unwrap(), *json!({"sub": "u"}).as_object().unwrap());
            for other in &keys {
                let same = other.public() == signer.public();
                assert_eq!(compact.verify(other.public()).is_ok(), same, "{signer:?} {other:?}");
            }
        }
    }

    /// RFC 8725 section 3.1: one key, one algorithm, even between two that take the same key.
    #[test]
    fn rfc8725_3_1_a_key_does_not_verify_with_the_other_algorithm_of_its_type() {
        for (algorithm, other) in [(Algorithm::Rs256, Algorithm::Ps256), (Algorithm::Ps256, Algorithm::Rs256)] {
            let signer = SigningKey::generate(algorithm).unwrap();
            let same_numbers = SigningKey::from_pkcs8(other, &signer.to_pkcs8().unwrap()).unwrap();
            let text = signer.sign("at+jwt", "k", b"{}").unwrap();
            let compact = Compact::parse(&text).unwrap();
            assert_eq!(compact.verify(same_numbers.public()), Err(JoseError::Signature));
            let (header, rest) = text.split_once('.').unwrap();
            let header = String::from_utf8(URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap();
            let swapped = format!("{}.{rest}", encode(header.replace(algorithm.name(), other.name())));
            let compact = Compact::parse(&swapped).unwrap();
            assert_eq!(compact.verify(signer.public()), Err(JoseError::Signature));
            assert_eq!(compact.verify(same_numbers.public()), Err(JoseError::Signature));
        }
    }

    /// RFC 8725 section 3.14: the compact form, and one spelling of it.
    #[test]
    fn rfc8725_3_14_nothing_but_the_compact_form() {
        let good = key().sign("at+jwt", "k", b"{}").unwrap();
        let (signed, signature) = good.rsplit_once('.').unwrap();
        let (header, payload) = signed.split_once('.').unwrap();
        for bad in [
            String::new(),
            "..".into(),
            "...".into(),
            header.into(),
            signed.into(),
            format!("{signed}."),
            format!(".{payload}.{signature}"),
            format!("{header}..{signature}"),
            format!("{good}."),
            format!(".{good}"),
            format!("{good}.{payload}.{payload}"),
            format!(" {good}"),
            format!("{good}\n"),
            format!("{header}. {payload}.{signature}"),
            format!("{good}="),
            format!("{header}.{payload}=.{signature}"),
            format!("{header}.{payload}.{}", signature.replace(['-', '_'], "+").replacen(|_| true, "/", 1)),
            format!("Bearer {good}"),
            format!("{{\"payload\":\"{payload}\",\"protected\":\"{header}\",\"signature\":\"{signature}\"}}"),
        ] {
            assert!(Compact::parse(&bad).is_err(), "{bad}");
        }
        assert!(Compact::parse(&good).is_ok());
    }

    #[test]
    fn rfc4648_3_5_bits_that_encode_nothing_must_be_zero() {
        let good = key().sign("at+jwt", "k", b"{}").unwrap();
        // 64 bytes leave two letters with four bits each, of which the last has two to spare.
        for spare in ["B", "R", "h", "x"] {
            let altered = format!("{}{spare}", &good[..good.len() - 1]);
            assert_eq!(Compact::parse(&altered).unwrap_err(), JoseError::Form);
        }
    }

    #[test]
    fn nothing_is_done_with_what_is_too_long() {
        let long = format!("{}.{}.{}", encode("{}"), "A".repeat(Compact::MAX_BYTES), encode([1; 64]));
        assert_eq!(Compact::parse(&long).unwrap_err(), JoseError::TooLong);
        let header = json!({"alg": "ES256", "pad": "x".repeat(4000)}).to_string();
        assert_eq!(with_header(&header), Err(JoseError::Form));
    }

    #[test]
    fn rfc8725_3_1_algorithms_by_their_exact_names_only() {
        for name in
            ["none", "None", "NONE", "nOnE", "", " ", "HS256", "HS512", "ES384", "ES512", "RS512", "es256", "ES256 "]
        {
            assert_eq!(with_header(&json!({ "alg": name }).to_string()), Err(JoseError::Algorithm), "{name}");
        }
        for header in ["{}", r#"{"alg":null}"#, r#"{"alg":1}"#, r#"{"alg":["ES256"]}"#, r#"{"alg":{"a":"ES256"}}"#] {
            assert_eq!(with_header(header), Err(JoseError::Algorithm), "{header}");
        }
    }

    #[test]
    fn rfc7515_4_1_11_what_would_have_to_be_understood_is_refused() {
        for member in [
            r#""crit":["exp"]"#,
            r#""crit":[]"#,
            r#""b64":false"#,
            r#""b64":true"#,
            r#""zip":"DEF""#,
            r#""enc":"A256GCM""#,
            r#""p2c":2147483647"#,
        ] {
            let refused = with_header(&format!(r#"{{"alg":"ES256",{member}}}"#));
            assert!(matches!(refused, Err(JoseError::Header(_))), "{member}");
        }
        let with_keys = r#"{"alg":"ES256","jku":"https://x","x5u":"https://x","x5c":["x"],"x5t":"x","cty":"JWT"}"#;
        assert_eq!(with_header(with_keys), Ok(()), "brought along, and looked at by nobody");
    }

    #[test]
    fn headers_that_two_readers_could_read_differently_are_refused() {
        for header in [
            r#"{"alg":"ES256","alg":"ES256"}"#,
            r#"{"alg":"ES256","\u0061lg":"none"}"#,
            r#"{"alg":"ES256","x":{"a":1,"a":2}}"#,
            r#"["ES256"]"#,
            r#""ES256""#,
            r#"{"alg":"ES256"} {}"#,
            r#"{"alg":"ES256","typ":1}"#,
            r#"{"alg":"ES256","typ":null}"#,
            r#"{"alg":"ES256","kid":7}"#,
            r#"{"alg":"ES256","kid":null}"#,
            r#"{"alg":"ES256","kid":["a"]}"#,
            "",
        ] {
            assert!(with_header(header).is_err(), "{header}");
        }
        let kid = |length| json!({"alg": "ES256", "kid": "k".repeat(length)}).to_string();
        assert_eq!(with_header(&kid(Compact::MAX_KID_BYTES)), Ok(()));
        assert_eq!(with_header(&kid(Compact::MAX_KID_BYTES + 1)), Err(JoseError::Header("kid")));
        let deep = |levels: usize| format!(r#"{{"alg":"ES256","x":{}1{}}}"#, "[".repeat(levels), "]".repeat(levels));
        assert_eq!(with_header(&deep(Compact::MAX_DEPTH - 1)), Ok(()));
        assert!(with_header(&deep(Compact::MAX_DEPTH)).is_err());
    }

    #[test]
    fn rfc7515_4_1_9_typ_is_a_media_type() {
        let is = |typ: &str| {
            let header = json!({"alg": "ES256", "typ": typ}).to_string();
            let text = format!("{}.{}.{}", encode(header), encode("{}"), encode([1; 64]));
            Compact::parse(&text).unwrap().header().is_typ("at+jwt")
        };
        for same in ["at+jwt", "AT+JWT", "At+Jwt", "application/at+jwt", "APPLICATION/AT+JWT"] {
            assert!(is(same), "{same}");
        }
        for other in
            ["", "JWT", "jwt", "at+jwt ", "at jwt", "text/at+jwt", "application/", "application/application/at+jwt"]
        {
            assert!(!is(other), "{other}");
        }
    }

    /// RFC 7518 section 3.4: 64 bytes, no DER; and neither of the two numbers is zero.
    #[test]
    fn rfc7518_3_4_an_ecdsa_signature_is_two_numbers_of_32_bytes_and_neither_is_zero() {
        let key = key();
        let text = key.sign("at+jwt", "k", b"{}").unwrap();
        let (signed, signature) = text.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let verifies = |signature: &[u8]| {
            Compact::parse(&format!("{signed}.{}", encode(signature))).unwrap().verify(key.public()).is_ok()
        };
        assert!(verifies(&signature));
        let integer = |number: &[u8]| [&[2, 33, 0], number].concat();
        let der = [&[0x30, 70][..], &integer(&signature[..32]), &integer(&signature[32..])].concat();
        let zero_r = [&[0; 32], &signature[32..]].concat();
        let zero_s = [&signature[..32], &[0; 32]].concat();
        for bad in [&der[..], &zero_r, &zero_s, &[0; 64], &[0], &signature[..63], &[&signature[..], &[0]].concat()] {
            assert!(!verifies(bad), "{bad:?}");
        }
    }

    #[test]
    fn rfc7519_2_numeric_dates_are_whole_and_exact() {
        let date = |value: &str| {
            let claims: Map<String, Value> = serde_json::from_str(&format!(r#"{{"exp":{value}}}"#)).unwrap();
            numeric_date(&claims, "exp")
        };
        assert_eq!(date("0"), Ok(Some(0)));
        assert_eq!(date("9007199254740992"), Ok(Some(1 << 53)));
        assert_eq!(numeric_date(&Map::new(), "exp"), Ok(None));
        for bad in ["-1", "-0", "1.0", "1.5", "1e3", "9007199254740993", "\"1\"", "null", "true", "[1]", "{}"] {
            assert_eq!(date(bad), Err(JoseError::Claims("exp")), "{bad}");
        }
    }

    #[test]
    fn a_text_is_never_printed() {
        let text = key().sign("at+jwt", "k", br#"{"sub":"alice"}"#).unwrap();
        assert_eq!(format!("{:?}", Compact::parse(&text).unwrap()), "Compact(redacted)");
    }

    proptest! {
        #[test]
        fn no_text_makes_reading_panic(text in any::<String>(), parts in "[A-Za-z0-9_-]{0,40}(\\.[A-Za-z0-9_-]{0,40}){0,4}") {
            let _ = Compact::parse(&text);
            let _ = Compact::parse(&parts);
        }

        #[test]
        fn any_changed_character_is_noticed(position in any::<prop::sample::Index>(), with in "[A-Za-z0-9_.-]") {
            let key = key();
            let text = key.sign("at+jwt", "k", br#"{"sub":"u","exp":1}"#).unwrap();
            let position = position.index(text.len());
            let mut altered = text.clone();
            altered.replace_range(position..=position, &with);
            prop_assume!(altered != text);
            let taken = Compact::parse(&altered).and_then(|compact| compact.verify(key.public()));
            prop_assert!(taken.is_err());
        }
    }
}
