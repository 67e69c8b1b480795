//! That the descriptions say all that the code does, and nothing else.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde::de::value::Error;
use serde::de::{self, Deserializer, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::Value;

use super::*;
use crate::admin::{clients, import, keys, revocations, tokens, users};
use crate::client::metadata::{ClientMetadata, blank, view};
use crate::client::{ClientId, is_vschar};
use crate::http::accounts::{login, logout, password, refresh, register};
use crate::http::batch;
use crate::token::time::UnixSeconds;

/// What is described at each path.
fn described(document: &Value) -> BTreeSet<(String, String)> {
    let paths = document["paths"].as_object().unwrap();
    let methods = |item: &Value| item.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let of = |(path, item): (&String, &Value)| {
        let methods = methods(item).into_iter().filter(|name| name != "servers");
        methods.map(|method| (path.clone(), method.to_uppercase())).collect::<Vec<_>>()
    };
    paths.iter().flat_map(of).collect()
}

/// What the routers look up: the methods of a route without those that are described nowhere.
fn looked_up<'a>(routes: impl IntoIterator<Item = (String, &'a str)>) -> BTreeSet<(String, String)> {
    let methods = |allow: &str| {
        let all = allow.split(", ").filter(|method| !["HEAD", "OPTIONS"].contains(method));
        all.map(str::to_owned).collect::<Vec<_>>()
    };
    routes
        .into_iter()
        .flat_map(|(path, allow)| methods(allow).into_iter().map(move |method| (path.clone(), method)))
        .collect()
}

#[test]
fn the_public_description_has_every_route_with_its_methods_and_no_other() {
    let [by_oauth, by_openid] = MetadataDocument::places_of("");
    let mut routes: Vec<(String, &str)> =
        PUBLIC.iter().map(|(path, route)| ((*path).to_owned(), route.allow())).collect();
    routes.extend([by_oauth, by_openid].map(|path| (path, Route::Metadata.allow())));
    let without = Features { accounts: false, forward_auth: false };
    assert_eq!(described(&public(without, "https://as.example")), looked_up(routes.clone()));
    routes.extend(Account::PATHS.iter().map(|(path, route)| ((*path).to_owned(), route.methods().1)));
    // Every method is answered there, and one stands for all.
    routes.extend(["/forward-auth", "/forward-auth/{path}"].map(|path| (path.to_owned(), "GET")));
    assert_eq!(described(&public(Features::ALL, "")), looked_up(routes));
}

#[test]
fn the_admin_description_has_every_route_with_its_methods_and_no_other() {
    let mut routes = Vec::new();
    for (path, filled) in &ADMIN {
        let route = filled([SAMPLE, SAMPLE]).unwrap_or_else(|| panic!("{path} cannot be filled in"));
        routes.push(((*path).to_owned(), route.methods().1));
    }
    assert_eq!(described(&admin()), looked_up(routes));
}

#[test]
fn rfc8414_3_1_an_issuer_with_a_path_has_one_document_above_it() {
    let document = public(Features::ALL, "https://as.example/t1/");
    assert_eq!(document["servers"][0]["url"], "https://as.example/t1");
    let above = &document["paths"]["/.well-known/oauth-authorization-server/t1"];
    assert_eq!(above["servers"][0]["url"], "https://as.example");
    assert!(document["paths"]["/.well-known/openid-configuration"]["servers"].is_null());
}

/// Reads nothing, and notes which members a type wants to read.
struct Noting<'a>(&'a mut Vec<&'static str>);

impl<'de> Deserializer<'de> for Noting<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(de::Error::custom("only objects are noted"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Error> {
        self.0.extend(fields);
        Err(de::Error::custom("noted"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

fn members<'de, T: Deserialize<'de>>() -> BTreeSet<String> {
    let mut fields = Vec::new();
    assert!(T::deserialize(Noting(&mut fields)).is_err());
    fields.into_iter().map(str::to_owned).collect()
}

fn properties(document: &Value, name: &str) -> BTreeSet<String> {
    let schema = &document["components"]["schemas"][name];
    schema["properties"].as_object().unwrap_or_else(|| panic!("{name} is not described")).keys().cloned().collect()
}

#[test]
fn objects_that_are_read_have_the_members_of_their_types() {
    let (public, admin) = (public(Features::ALL, ""), admin());
    for (document, name, members) in [
        (&public, "BatchQuestion", members::<batch::Question<'_>>()),
        (&public, "Registration", members::<register::Body>()),
        (&public, "Login", members::<login::Body>()),
        (&public, "Refresh", members::<refresh::Body>()),
        (&public, "Logout", members::<logout::Body>()),
        (&public, "PasswordChange", members::<password::Body>()),
        (&admin, "IssueRequest", members::<tokens::IssueRequest>()),
        (&admin, "ImportQuestion", members::<import::Question<'_>>()),
        (&admin, "TokenReference", members::<revocations::TokenRequest>()),
        (&admin, "BulkRevocation", members::<revocations::BulkRequest>()),
        (&admin, "SecretRotation", members::<clients::RotateRequest>()),
        (&admin, "KeyRotation", members::<keys::RotateRequest>()),
        (&admin, "NewUser", members::<users::NewUserBody>()),
        (&admin, "NewPassword", members::<users::PasswordBody>()),
        (&admin, "ClientMetadata", members::<ClientMetadata>()),
    ] {
        assert_eq!(properties(document, name), members, "{name}");
        let open = name == "ClientMetadata";
        let schema = &document["components"]["schemas"][name];
        assert_eq!(schema["additionalProperties"].is_null(), open, "{name}");
    }
    let own: BTreeSet<String> =
        properties(&admin, "NewClient").difference(&properties(&admin, "ClientMetadata")).cloned().collect();
    assert_eq!(own, BTreeSet::from(["client_id".to_owned(), "client_secret".to_owned()]));
}

/// Every type of those closes itself: one that did not would be described as stricter than it is.
#[test]
fn closed_objects_are_refused_with_a_member_too_many() {
    fn refuses<T: for<'de> Deserialize<'de>>() -> bool {
        let error = serde_json::from_str::<T>(r#"{"no_such_member":1}"#).err();
        error.is_some_and(|error| error.to_string().contains("unknown field"))
    }
    assert!(serde_json::from_str::<batch::Question<'_>>(r#"{"no_such_member":1}"#).is_err());
    for refuses in [
        refuses::<register::Body>(),
        refuses::<login::Body>(),
        refuses::<refresh::Body>(),
        refuses::<logout::Body>(),
        refuses::<password::Body>(),
        refuses::<tokens::IssueRequest>(),
        refuses::<revocations::TokenRequest>(),
        refuses::<revocations::BulkRequest>(),
        refuses::<clients::RotateRequest>(),
        refuses::<keys::RotateRequest>(),
        refuses::<users::NewUserBody>(),
        refuses::<users::PasswordBody>(),
    ] {
        assert!(refuses);
    }
}

#[test]
fn forms_have_the_parameters_that_are_known_and_no_other() {
    let document = public(Features::ALL, "");
    let forms = ["IntrospectionForm", "RevocationForm", "TokenForm"].map(|name| properties(&document, name));
    let described: BTreeSet<String> = forms.into_iter().flatten().collect();
    assert_eq!(described, crate::form::names().map(str::to_owned).collect());
}

#[test]
fn a_client_is_shown_as_it_is_described() {
    let document = admin();
    let schema = &document["components"]["schemas"]["Client"];
    let required: BTreeSet<String> = serde_json::from_value(schema["required"].clone()).unwrap();
    let id = ClientId::parse("app").unwrap();
    let mut client = blank(id, UnixSeconds(1));
    let least: BTreeSet<String> = view(&client, false).into_iter().map(|(name, _)| name).collect();
    assert_eq!(least, required);
    let metadata = serde_json::json!({
        "client_name": "App", "token_endpoint_auth_method": "tls_client_auth", "access_token_lifetime": 1,
        "refresh_token_lifetime": 1, "refresh_token_idle_lifetime": 1, "access_token_signing_alg": "ES256",
        "introspection_signed_response_alg": "ES256", "token_endpoint_auth_signing_alg": "EdDSA",
        "tls_client_auth_san_dns": "app.example.com",
        "jwks": {"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]},
    });
    serde_json::from_value::<ClientMetadata>(metadata).unwrap().apply(&mut client).unwrap();
    let most: BTreeSet<String> = view(&client, false).into_iter().map(|(name, _)| name).collect();
    let known = properties(&document, "Client");
    assert!(most.is_subset(&known), "{:?}", most.difference(&known));
}

/// A JSON pointer to something that is not there would be noticed by nobody but the reader.
#[test]
fn everything_that_is_referred_to_is_there_and_used() {
    for document in [public(Features::ALL, ""), admin()] {
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        for pointer in &found {
            assert!(document.pointer(pointer.trim_start_matches('#')).is_some(), "{pointer}");
        }
        for name in document["components"]["schemas"].as_object().unwrap().keys() {
            assert!(found.contains(&format!("#/components/schemas/{name}")), "nobody uses {name}");
        }
        let mut operations = BTreeSet::new();
        for item in document["paths"].as_object().unwrap().values() {
            for id in item.as_object().unwrap().values().filter_map(|operation| operation["operationId"].as_str()) {
                assert!(operations.insert(id.to_owned()), "{id} is there twice");
            }
        }
    }
}

fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            found.extend(members.get("$ref").and_then(Value::as_str).map(str::to_owned));
            members.values().for_each(|value| references(value, found));
        }
        Value::Array(elements) => elements.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

/// Every text is one that a table of Markdown can hold, and that each header of HTTP can.
#[test]
fn meanings_are_sentences_on_one_line() {
    for document in [public(Features::ALL, ""), admin()] {
        for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
            for (member, schema) in schema["properties"].as_object().unwrap() {
                let text = schema["description"].as_str().unwrap_or_default();
                assert!(text.ends_with('.') && !text.contains('|') && is_vschar(text), "{name}.{member}: {text}");
            }
        }
    }
}
