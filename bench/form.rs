//! What reading a request costs before its token is looked at: the form, and Basic credentials.

mod support;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use introspectd::auth::credentials::{BasicPair, BodyCredentials, Credentials};
use introspectd::form::{self, Form, Parameter};

use support::keys;

fn parse(criterion: &mut Criterion) {
    let (value, _) = keys(1).mint().expect("there is randomness");
    let token = value.expose();
    let escaped = "header.payload+with/base64==".repeat(8);
    let scenarios = [
        ("token alone", format!("token={token}"), token),
        ("token and hint", format!("token={token}&token_type_hint=access_token"), token),
        ("secret in the body", format!("client_id=rs&client_secret={}&token={token}", "s".repeat(43)), token),
        ("escaped token", format!("token={}", form::encode(&escaped)), &*escaped),
        ("thirty unknown parameters", "unknown=value&".repeat(30) + "token=" + token, token),
    ];
    let mut group = criterion.benchmark_group("form/parse");
    for (name, body, expected) in &scenarios {
        group.throughput(Throughput::Bytes(body.len().try_into().expect("a length fits")));
        group.bench_function(*name, |bencher| {
            bencher.iter(|| {
                let form = Form::parse(black_box(body.as_bytes())).expect("it is well-formed");
                assert_eq!(form.get(Parameter::Token), Some(*expected));
            });
        });
    }
    group.finish();
}

/// From the header to the one or two ways to read it.
fn credentials(criterion: &mut Criterion) {
    let secret = "q3hGv0yK5nU8cVtBz1dRf7wXp2mJ4sLa9eTi6oYb_-A";
    // `rs:50%-off`, not encoded as the RFC wants it: about half of all clients leave that out.
    let unencoded = "cnM6NTAlLW9mZg==";
    let scenarios = [
        ("usual", BasicPair::encode("rs", secret), "rs", secret),
        (
            "encoded",
            BasicPair::encode("https://rs.example.com/", "a secret: 50%"),
            "https://rs.example.com/",
            "a secret: 50%",
        ),
        ("not encoded", unencoded.to_owned(), "rs", "50%-off"),
    ];
    let mut group = criterion.benchmark_group("form/basic");
    for (name, pair, id, secret) in &scenarios {
        let mut headers = HeaderMap::new();
        let value = HeaderValue::try_from(format!("Basic {pair}")).expect("base64 fits into a header");
        headers.insert(AUTHORIZATION, value);
        group.throughput(Throughput::Elements(1));
        group.bench_function(*name, |bencher| {
            bencher.iter(|| match Credentials::find(black_box(&headers), BodyCredentials::default()) {
                Ok(Credentials::Basic { pair: found, .. }) => {
                    assert!(found.forms().any(|form| form.id == *id && form.secret == *secret));
                }
                other => panic!("{other:?}"),
            });
        });
    }
    group.finish();
}

criterion_group!(benches, parse, credentials);
criterion_main!(benches);
