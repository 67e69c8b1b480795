//! `[accounts]`.

use std::time::Duration;

use super::clients::{read_format, repeated};
use super::{DAY, MINUTE};
use crate::client::{AuthenticationMethod, ClientId, metadata};
use crate::config::reader::Reader;
use crate::config::{
    AccountsConfig, DeclaredClient, Delivery, FirstPartyClient, Registration, TokensConfig, WebOrigin,
};
use crate::token::scope::Scope;
use crate::token::time::UnixSeconds;
use crate::user::hash::HashParameters;

/// NIST SP 800-63B-4 section 3.1.1.2 for a password that is the only factor.
const PASSWORD_MIN_LENGTH: usize = 15;

/// One: each takes a whole core for tens of milliseconds, which introspection should have.
const HASHING_THREADS: usize = 1;

/// At some 20 ms each where the core is free, the last in the queue waits more than a second: more, and its caller has
/// given up.
const HASHING_QUEUE: usize = 64;

/// A person who mistypes gets there in ten tries, a script does not.
const FAILURES_PER_ACCOUNT_AND_SOURCE: u32 = 10;

/// Half of the hundred that NIST SP 800-63B-4 section 3.2.2 allows in a row: beyond it, each waits twice as long.
const FAILURES_PER_ACCOUNT: u32 = 50;

/// Ten people's worth: behind one address may be a whole office.
const FAILURES_PER_SOURCE: u32 = 100;

/// People mistype all day long; more than ten a second is somebody who tries a list.
const FAILURES_PER_MINUTE: u32 = 600;

/// Long enough to make guessing hopeless (96 tries a day), short enough that nobody pages an operator to end it.
const MAX_WAIT: Duration = Duration::from_secs(15 * MINUTE);

/// A classroom that registers at once fits, a script that makes a million accounts does not.
const REGISTRATIONS_PER_HOUR: u32 = 60;

/// More devices than anybody has, and little enough to be read at each login.
const MAX_SESSIONS: usize = 50;

/// The client of a configuration that names none.
const CLIENT: &str = "first-party";

/// The prefix makes browsers refuse such a cookie from anywhere but this host, over TLS, for all of its paths.
const COOKIE: &str = "__Host-refresh_token";

pub(super) fn accounts(reader: &mut Reader<'_>, tokens: &TokensConfig, declared: &[DeclaredClient]) -> AccountsConfig {
    reader.section("accounts", "Users who register and log in here, with a name and a password.", |section| {
        let enabled = section.value("enabled", false, "Whether there are such routes on the public listener.");
        let registration = section.value(
            "registration",
            Registration::Open,
            "`open`: people register themselves; `closed`: operators make their accounts.",
        );
        let clients = clients(section, tokens, declared);
        AccountsConfig {
            enabled,
            registration,
            clients,
            password_min_length: section.within(
                "password_min_length",
                PASSWORD_MIN_LENGTH,
                8..=64,
                "Of passwords that are set from now on, in characters (code points). NIST asks for 15 where a password is all there is.",
            ),
            hash: hash(section),
            hashing_threads: section.within(
                "hashing_threads",
                HASHING_THREADS,
                1..=64,
                "How many passwords may be hashed at once, at a lower priority than all else; each takes `hash_memory_kib`.",
            ),
            hashing_queue: section.within(
                "hashing_queue",
                HASHING_QUEUE,
                0..=65_536,
                "How many more may wait for their turn before callers are answered 503.",
            ),
            failures_per_account_and_source: section.within(
                "failures_per_account_and_source",
                FAILURES_PER_ACCOUNT_AND_SOURCE,
                1..=100,
                "Wrong passwords for one account from one source before it must wait.",
            ),
            failures_per_account: section.within(
                "failures_per_account",
                FAILURES_PER_ACCOUNT,
                1..=100,
                "Wrong passwords for one account from all sources together before those that are new to it must wait.",
            ),
            failures_per_source: section.within(
                "failures_per_source",
                FAILURES_PER_SOURCE,
                1..=1_000_000,
                "Wrong passwords from one source, over all accounts, before it must wait.",
            ),
            failures_per_minute: section.within(
                "failures_per_minute",
                FAILURES_PER_MINUTE,
                1..=1_000_000,
                "Wrong passwords of all accounts from all sources in a minute; beyond it, whoever has not logged in to an \
                 account from there before must wait.",
            ),
            max_wait: section.within(
                "max_wait",
                MAX_WAIT,
                Duration::from_secs(1)..=Duration::from_secs(DAY),
                "The longest that anybody must wait; the wait starts at a second and doubles.",
            ),
            registrations_per_hour: section.within(
                "registrations_per_hour",
                REGISTRATIONS_PER_HOUR,
                0..=60_000,
                "Registrations from one source in an hour; 0 for no limit.",
            ),
            max_sessions: section.within(
                "max_sessions",
                MAX_SESSIONS,
                1..=100,
                "Of one user at the same time; a further login ends the oldest.",
            ),
        }
    })
}

fn hash(section: &mut Reader<'_>) -> HashParameters {
    let usual = HashParameters::default();
    let hash = HashParameters {
        memory_kib: section.within(
            "hash_memory_kib",
            usual.memory_kib,
            7168..=HashParameters::MAX_MEMORY_KIB,
            "Memory of one argon2id hash, in KiB. Passwords are hashed anew at the next login when this rises.",
        ),
        passes: section.within(
            "hash_passes",
            usual.passes,
            1..=HashParameters::MAX_PASSES,
            "Its passes over that memory.",
        ),
        lanes: section.within("hash_lanes", usual.lanes, 1..=HashParameters::MAX_LANES, "Its lanes."),
    };
    if !hash.is_acceptable() {
        let at_fault = if section.is_set("hash_memory_kib") { "hash_memory_kib" } else { "hash_passes" };
        section.reject(
            at_fault,
            "is too little: take at least 47104 KiB with 1 pass, 19456 with 2, 12288 with 3, 9216 with 4 or 7168 with 5",
        );
    }
    hash
}

fn clients(section: &mut Reader<'_>, tokens: &TokensConfig, declared: &[DeclaredClient]) -> Vec<FirstPartyClient> {
    let clients = section.tables(
        "clients",
        "The applications that users log in with, the usual one first; without any, one that is called `first-party`.",
        |element| Some(client(element, tokens)),
    );
    for id in repeated(clients.iter().map(|client| &client.record.client_id)) {
        section.reject("clients", format!("two of them have the client_id {:?}", id.as_str()));
    }
    for id in clients.iter().map(|client| &client.record.client_id) {
        if declared.iter().any(|declared| declared.record.client_id == *id) {
            section.reject("clients", format!("{:?} is declared in [[clients]] too", id.as_str()));
        }
    }
    let cookies = clients.iter().filter(|client| client.delivery == Delivery::Cookie).map(|client| &client.cookie);
    for name in repeated(cookies) {
        section.reject("clients", format!("two of them have the cookie {name:?}: a browser keeps only one of a name"));
    }
    clients
}

impl AccountsConfig {
    /// The applications that users log in with, the usual one first: at least one.
    pub fn first_party_clients(&self) -> Vec<FirstPartyClient> {
        if !self.clients.is_empty() {
            return self.clients.clone();
        }
        let record = record(ClientId::parse(CLIENT).expect("a constant of letters is an identifier"));
        vec![FirstPartyClient { record, delivery: Delivery::Body, origins: vec![], cookie: COOKIE.into() }]
    }
}

/// A client that has no secret, and nothing to ask the token endpoint for: its refresh tokens are exchanged where their
/// users are looked at.
fn record(id: ClientId) -> crate::client::Client {
    let authentication = Some(AuthenticationMethod::None);
    crate::client::Client { authentication, ..metadata::blank(id, UnixSeconds(0)) }
}

fn client(element: &mut Reader<'_>, tokens: &TokensConfig) -> FirstPartyClient {
    let usual = ClientId::parse(CLIENT).expect("a constant of letters is an identifier");
    let mut record = record(element.value("client_id", usual, "Its identifier."));
    record.client_name = element.optional("client_name", "A name for people.");
    record.scope = element.value("scope", Scope::default(), "What its tokens may be used for.");
    let audiences: Vec<String> = element.value("audiences", vec![], "Which APIs its tokens are for (`aud`).");
    if audiences.iter().any(|audience| audience.is_empty() || audience == crate::client::EVERY_AUDIENCE) {
        element.reject("audiences", "must hold neither an empty text nor *");
    }
    record.audiences = audiences.into_iter().map(Into::into).collect();
    read_format(element, tokens, &mut record);
    let delivery = element.value(
        "delivery",
        Delivery::Body,
        "`body`: refresh tokens are a member of the JSON answer; `cookie`: they are a cookie that scripts cannot read.",
    );
    let origins: Vec<WebOrigin> = element.value(
        "origins",
        vec![],
        "The origins of its pages, as `https://app.example.com`: others are kept out. That of the issuer need not be \
         named.",
    );
    let cookie: String = element.value("cookie", COOKIE.into(), "The name of the cookie; it begins with `__Host-`.");
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if !cookie.starts_with("__Host-") || cookie.len() > 64 || cookie == "__Host-" || !cookie.bytes().all(is_token) {
        element.reject("cookie", "must be __Host- with up to 57 letters, digits, -, _ or . behind it");
    }
    FirstPartyClient { record, delivery, origins, cookie: cookie.into() }
}
