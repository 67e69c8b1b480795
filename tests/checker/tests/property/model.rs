//! A model that does everything at one moment each, somewhere between the beginning and the end of the request.

use std::collections::{BTreeMap, BTreeSet};

use checker::history::event::{Answer, Change, Introspect, Issue, Outcome, Owner, Target};
use checker::history::fault::Fault;
use checker::history::mode::{Acknowledge, Durability, Mode};
use checker::history::{Event, History, Moment};
use proptest::prelude::*;

/// How many tokens there are at most, and of how many clients, users and grants.
const TOKENS: u8 = 5;
const OWNERS: u8 = 2;
/// Far enough apart for every request of a history that is played one by one to have a time of its own.
const STEP: u64 = 1_000;

/// Whether requests overlap.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Each begins after the last has ended. All are answered.
    OneByOne,
    /// As they like. Some are not answered, and take effect late or never.
    Overlapping,
}

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    what: What,
    node: u16,
    /// How long before its effect it begins, and how long after it ends.
    before: u64,
    after: u64,
    fate: Fate,
}

#[derive(Clone, Debug)]
enum What {
    Issue { token: u8, grant: Option<u8>, expires: u64 },
    Revoke(Vec<Named>),
    Approve(Vec<Named>),
    Bulk { client: Option<u8>, user: Option<u8> },
    Ask(u8),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Named {
    Token(u8),
    Grant(u8),
    Client(u8),
    User(u8),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Answered,
    /// Not answered, and done: after this many steps more than otherwise.
    Late(u64),
    Never,
}

pub(crate) fn request() -> impl Strategy<Value = Request> {
    let owner = || 0..OWNERS;
    let named = || {
        prop_oneof![
            4 => (0..TOKENS).prop_map(Named::Token),
            2 => owner().prop_map(Named::Grant),
            1 => owner().prop_map(Named::Client),
            1 => owner().prop_map(Named::User),
        ]
    };
    let several = || prop::collection::vec(named(), 1..3);
    let issue = (
        0..TOKENS,
        prop::option::of(owner()),
        prop_oneof![9 => Just(u64::MAX), 1 => (0..80_u64).prop_map(|steps| steps * STEP + STEP / 2)],
    );
    let bulk = (prop::option::of(owner()), prop::option::of(owner()));
    let what = prop_oneof![
        4 => issue.prop_map(|(token, grant, expires)| What::Issue { token, grant, expires }),
        4 => several().prop_map(What::Revoke),
        3 => several().prop_map(What::Approve),
        1 => bulk.prop_map(|(client, user)| What::Bulk { client, user }),
        12 => (0..TOKENS).prop_map(What::Ask),
    ];
    let fate = prop_oneof![6 => Just(Fate::Answered), 1 => (0..20_u64).prop_map(Fate::Late), 1 => Just(Fate::Never)];
    let request = (what, 0..2_u16, 0..5 * STEP, 0..5 * STEP, fate);
    request.prop_map(|(what, node, before, after, fate)| Request { what, node, before, after, fate })
}

/// What the model knows.
#[derive(Default)]
struct World {
    tokens: BTreeMap<u8, Token>,
    /// When each grant came to be.
    grants: BTreeMap<u8, Moment>,
    revoked: BTreeSet<Named>,
    bulks: Vec<(Option<u8>, Option<u8>, Moment)>,
}

struct Token {
    grant: Option<u8>,
    origin: Moment,
    expires: Moment,
}

/// Clients and users go by the number of the token, so that all combinations come about.
fn owners(token: u8) -> (u8, Option<u8>) {
    (token % OWNERS, (token / OWNERS).checked_sub(1))
}

impl World {
    fn is_active(&self, number: u8, now: Moment) -> bool {
        let Some(token) = self.tokens.get(&number) else { return false };
        let (client, user) = owners(number);
        let parents = [
            Some(Named::Token(number)),
            token.grant.map(Named::Grant),
            Some(Named::Client(client)),
            user.map(Named::User),
        ];
        let covered = self.bulks.iter().any(|(of_client, of_user, until)| {
            of_client.is_none_or(|of| of == client)
                && of_user.is_none_or(|of| Some(of) == user)
                && token.origin <= *until
        });
        now < token.expires && !covered && !parents.into_iter().flatten().any(|one| self.revoked.contains(&one))
    }
}

/// Plays requests in the order of their effects.
pub(crate) fn play(requests: &[Request], shape: Shape) -> History {
    let mut plan: Vec<(Moment, usize)> = requests
        .iter()
        .enumerate()
        .map(|(place, request)| {
            let late = match request.fate {
                Fate::Late(steps) if shape == Shape::Overlapping => steps * STEP,
                _ => 0,
            };
            // Odd, so that no effect falls on the end of another request.
            ((place as u64 + 10) * STEP + late + 1, place)
        })
        .collect();
    plan.sort_unstable();
    let issued: BTreeSet<u8> = requests.iter().filter_map(first_issue).collect();
    let mut world = World::default();
    let mut events: Vec<Event> = plan
        .into_iter()
        .filter_map(|(effect, place)| act(&mut world, &issued, &requests[place], effect, shape))
        .collect();
    if shape == Shape::Overlapping {
        // Requests are left unanswered only around faults.
        events.push(Event::Fault(Fault { fault: "lossy network".into(), ..Fault::default() }));
    }
    let mode = Mode {
        acknowledge: Acknowledge::Visible,
        durability: Durability::Replay,
        lease: 0,
        nodes: 2,
        grace: 0,
        approved_within: 0,
    };
    History { mode, events }
}

fn first_issue(request: &Request) -> Option<u8> {
    match request.what {
        What::Issue { token, .. } => Some(token),
        _ => None,
    }
}

fn act(world: &mut World, issued: &BTreeSet<u8>, request: &Request, effect: Moment, shape: Shape) -> Option<Event> {
    let node = request.node;
    let (mut begin, mut end, mut outcome) = (effect - request.before, effect + request.after, Outcome::Done);
    let mut happens = true;
    match (shape, request.fate) {
        (Shape::OneByOne, _) => (begin, end) = (effect - STEP / 4, effect + STEP / 4),
        (Shape::Overlapping, Fate::Answered) => {}
        (Shape::Overlapping, Fate::Late(steps)) => {
            begin -= steps * STEP;
            (end, outcome) = (begin + request.after, Outcome::Unanswered);
        }
        (Shape::Overlapping, Fate::Never) => (happens, outcome) = (false, Outcome::Unavailable),
    }
    let event = match &request.what {
        What::Issue { token, grant, expires } => {
            if world.tokens.contains_key(token) {
                return None;
            }
            // Always answered: of a token that nobody was given nothing can be asked.
            let origin = grant.map_or(effect, |grant| *world.grants.entry(grant).or_insert(effect));
            world.tokens.insert(*token, Token { grant: *grant, origin, expires: *expires });
            let (client, user) = owners(*token);
            Event::Issue(Issue {
                begin,
                end: end.max(effect),
                node,
                token: token.to_string(),
                client: client.to_string(),
                grant: grant.map(|grant| grant.to_string()),
                user: user.map(|user| user.to_string()),
                expires: *expires,
                outcome: Outcome::Done,
            })
        }
        What::Revoke(named) | What::Approve(named) => {
            let named: Vec<_> =
                named.iter().filter(|one| !matches!(one, Named::Token(token) if !issued.contains(token))).collect();
            let revokes = matches!(request.what, What::Revoke(_));
            for one in named.iter().filter(|_| happens) {
                if revokes {
                    world.revoked.insert(**one);
                } else {
                    world.revoked.remove(*one);
                }
            }
            let targets = named.into_iter().map(|one| target(*one)).collect();
            let change = Change { begin, end, node, targets, outcome };
            if revokes { Event::Revoke(change) } else { Event::Approve(change) }
        }
        What::Bulk { client, user } => {
            if happens {
                world.bulks.push((*client, *user, effect));
            }
            let owner =
                Owner { client: client.map(|client| client.to_string()), user: user.map(|user| user.to_string()) };
            Event::Revoke(Change { begin, end, node, targets: vec![Target::Issued(owner)], outcome })
        }
        What::Ask(token) => {
            if !issued.contains(token) {
                return None;
            }
            let answer = match (world.is_active(*token, effect), outcome) {
                (_, Outcome::Unavailable) => Answer::Unavailable,
                (_, Outcome::Unanswered) => Answer::None,
                (true, Outcome::Done) => Answer::Active,
                (false, Outcome::Done) => Answer::Inactive,
            };
            Event::Introspect(Introspect { begin, end, node, token: token.to_string(), answer })
        }
    };
    Some(event)
}

fn target(named: Named) -> Target {
    match named {
        Named::Token(token) => Target::Token(token.to_string()),
        Named::Grant(grant) => Target::Grant(grant.to_string()),
        Named::Client(client) => Target::Client(client.to_string()),
        Named::User(user) => Target::User(user.to_string()),
    }
}
