//! What clients ask for, one after the other, at random.

use crate::chance::Chance;
use crate::requests::{Known, Request};

/// The clients that tokens are issued to.
pub(crate) const CLIENTS: [&str; 3] = ["app", "shop", "mobile"];
/// The users that they speak for.
const USERS: [&str; 4] = ["ada", "ben", "cid", "dot"];
/// Grants that tokens may belong to.
const GRANTS: usize = 9;

/// Makes up requests.
#[derive(Debug)]
pub(crate) struct Load {
    chance: Chance,
    issued: u64,
    /// How many requests of a thousand turns change something.
    pub(crate) changes: u64,
    /// How many of a thousand turns introspect.
    pub(crate) questions: u64,
}

impl Load {
    pub(crate) fn new(chance: Chance) -> Self {
        Self { chance, issued: 0, changes: 50, questions: 600 }
    }

    /// The requests of one turn, each with the node that it is sent to. `now` is in seconds since the beginning.
    pub(crate) fn turn(&mut self, nodes: usize, known: &[Known], now: u64) -> Vec<(usize, Request)> {
        let mut requests = Vec::new();
        if self.chance.happens(self.questions)
            && let Some(request) = self.question(known)
        {
            requests.push((self.chance.place(nodes), request));
        }
        if self.chance.happens(self.changes) {
            let request = self.change(known, now);
            let node = self.chance.place(nodes);
            if let Request::Revoke(token) | Request::Approve(token) = &request
                && self.chance.happens(300)
            {
                // Somebody asks at the very moment.
                requests.push((self.chance.place(nodes), Request::Introspect(token.clone())));
            }
            requests.push((node, request));
        }
        requests
    }

    fn question(&mut self, known: &[Known]) -> Option<Request> {
        if known.is_empty() {
            return None;
        }
        // Some are asked about far more often than others.
        let near = known.len().min(6);
        let place = if self.chance.happens(600) {
            known.len() - 1 - self.chance.place(near)
        } else {
            self.chance.place(known.len())
        };
        Some(Request::Introspect(known[place].clone()))
    }

    fn change(&mut self, known: &[Known], now: u64) -> Request {
        if known.is_empty() {
            return self.issue(now);
        }
        let token = self.chance.pick(known).clone();
        let recent = known[known.len() - 1 - self.chance.place(known.len().min(6))].clone();
        match self.chance.within(0..=99) {
            0..=34 => self.issue(now),
            35..=59 => Request::Revoke(recent),
            60..=69 => Request::Revoke(token),
            70..=84 => Request::Approve(token),
            85..=88 => Request::Approve(recent),
            89..=90 => Request::RevokeAll { client: Some(token.client), user: Some(token.user) },
            91..=92 => Request::RevokeAll { client: None, user: Some(token.user) },
            93 => Request::RevokeAll { client: Some(token.client), user: None },
            94 if self.chance.happens(300) => Request::RevokeAll { client: None, user: None },
            94..=96 => Request::SetClient { client: token.client, approved: false },
            _ => Request::SetClient { client: token.client, approved: true },
        }
    }

    pub(crate) fn issue(&mut self, now: u64) -> Request {
        self.issued += 1;
        let lives = if self.chance.happens(250) { self.chance.within(1..=4) } else { 600 };
        let grant = self.chance.happens(400).then(|| u8::try_from(self.chance.place(GRANTS)).expect("small") + 1);
        // A grant is of one user for one client.
        let mut owner = grant.map_or_else(|| self.chance.fork(), |grant| Chance::new(grant.into()));
        let (client, user) = (*owner.pick(&CLIENTS), *owner.pick(&USERS));
        Request::Issue(Known { name: format!("t{}", self.issued), client, user, grant, expires: now + lives })
    }
}
