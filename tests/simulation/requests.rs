//! The requests that nodes are asked, each carried out by the product and taken down with its outcome.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use checker::history::event::{Answer, Change, Introspect, Issue, Outcome, Owner, Target};
use checker::history::recorder::Recorder;
use checker::history::{Event, Moment};
use introspectd::client::{Client, ClientId, ClientState};
use introspectd::service::Service;
use introspectd::service::approve::ApproveError;
use introspectd::service::clients::ClientError;
use introspectd::service::introspect::Wanted;
use introspectd::service::revoke::Named;
use introspectd::store::{Insertion, StoreError, StoreErrorKind};
use introspectd::token::claims::Claims;
use introspectd::token::digest::GrantId;
use introspectd::token::epoch::EpochAxis;
use introspectd::token::record::{Grant, Reason, Record, State};
use introspectd::token::scope::Scope;
use introspectd::token::time::{Stamp, UnixSeconds};
use introspectd::token::value::{Presented, TokenKind, TokenValue};

use crate::node::Time;
use crate::product;
use crate::world::BEGINNING;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// After how long whoever asks gives up.
const PATIENCE: Duration = Duration::from_secs(3);

/// A token as those who ask about it know it.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    /// What the history calls it; its text is made of that.
    pub(crate) name: String,
    pub(crate) client: &'static str,
    pub(crate) user: &'static str,
    pub(crate) grant: Option<u8>,
    /// Seconds since the beginning.
    pub(crate) expires: u64,
}

impl Known {
    pub(crate) fn text(&self) -> String {
        format!("made-elsewhere-{}", self.name)
    }

    /// What revoking or approving it with everything of its grant is about.
    fn with_its_grant(&self) -> Target {
        self.grant.map_or_else(|| Target::Token(self.name.clone()), |grant| Target::Grant(grant_name(grant)))
    }
}

fn grant_name(grant: u8) -> String {
    format!("g{grant}")
}

/// What is asked.
#[derive(Clone, Debug)]
pub(crate) enum Request {
    Introspect(Known),
    Issue(Known),
    Revoke(Known),
    Approve(Known),
    RevokeAll { client: Option<&'static str>, user: Option<&'static str> },
    SetClient { client: &'static str, approved: bool },
}

/// What all requests share.
#[derive(Clone, Debug)]
pub(crate) struct Desk {
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) time: Time,
    /// The tokens that are known to have been issued.
    pub(crate) known: Arc<Mutex<Vec<Known>>>,
    /// What must never happen and that no history tells.
    pub(crate) surprises: Arc<Mutex<Vec<String>>>,
    pub(crate) caller: Arc<Client>,
    /// What of each grant decides which bulk revocations cover its tokens: when its first one was issued. Nothing as
    /// long as that is not known.
    pub(crate) births: Arc<Mutex<BTreeMap<u8, Option<Stamp>>>>,
    /// Requests whose node has ended.
    pub(crate) orphans: Arc<Mutex<Vec<(Moment, usize, Request)>>>,
    /// How many requests are under way.
    pub(crate) open: Arc<AtomicUsize>,
}

impl Desk {
    pub(crate) fn moment(&self) -> Moment {
        self.recorder.moment(self.time.passed())
    }

    pub(crate) fn known(&self) -> Vec<Known> {
        lock(&self.known).clone()
    }

    /// Carries a request out, and takes down how it ended; also when the node does not live to see that.
    pub(crate) async fn carry_out(self, node: usize, request: Request, service: Option<Arc<Service>>) {
        self.open.fetch_add(1, Ordering::AcqRel);
        let mut entry = Entry { begin: self.moment(), node, request: Some(request.clone()), desk: self.clone() };
        let Some(service) = service else { return entry.done(Ended::Unavailable) };
        let ended = tokio::time::timeout(PATIENCE, self.ask(&service, &request)).await;
        entry.done(ended.unwrap_or(Ended::Unanswered));
    }

    /// Takes down what was being asked of a node when it ended, in an order that does not depend on how it did.
    pub(crate) fn bury(&self) {
        let mut orphans = std::mem::take(&mut *lock(&self.orphans));
        orphans.sort_by_key(|(begin, ..)| *begin);
        for (begin, node, request) in orphans {
            let event = event(begin, self.moment(), node, &request, Ended::Unanswered);
            self.recorder.record(event.expect("it is known how it ended"));
        }
    }

    async fn ask(&self, service: &Arc<Service>, request: &Request) -> Ended {
        let now = service.now();
        match request {
            Request::Introspect(token) => {
                let text = token.text();
                let answer = service.introspect(&self.caller, Presented::new(&text), &Wanted::default(), now).await;
                match answer {
                    Ok(Ok(_)) => Ended::Active,
                    Ok(Err(_)) => Ended::Inactive,
                    Err(error) => self.refused(&error),
                }
            }
            Request::Issue(token) => match self.issue(service, token).await {
                Ok(Some(Insertion::Done)) => {
                    lock(&self.known).push(token.clone());
                    Ended::Done
                }
                // It was tried before, and nobody was told how that ended.
                Ok(Some(Insertion::Exists)) => Ended::Unanswered,
                Ok(None) => Ended::Refused,
                Err(error) => self.refused(&error),
            },
            Request::Revoke(token) => {
                let text = token.text();
                match service.revoke_named(Named::Value(Presented::new(&text)), true, now).await {
                    Ok(Some(_)) => Ended::Done,
                    Ok(None) => Ended::Absent,
                    Err(error) => self.refused(&error),
                }
            }
            Request::Approve(token) => {
                let text = token.text();
                match service.approve_named(Named::Value(Presented::new(&text)), true, now).await {
                    Ok(_) => Ended::Done,
                    Err(ApproveError::Store(error)) => self.refused(&error),
                    Err(_) => Ended::Refused,
                }
            }
            Request::RevokeAll { client, user } => {
                let axis = match (*client, *user) {
                    (None, None) => EpochAxis::Issuer,
                    (Some(client), None) => EpochAxis::Client(client),
                    (None, Some(user)) => EpochAxis::User(user),
                    (Some(client_id), Some(subject)) => EpochAxis::ClientUser { client_id, subject },
                };
                match service.revoke_all(axis, None, Reason::BULK, now).await {
                    Ok(_) => Ended::Done,
                    Err(error) => self.refused(&error),
                }
            }
            Request::SetClient { client, approved } => {
                let id = ClientId::parse(client).expect("printable");
                let state = if *approved { ClientState::Approved } else { ClientState::Revoked };
                match service.set_client_state(&id, state).await {
                    Ok(_) => Ended::Done,
                    Err(ClientError::Store(error)) => self.refused(&error),
                    // Somebody else changed it meanwhile, or a failover has lost it.
                    Err(_) => Ended::Refused,
                }
            }
        }
    }

    /// Issues a token; nothing of a grant whose first token has not been answered for.
    async fn issue(&self, service: &Service, token: &Known) -> Result<Option<Insertion>, StoreError> {
        let birth = token.grant.and_then(|grant| {
            let mut births = lock(&self.births);
            let known = births.get(&grant).copied();
            births.entry(grant).or_insert(None);
            known
        });
        if birth == Some(None) {
            return Ok(None);
        }
        let id = ClientId::parse(token.client).expect("printable");
        let Some(owner) = service.registry.find(&id).await? else {
            return Err(StoreError::new(StoreErrorKind::Unavailable, "the client has been lost"));
        };
        let expires_at = UnixSeconds(BEGINNING + token.expires);
        let now = service.now();
        let record = Record {
            state: State::Approved,
            stamp: Stamp(0),
            owner_created: owner.created,
            kind: TokenKind::Access,
            issued_at: now.seconds(),
            not_before: None,
            expires_at,
            client_id: token.client.into(),
            subject: Some(token.user.into()),
            username: None,
            scope: Scope::parse("read").expect("a name"),
            audience: vec!["api".into()],
            grant: token.grant.map(|number| Grant {
                id: GrantId([number; GrantId::BYTES]),
                expires_at: UnixSeconds(BEGINNING + 3600),
                born: birth.flatten().unwrap_or_default(),
            }),
            claims: Claims::default(),
        };
        let value = TokenValue::import(&token.text()).expect("long enough");
        let digest = service.keys.digest_of_import(&value);
        let inserted = service.store.insert(&[(digest, record)], None, now).await?;
        if let Some(grant) = token.grant.filter(|_| birth.is_none())
            && let Ok(Some((_, first))) = service.store.token(&[digest]).await
        {
            lock(&self.births).insert(grant, Some(first.stamp));
        }
        Ok(Some(inserted))
    }

    fn refused(&self, error: &StoreError) -> Ended {
        tracing::debug!(%error, now = self.time.passed(), "refused");
        if error.kind() == StoreErrorKind::Damaged {
            lock(&self.surprises).push(format!("damaged: {error}"));
        }
        Ended::Unavailable
    }
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Active,
    Inactive,
    Done,
    /// There is no such token, or there is none any longer: nobody can say of which grant it was.
    Absent,
    Unavailable,
    Unanswered,
    /// For good: nothing has changed, and nothing is taken down.
    Refused,
}

/// A request that is being carried out.
struct Entry {
    begin: Moment,
    node: usize,
    request: Option<Request>,
    desk: Desk,
}

impl Entry {
    fn done(&mut self, ended: Ended) {
        let Some(request) = self.request.take() else { return };
        if let Some(event) = event(self.begin, self.desk.moment(), self.node, &request, ended) {
            self.desk.recorder.record(event);
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.desk.open.fetch_sub(1, Ordering::AcqRel);
        if let Some(request) = self.request.take() {
            lock(&self.desk.orphans).push((self.begin, self.node, request));
        }
    }
}

/// What is taken down of a request.
fn event(begin: Moment, end: Moment, node: usize, request: &Request, ended: Ended) -> Option<Event> {
    let node = u16::try_from(node).expect("there are few nodes");
    let outcome = match ended {
        Ended::Unavailable => Outcome::Unavailable,
        Ended::Unanswered => Outcome::Unanswered,
        Ended::Done | Ended::Absent | Ended::Active | Ended::Inactive => Outcome::Done,
        Ended::Refused => return None,
    };
    let change = |targets: Vec<Target>| Change { begin, end, node, targets, outcome };
    Some(match request {
        Request::Introspect(token) => Event::Introspect(Introspect {
            begin,
            end,
            node,
            token: token.name.clone(),
            answer: match ended {
                Ended::Active => Answer::Active,
                Ended::Inactive => Answer::Inactive,
                Ended::Unavailable => Answer::Unavailable,
                _ => Answer::None,
            },
        }),
        Request::Issue(token) => Event::Issue(Issue {
            begin,
            end,
            node,
            token: token.name.clone(),
            client: token.client.to_owned(),
            grant: token.grant.map(grant_name),
            user: Some(token.user.to_owned()),
            expires: token.expires * 1_000_000_000,
            outcome,
        }),
        Request::Revoke(token) if ended == Ended::Absent => {
            Event::Revoke(change(vec![Target::Token(token.name.clone())]))
        }
        Request::Revoke(token) => Event::Revoke(change(vec![token.with_its_grant()])),
        Request::Approve(token) => {
            let mut targets = vec![token.with_its_grant()];
            if token.grant.is_some() {
                targets.push(Target::Token(token.name.clone()));
            }
            Event::Approve(change(targets))
        }
        Request::RevokeAll { client, user } => {
            let owner = Owner { client: client.map(str::to_owned), user: user.map(str::to_owned) };
            Event::Revoke(change(vec![Target::Issued(owner)]))
        }
        Request::SetClient { client, approved } => {
            let change = change(vec![Target::Client((*client).to_owned())]);
            if *approved { Event::Approve(change) } else { Event::Revoke(change) }
        }
    })
}

/// Creates the clients that tokens are issued to; whether all are there.
pub(crate) async fn create_clients(service: Arc<Service>, names: &[&str]) -> Result<(), StoreError> {
    for name in names {
        let client = product::application(name);
        let body = serde_json::to_vec(&client).expect("a client is plain data");
        service.store.create_client(&client.client_id, body.into(), service.now()).await?;
    }
    Ok(())
}
