//! The proof that `kill -9` loses nothing over Redis that was acknowledged, whether it meets the node, Redis, or both.
//!
//! In Redis, rotating takes two steps: the access token is put in, then the grant goes from one refresh token to the
//! next. The node that has done one of them may be killed before the other, and so may Redis. Many clients refresh and
//! revoke over HTTP against the built program, until a kill at a random moment. Once all is up again, of each grant
//!
//! - the refresh token that was acknowledged last works, and its predecessor does not;
//! - where a refresh was under way, its refresh token works or its successor does: never neither, never both;
//!
//! and every token whose revocation was acknowledged is inactive, now and after all later kills.
//!
//! What became of a refresh under way is found out in two ways: by asking again within the time of grace, as a client
//! would, and by reading the store, where there is no grace.

use std::collections::HashSet;
use std::env;
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::time::{Duration, Instant};

use introspectd::token::codec;
use introspectd::token::digest::{GrantId, TokenDigest};
use introspectd::token::keyring::{Candidates, Key, KeyId, KeyRing};
use introspectd::token::value::Presented;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::support::PATIENCE;
use crate::support::api::{Answer, Api};
use crate::support::life::{Pair, expect_invalid_grant, refreshing};
use crate::support::node::{AUDIENCE, OPERATOR};
use crate::support::program::Program;
use crate::support::redis::{PREFIX, RedisServer};

/// How often something is killed: some seconds' worth. `INTROSPECTD_TEST_FULL=1` asks for minutes.
const ROUNDS: u64 = 20;
const FULL_ROUNDS: u64 = 300;
/// Clients that refresh, each a grant of its own, and clients that revoke, all at the same time.
const REFRESHING: usize = 8;
const REVOKING: usize = 2;

const SECRET: &str = "the digest key of the proof, 32 bytes";
/// The application that all tokens are issued to.
const APP: (&str, &str) = ("app", "app-secret-of-the-proof");

/// How it is found out what became of a refresh that nobody was told the end of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inquiry {
    /// The refresh token is sent again.
    Grace,
    /// The grant is read from the store.
    Store,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_killed_a_refresh_may_be_sent_again_within_grace() {
    prove(Inquiry::Grace).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_killed_either_a_refresh_token_works_or_its_successor() {
    prove(Inquiry::Store).await;
}

async fn prove(inquiry: Inquiry) {
    let rounds = if env::var("INTROSPECTD_TEST_FULL").is_ok_and(|value| value == "1") { FULL_ROUNDS } else { ROUNDS };
    let begun = Instant::now();
    let mut site = Site::start(inquiry).await;
    let mut tally = Tally::default();
    let mut families = Vec::new();
    for _ in 0..REFRESHING {
        families.push(Family::issue(&site.api()).await);
    }
    let mut all_ended = Vec::new();
    for _ in 0..rounds {
        let mut ended = site.live_through(&mut families, &mut tally).await;
        let api = site.api();
        for ended in &mut ended {
            ended.verify(&api, &mut tally).await;
        }
        for family in &mut families {
            match inquiry {
                Inquiry::Grace => family.ask_again(&api, &mut tally).await,
                Inquiry::Store => family.look_up(&site, &mut tally).await,
            }
        }
        all_ended.extend(ended);
    }
    let api = site.api();
    for ended in &mut all_ended {
        ended.verify(&api, &mut tally).await;
    }
    if inquiry == Inquiry::Store {
        tally.cut = Some(site.unknown_access_tokens(&families).await);
        for family in &families {
            family.ends_when_used_twice(&api).await;
        }
    }
    say(&format!(
        "proof: kill -9 over Redis, {}: {rounds} rounds in {:.1} s: {tally}: 0 lost, 0 with neither refresh token or both",
        match inquiry {
            Inquiry::Grace => "asked again within grace",
            Inquiry::Store => "read from the store, no grace",
        },
        begun.elapsed().as_secs_f64()
    ));
    let acknowledged = (tally.refreshes, tally.revocations);
    assert!(acknowledged.0 > rounds && acknowledged.1 > rounds, "too little happened to mean anything: {tally}");
}

fn say(line: &str) {
    // Past the harness, which keeps what a test that passes has said.
    std::io::Write::write_all(&mut std::io::stderr(), format!("{line}\n").as_bytes()).expect("somebody listens");
}

/// A number that nobody can foresee. The moments of kills could not be repeated by a seed: what they meet is up to the
/// machine.
fn random(below: u64) -> u64 {
    RandomState::new().hash_one(below) % below
}

fn key_ring() -> KeyRing {
    let id = KeyId::from_bytes(b"t1").unwrap();
    KeyRing::new(Key::derive(id, SECRET.as_bytes()).unwrap(), vec![], false).unwrap()
}

fn digest(token: &str) -> TokenDigest {
    match key_ring().recognise(Presented::new(token)) {
        Candidates::One(digest) | Candidates::Refresh { digest, .. } => digest,
        other => panic!("{other:?}"),
    }
}

/// What was seen over all rounds.
#[derive(Default)]
struct Tally {
    kills_of_redis: u64,
    kills_of_nodes: u64,
    refreshes: u64,
    revocations: u64,
    under_way: u64,
    under_way_and_done: u64,
    revoking_under_way: u64,
    revoking_under_way_and_done: u64,
    comparisons: u64,
    cut: Option<usize>,
}

impl fmt::Display for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} kills of Redis and {} of the node (some of both at once), {} refreshes and {} revocations acknowledged, \
             {} refreshes not acknowledged (of which {} were done",
            self.kills_of_redis,
            self.kills_of_nodes,
            self.refreshes,
            self.revocations,
            self.under_way,
            self.under_way_and_done,
        )?;
        if let Some(cut) = self.cut {
            write!(formatter, ", {cut} cut between their two steps")?;
        }
        write!(
            formatter,
            "), {} revocations not acknowledged (of which {} were done), {} comparisons",
            self.revoking_under_way, self.revoking_under_way_and_done, self.comparisons
        )
    }
}

// === what is killed ===

/// A Redis that keeps what it acknowledges, and a node.
struct Site {
    redis: RedisServer,
    program: Program,
    variables: Vec<(&'static str, String)>,
}

impl Site {
    async fn start(inquiry: Inquiry) -> Self {
        let redis = RedisServer::start_with(&["--appendonly", "yes", "--appendfsync", "always"]).await;
        let operator = json!([{
            "client_id": OPERATOR.0, "client_secret": OPERATOR.1,
            "rights": ["introspect", "revoke", "issue", "admin"]
        }]);
        let variables = vec![
            ("INTROSPECTD_REDIS__URL", redis.url()),
            ("INTROSPECTD_REDIS__RESPONSE_TIMEOUT", "5s".to_owned()),
            ("INTROSPECTD_ISSUER", "https://as.example.com".to_owned()),
            ("INTROSPECTD_KEYS__DIGEST", json!([{"id": "t1", "secret": SECRET}]).to_string()),
            ("INTROSPECTD_CLIENTS", operator.to_string()),
            // None may expire while the proof goes on.
            ("INTROSPECTD_TOKENS__ACCESS_LIFETIME", "2h".to_owned()),
            ("INTROSPECTD_TOKENS__REFRESH_GRACE", if inquiry == Inquiry::Grace { "30s" } else { "0s" }.to_owned()),
        ];
        let program = Self::launch(&variables);
        let site = Self { redis, program, variables };
        let mut app = refreshing();
        (app["client_id"], app["client_secret"]) = (json!(APP.0), json!(APP.1));
        let created = site.api().admin(OPERATOR, "POST", "/admin/clients", Some(app)).await;
        assert_eq!(created.status, 201, "{}", created.body);
        site
    }

    fn launch(variables: &[(&'static str, String)]) -> Program {
        let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        Program::serve(&[], &variables)
    }

    /// A client with connections of its own.
    fn api(&self) -> Api {
        self.program.api().clone()
    }

    /// Lets clients refresh and revoke until a kill at a random moment, and brings everything up again. Gives what was
    /// to be revoked meanwhile.
    async fn live_through(&mut self, families: &mut Vec<Family>, tally: &mut Tally) -> Vec<Ended> {
        let mut refreshing = JoinSet::new();
        for family in families.drain(..) {
            refreshing.spawn(family.refresh_until_killed(self.api()));
        }
        let mut revoking = JoinSet::new();
        for _ in 0..REVOKING {
            revoking.spawn(revoke_until_killed(self.api()));
        }
        sleep(Duration::from_micros(20_000 + random(130_000))).await;
        let (of_redis, of_node) = [(true, false), (false, true), (true, true)][usize::try_from(random(3)).unwrap()];
        if of_redis {
            self.redis.kill();
            tally.kills_of_redis += 1;
        }
        if of_node {
            self.program.kill();
            tally.kills_of_nodes += 1;
        }
        let all = async { (refreshing.join_all().await, revoking.join_all().await) };
        let (refreshed, revoked) = timeout(PATIENCE, all).await.expect("every client notices that something is gone");
        for (family, acknowledged) in refreshed {
            tally.refreshes += acknowledged;
            families.push(family);
        }
        if of_redis {
            self.redis.launch().await;
        }
        if of_node {
            self.program = Self::launch(&self.variables);
        }
        let ended: Vec<Ended> = revoked.into_iter().flatten().collect();
        tally.revocations += u64::try_from(ended.iter().filter(|ended| ended.acknowledged).count()).unwrap();
        ended
    }

    /// How many access tokens of these grants nobody was given and no grant knows of: each is left of a rotation that
    /// did not get to its second step.
    async fn unknown_access_tokens(&self, families: &[Family]) -> usize {
        let known: HashSet<TokenDigest> = families.iter().flat_map(|family| family.accesses.iter().copied()).collect();
        let grants: HashSet<GrantId> = families.iter().map(|family| family.id).collect();
        let (mut unknown, mut cursor) = (HashSet::new(), "0".to_owned());
        let start = format!("{PREFIX}t:{{");
        loop {
            let (next, page): (String, Vec<String>) =
                self.redis.command(&["SCAN", &cursor, "MATCH", &format!("{start}*"), "COUNT", "1000"]).await;
            for key in page {
                let name = key.strip_prefix(&start).and_then(|rest| rest.strip_suffix('}')).unwrap();
                let digest = TokenDigest::from_text(name).unwrap();
                let stored: Vec<u8> = self.redis.command(&["GET", &key]).await;
                let grant = codec::decode(&stored).unwrap().grant;
                if grant.is_some_and(|grant| grants.contains(&grant.id)) && !known.contains(&digest) {
                    unknown.insert(digest);
                }
            }
            if next == "0" {
                return unknown.len();
            }
            cursor = next;
        }
    }
}

// === calls ===

/// The answer to a request that may be cut off; `None` when it cannot be said whether it was done.
async fn attempt(request: reqwest::RequestBuilder) -> Option<(u16, Value)> {
    let response = request.send().await.ok()?;
    let status = response.status().as_u16();
    let body = response.bytes().await.ok()?;
    (status != 503).then(|| (status, serde_json::from_slice(&body).unwrap_or(Value::Null)))
}

/// The first answer of a service that is coming up.
async fn answered(call: impl AsyncFn() -> Answer) -> Answer {
    let begun = Instant::now();
    loop {
        let answer = call().await;
        if answer.status != 503 {
            return answer;
        }
        assert!(begun.elapsed() < PATIENCE, "it does not come up: {answer:?}");
        sleep(Duration::from_millis(10)).await;
    }
}

async fn is_active(api: &Api, token: &str) -> bool {
    let answer = answered(async || api.introspect(APP, token).await).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["active"].as_bool().unwrap()
}

fn refresh(api: &Api, token: &str) -> reqwest::RequestBuilder {
    let form = [("grant_type", "refresh_token"), ("refresh_token", token)];
    api.request("POST", &api.url("/token")).basic_auth(APP.0, Some(APP.1)).form(&form)
}

fn operate(api: &Api, path: &str, body: &Value) -> reqwest::RequestBuilder {
    let request = api.request("POST", &api.admin_url(path)).basic_auth(OPERATOR.0, Some(OPERATOR.1));
    request.header("content-type", "application/json").body(body.to_string())
}

fn issue(api: &Api, members: Value) -> reqwest::RequestBuilder {
    let mut body = json!({"client_id": APP.0, "scope": "read write", "aud": AUDIENCE});
    body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    operate(api, "/admin/tokens", &body)
}

// === refreshing ===

/// A grant, as its client knows it.
struct Family {
    id: GrantId,
    /// The refresh token that was acknowledged last.
    current: String,
    /// The one before it.
    spent: Option<String>,
    /// The access token that was acknowledged last.
    access: String,
    /// Every access token that anybody knows of.
    accesses: Vec<TokenDigest>,
    /// Whether `current` was sent, and no answer came.
    under_way: bool,
}

impl Family {
    async fn issue(api: &Api) -> Self {
        let issued = api.send(issue(api, json!({"refresh": true}))).await.json();
        let pair = Pair::of(&issued);
        let id = GrantId::from_text(issued["grant_id"].as_str().unwrap()).unwrap();
        let accesses = vec![digest(&pair.access)];
        Self { id, current: pair.refresh, spent: None, access: pair.access, accesses, under_way: false }
    }

    /// The refresh token that takes the place of the current one.
    fn successor(&self) -> (String, TokenDigest) {
        let (value, digest) = key_ring().successor(Presented::new(&self.current), self.id);
        (value.expose().to_owned(), digest)
    }

    fn advance(&mut self, pair: Pair) {
        assert_eq!(pair.refresh, self.successor().0, "there is one successor");
        self.spent = Some(std::mem::replace(&mut self.current, pair.refresh));
        self.accesses.push(digest(&pair.access));
        self.access = pair.access;
    }

    /// Refreshes until an answer fails to come; with how often one came.
    async fn refresh_until_killed(mut self, api: Api) -> (Self, u64) {
        let mut acknowledged = 0;
        while let Some((status, body)) = attempt(refresh(&api, &self.current)).await {
            assert_eq!(status, 200, "the refresh token acknowledged last does not work: {body}");
            self.advance(Pair::of(&body));
            acknowledged += 1;
        }
        self.under_way = true;
        (self, acknowledged)
    }

    /// Whether the current refresh token works and its successor does not, or the other way round.
    async fn has_gone_on(&self, api: &Api, tally: &mut Tally) -> bool {
        assert!(is_active(api, &self.access).await, "an access token that was acknowledged is lost");
        if let Some(spent) = &self.spent {
            assert!(!is_active(api, spent).await, "a refresh token works whose successor was acknowledged");
        }
        let alive = (is_active(api, &self.current).await, is_active(api, &self.successor().0).await);
        tally.comparisons += 4;
        match alive {
            (true, false) => false,
            (false, true) if self.under_way => true,
            _ => panic!("under way: {}; the refresh token and its successor: {alive:?}", self.under_way),
        }
    }

    async fn ask_again(&mut self, api: &Api, tally: &mut Tally) {
        let gone_on = self.has_gone_on(api, tally).await;
        tally.under_way += 1;
        tally.under_way_and_done += u64::from(gone_on);
        let answer = answered(async || api.send(refresh(api, &self.current)).await).await;
        assert_eq!(answer.status, 200, "neither works: {answer:?}");
        self.advance(Pair::of(&answer.json()));
        self.under_way = false;
        assert!(!self.has_gone_on(api, tally).await);
    }

    async fn look_up(&mut self, site: &Site, tally: &mut Tally) {
        let gone_on = self.has_gone_on(&site.api(), tally).await;
        let store = site.redis.store().await;
        let kept = store.grant(self.id).await.unwrap().expect("a grant is lost");
        let (successor, successor_digest) = self.successor();
        assert_eq!(kept.current, if gone_on { successor_digest } else { digest(&self.current) });
        // No refresh token works whose access token is not there.
        assert!(store.token(&[kept.access]).await.unwrap().is_some(), "half of a rotation is lost");
        tally.under_way += 1;
        if gone_on {
            tally.under_way_and_done += 1;
            self.spent = Some(std::mem::replace(&mut self.current, successor));
            self.accesses.push(kept.access);
        }
        self.under_way = false;
    }

    /// What was spent is known as such whatever happened since.
    async fn ends_when_used_twice(&self, api: &Api) {
        assert!(is_active(api, &self.current).await);
        let spent = self.spent.as_ref().expect("it was refreshed");
        expect_invalid_grant(&answered(async || api.send(refresh(api, spent)).await).await);
        for token in [&self.current, &self.access] {
            assert!(!is_active(api, token).await);
        }
    }
}

// === revoking ===

/// A way to end tokens.
#[derive(Clone, Debug)]
enum Way {
    /// The token alone, which belongs to no grant.
    Token,
    /// The whole grant, by its refresh token.
    Grant,
    /// All tokens of a user.
    User(String),
}

/// Tokens that are to end together.
struct Ended {
    way: Way,
    tokens: Vec<String>,
    acknowledged: bool,
}

impl Ended {
    fn revoke(&self, api: &Api) -> reqwest::RequestBuilder {
        match &self.way {
            Way::User(sub) => operate(api, "/admin/revocations", &json!({"sub": sub})),
            Way::Token | Way::Grant => {
                let form = [("token", self.tokens.last().expect("at least one"))];
                api.request("POST", &api.url("/revoke")).basic_auth(APP.0, Some(APP.1)).form(&form)
            }
        }
    }

    /// They have all ended; or, when that was not acknowledged, all or none, and now they do.
    async fn verify(&mut self, api: &Api, tally: &mut Tally) {
        let mut alive = 0;
        for token in &self.tokens {
            alive += usize::from(is_active(api, token).await);
            tally.comparisons += 1;
        }
        if self.acknowledged {
            assert_eq!(alive, 0, "a revocation that was acknowledged is lost: {:?}", self.way);
            return;
        }
        assert!(alive == 0 || alive == self.tokens.len(), "half revoked: {:?}", self.way);
        tally.revoking_under_way += 1;
        tally.revoking_under_way_and_done += u64::from(alive == 0);
        let answer = answered(async || api.send(self.revoke(api)).await).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        for token in &self.tokens {
            assert!(!is_active(api, token).await);
        }
        self.acknowledged = true;
        tally.revocations += 1;
    }
}

/// Issues tokens and revokes them until an answer fails to come.
async fn revoke_until_killed(api: Api) -> Vec<Ended> {
    let mut all = Vec::new();
    loop {
        let (way, members) = match random(3) {
            0 => (Way::Token, json!({})),
            1 => (Way::Grant, json!({"refresh": true})),
            _ => {
                let sub = format!("user {}", random(u64::MAX));
                (Way::User(sub.clone()), json!({"refresh": true, "sub": sub}))
            }
        };
        let Some((status, issued)) = attempt(issue(&api, members)).await else { return all };
        assert_eq!(status, 201, "{issued}");
        let tokens = ["access_token", "refresh_token"].map(|name| issued[name].as_str().map(str::to_owned));
        let tokens = tokens.into_iter().flatten().collect();
        let mut ended = Ended { way, tokens, acknowledged: false };
        let answer = attempt(ended.revoke(&api)).await;
        assert!(answer.as_ref().is_none_or(|(status, _)| *status == 200), "{answer:?}");
        ended.acknowledged = answer.is_some();
        all.push(ended);
        if answer.is_none() {
            return all;
        }
    }
}
