//! The tokens that there are, and which of them are worth asking about.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use checker::history::event::Target;

/// How many tokens are asked about beside those that were changed last.
const KEPT: usize = 300;
/// How many were changed last.
const CHANGED: usize = 40;

/// A token, and what the history calls it.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) jti: String,
    pub(crate) grant: Option<String>,
    pub(crate) client: String,
    pub(crate) user: Option<String>,
}

impl Token {
    /// What its revocation ends: it, or its whole grant.
    pub(crate) fn ends(&self) -> Target {
        match &self.grant {
            Some(grant) => Target::Grant(grant.clone()),
            None => Target::Token(self.name.clone()),
        }
    }
}

/// Those that are known.
#[derive(Default)]
pub(crate) struct Tokens {
    all: Mutex<VecDeque<Arc<Token>>>,
    changed: Mutex<VecDeque<Arc<Token>>>,
}

impl Tokens {
    pub(crate) fn add(&self, token: Token) -> Arc<Token> {
        let token = Arc::new(token);
        push(&self.all, Arc::clone(&token), KEPT);
        token
    }

    /// Notes that a token was revoked or approved, or is about to be.
    pub(crate) fn change(&self, token: &Arc<Token>) {
        push(&self.changed, Arc::clone(token), CHANGED);
    }

    pub(crate) fn any(&self) -> Option<Arc<Token>> {
        pick(&self.all)
    }

    pub(crate) fn any_changed(&self) -> Option<Arc<Token>> {
        pick(&self.changed)
    }

    /// All of them.
    pub(crate) fn list(&self) -> Vec<Arc<Token>> {
        self.all.lock().unwrap().iter().cloned().collect()
    }
}

fn push(list: &Mutex<VecDeque<Arc<Token>>>, token: Arc<Token>, most: usize) {
    let mut list = list.lock().unwrap();
    list.push_back(token);
    if list.len() > most {
        list.pop_front();
    }
}

fn pick(list: &Mutex<VecDeque<Arc<Token>>>) -> Option<Arc<Token>> {
    let list = list.lock().unwrap();
    let count = list.len().max(1);
    list.get(random(count)).cloned()
}

/// A number below this one.
pub(crate) fn random(below: usize) -> usize {
    usize::try_from(getrandom::u64().unwrap() % u64::try_from(below).unwrap()).unwrap()
}
