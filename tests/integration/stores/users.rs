//! Users: created with two names that are theirs alone, found by them, replaced by whoever knows the version.

use std::sync::Arc;

use bytes::Bytes;
use introspectd::store::{DocumentWrite, StoreErrorKind, UserCreation, UserDocument};
use introspectd::user::id::UserId;
use introspectd::user::name::{NameKind, UniqueName};
use tokio::task::JoinSet;

use super::Subject;

over_stores! {
    a_created_user_is_found_by_id_and_by_either_name
    a_creation_that_fails_gives_back_what_it_had_claimed
    a_deleted_user_frees_both_names
    a_name_that_is_taken_is_named_and_nothing_is_kept
    a_user_of_an_id_that_is_there_is_a_fault_and_nothing_changes
    a_user_replacement_must_name_the_present_version_and_stamp
    deleting_leaves_names_alone_that_are_somebody_elses
    names_that_read_alike_are_kept_apart_by_kind
    names_that_want_each_other_crosswise_are_never_given_twice
    of_concurrent_user_replacements_exactly_one_wins
    of_fifty_creations_with_one_email_exactly_one_is_done
    of_fifty_creations_with_one_username_exactly_one_is_done
    users_are_listed_in_the_order_of_the_bytes_of_their_ids
}

/// A user of the test: id, username, email.
#[derive(Clone, Debug)]
struct Person(UserId, String, String);

impl Person {
    fn names(&self) -> [UniqueName<'_>; 2] {
        [username(&self.1), email(&self.2)]
    }
}

fn person(number: u8, name: &str, address: &str) -> Person {
    // Spread over all parts of the index, and not in the order of the numbers.
    Person(UserId([number.wrapping_mul(37); UserId::BYTES]), name.to_owned(), address.to_owned())
}

fn username(canonical: &str) -> UniqueName<'_> {
    UniqueName { kind: NameKind::Username, canonical }
}

fn email(canonical: &str) -> UniqueName<'_> {
    UniqueName { kind: NameKind::Email, canonical }
}

const DONE: UserCreation = UserCreation::Done { version: 1 };

impl Subject {
    async fn register(&self, person: &Person) -> UserCreation {
        let body = Bytes::from(format!("{person:?}"));
        self.store.create_user(person.0, person.names(), body, self.now()).await.unwrap()
    }

    async fn who_is(&self, name: UniqueName<'_>) -> Option<UserId> {
        let found = self.store.user_named(name).await.unwrap()?;
        assert_eq!(self.store.user(found.0).await.unwrap().as_ref(), Some(&found.1));
        Some(found.0)
    }

    /// All users, read in pages of one size.
    async fn everybody(&self, limit: usize) -> Vec<(UserId, UserDocument)> {
        let mut listed: Vec<(UserId, UserDocument)> = Vec::new();
        loop {
            let page = self.store.users(listed.last().map(|(id, _)| *id), limit).await.unwrap();
            assert!(page.len() <= limit);
            let is_last = page.len() < limit;
            listed.extend(page);
            if is_last {
                return listed;
            }
        }
    }

    /// Creations that begin together.
    async fn register_all(&self, people: Vec<Person>) -> Vec<(Person, Result<UserCreation, StoreErrorKind>)> {
        let mut creations = JoinSet::new();
        for person in people {
            let (store, now) = (Arc::clone(&self.store), self.now());
            creations.spawn(async move {
                let outcome = store.create_user(person.0, person.names(), Bytes::new(), now).await;
                (person, outcome.map_err(|error| error.kind()))
            });
        }
        let outcomes = creations.join_all().await;
        for (person, outcome) in &outcomes {
            let is_there = *outcome == Ok(DONE);
            assert_eq!(self.store.user(person.0).await.unwrap().is_some(), is_there, "{person:?} {outcome:?}");
            for name in person.names() {
                assert_eq!(self.who_is(name).await == Some(person.0), is_there, "{person:?} {outcome:?}");
            }
        }
        let there = outcomes.iter().filter(|(_, outcome)| *outcome == Ok(DONE)).count();
        assert_eq!(self.store.users(None, 1000).await.unwrap().len(), there);
        outcomes
    }
}

async fn a_created_user_is_found_by_id_and_by_either_name(subject: Subject) {
    let alice = person(1, "alice", "alice@example.com");
    assert_eq!(subject.store.user(alice.0).await.unwrap(), None);
    for name in alice.names() {
        assert_eq!(subject.store.user_named(name).await.unwrap(), None);
    }
    assert_eq!(subject.store.users(None, 10).await.unwrap(), []);
    let before = subject.store.clock(subject.now()).await.unwrap();
    assert_eq!(subject.register(&alice).await, DONE);
    let document = subject.store.user(alice.0).await.unwrap().unwrap();
    assert_eq!((document.version, &document.body[..]), (1, format!("{alice:?}").as_bytes()));
    // The clocks of several servers may be a little apart.
    assert!(document.created.0 + 1_000_000 > before.0, "{document:?} {before:?}");
    for name in alice.names() {
        assert_eq!(subject.store.user_named(name).await.unwrap(), Some((alice.0, document.clone())));
    }
    assert_eq!(subject.store.users(None, 10).await.unwrap(), [(alice.0, document)]);
    for other in [username("ALICE"), username("alic"), username(""), email("alice"), username("alice@example.com")] {
        assert_eq!(subject.who_is(other).await, None, "{other:?}");
    }
}

async fn a_name_that_is_taken_is_named_and_nothing_is_kept(subject: Subject) {
    let alice = person(1, "alice", "alice@example.com");
    subject.register(&alice).await;
    let same_name = person(2, "alice", "other@example.com");
    assert_eq!(subject.register(&same_name).await, UserCreation::Taken(NameKind::Username));
    let same_address = person(3, "other", "alice@example.com");
    assert_eq!(subject.register(&same_address).await, UserCreation::Taken(NameKind::Email));
    let both = person(4, "alice", "alice@example.com");
    assert!(matches!(subject.register(&both).await, UserCreation::Taken(_)));
    for other in [same_name, same_address, both] {
        assert_eq!(subject.store.user(other.0).await.unwrap(), None);
    }
    assert_eq!(subject.who_is(username("alice")).await, Some(alice.0));
    assert_eq!(subject.who_is(email("alice@example.com")).await, Some(alice.0));
    assert_eq!(subject.everybody(10).await.len(), 1);
}

async fn a_creation_that_fails_gives_back_what_it_had_claimed(subject: Subject) {
    subject.register(&person(1, "alice", "alice@example.com")).await;
    // Whichever of the two is claimed first.
    for number in 0..8 {
        let (name, address) = (format!("name{number}"), format!("{number}@example.com"));
        assert_ne!(subject.register(&person(10, "alice", &address)).await, DONE);
        assert_ne!(subject.register(&person(10, &name, "alice@example.com")).await, DONE);
        assert_eq!(subject.register(&person(20 + number, &name, &address)).await, DONE, "{number}");
    }
}

async fn a_user_of_an_id_that_is_there_is_a_fault_and_nothing_changes(subject: Subject) {
    let alice = person(1, "alice", "alice@example.com");
    subject.register(&alice).await;
    let again = person(1, "bob", "bob@example.com");
    let refused = subject.store.create_user(again.0, again.names(), Bytes::new(), subject.now()).await;
    assert_eq!(refused.unwrap_err().kind(), StoreErrorKind::Refused);
    assert!(matches!(subject.register(&person(1, "bob", "alice@example.com")).await, UserCreation::Taken(_)));
    assert_eq!(subject.who_is(username("alice")).await, Some(alice.0));
    assert_eq!(subject.who_is(email("alice@example.com")).await, Some(alice.0));
    assert_eq!(subject.everybody(10).await.len(), 1);
    assert_eq!(subject.register(&person(2, "bob", "bob@example.com")).await, DONE, "its names are free");
}

async fn names_that_read_alike_are_kept_apart_by_kind(subject: Subject) {
    let (one, two) = (person(1, "a@b", "alice"), person(2, "alice", "a@b"));
    assert_eq!(subject.register(&one).await, DONE);
    assert_eq!(subject.register(&two).await, DONE);
    assert_eq!(subject.who_is(username("a@b")).await, Some(one.0));
    assert_eq!(subject.who_is(email("a@b")).await, Some(two.0));
    // Bytes count, and nothing else.
    let odd = ["\u{0}", "{", "}{x}", "*", "\u{e9}", "e\u{301}", "\u{1f600}", " ", &"x".repeat(5000)];
    for (number, name) in (10..).zip(odd) {
        assert_eq!(subject.register(&person(number, name, name)).await, DONE, "{name:?}");
    }
    for (number, name) in (10..).zip(odd) {
        assert_eq!(subject.who_is(username(name)).await, Some(person(number, name, name).0), "{name:?}");
        assert_eq!(subject.who_is(email(name)).await, Some(person(number, name, name).0), "{name:?}");
    }
}

async fn of_fifty_creations_with_one_username_exactly_one_is_done(subject: Subject) {
    let people = (0..50).map(|number| person(number, "alice", &format!("{number}@example.com"))).collect();
    let outcomes = subject.register_all(people).await;
    let done = outcomes.iter().filter(|(_, outcome)| *outcome == Ok(DONE)).count();
    let taken = outcomes.iter().filter(|(_, outcome)| *outcome == Ok(UserCreation::Taken(NameKind::Username))).count();
    assert_eq!((done, taken), (1, 49), "{outcomes:?}");
}

async fn of_fifty_creations_with_one_email_exactly_one_is_done(subject: Subject) {
    let people = (0..50).map(|number| person(number, &number.to_string(), "alice@example.com")).collect();
    let outcomes = subject.register_all(people).await;
    let done = outcomes.iter().filter(|(_, outcome)| *outcome == Ok(DONE)).count();
    let taken = outcomes.iter().filter(|(_, outcome)| *outcome == Ok(UserCreation::Taken(NameKind::Email))).count();
    assert_eq!((done, taken), (1, 49), "{outcomes:?}");
}

async fn names_that_want_each_other_crosswise_are_never_given_twice(subject: Subject) {
    // Seven usernames and seven addresses, each pair of them wanted by somebody. Who never finds both of them settled is
    // told that it is not known.
    let people = (0..49).map(|number| person(number, &format!("name{}", number % 7), &format!("{}@b", number / 7)));
    let outcomes = subject.register_all(people.collect()).await;
    let done = outcomes.iter().filter(|(_, outcome)| *outcome == Ok(DONE)).count();
    let unknown = outcomes.iter().filter(|(_, outcome)| *outcome == Err(StoreErrorKind::Unavailable)).count();
    let taken = outcomes.iter().filter(|(_, outcome)| matches!(outcome, Ok(UserCreation::Taken(_)))).count();
    assert_eq!(done + taken + unknown, 49, "{outcomes:?}");
    assert!((1..=7).contains(&done), "{outcomes:?}");
    // Nothing is claimed any longer that nobody has: one after the other, all names find somebody.
    for number in 0..49 {
        let person = person(100 + number, &format!("name{}", number % 7), &format!("{}@b", number / 7));
        subject.register(&person).await;
    }
    assert_eq!(subject.everybody(100).await.len(), 7);
}

async fn a_user_replacement_must_name_the_present_version_and_stamp(subject: Subject) {
    let alice = person(1, "alice", "alice@example.com");
    let replace = async |version, created, body: &'static str| {
        subject.store.replace_user(alice.0, version, created, Bytes::from_static(body.as_bytes())).await.unwrap()
    };
    let nothing = introspectd::token::time::Stamp(1);
    assert_eq!(replace(1, nothing, "{}").await, DocumentWrite::Conflict);
    subject.register(&alice).await;
    let created = subject.store.user(alice.0).await.unwrap().unwrap().created;
    assert_eq!(replace(1, nothing, "stale").await, DocumentWrite::Conflict);
    assert_eq!(replace(1, created, "second").await, DocumentWrite::Done { version: 2 });
    for version in [0, 1, 3, u64::MAX] {
        assert_eq!(replace(version, created, "third").await, DocumentWrite::Conflict, "{version}");
    }
    let second = UserDocument { version: 2, created, body: Bytes::from_static(b"second") };
    assert_eq!(subject.store.user(alice.0).await.unwrap(), Some(second.clone()));
    for name in alice.names() {
        assert_eq!(subject.store.user_named(name).await.unwrap(), Some((alice.0, second.clone())));
    }
    assert!(subject.store.delete_user(alice.0, alice.names()).await.unwrap());
    assert_eq!(replace(2, created, "back").await, DocumentWrite::Conflict);
    assert_eq!(subject.store.user(alice.0).await.unwrap(), None);
}

async fn of_concurrent_user_replacements_exactly_one_wins(subject: Subject) {
    let alice = person(1, "alice", "alice@example.com");
    subject.register(&alice).await;
    let created = subject.store.user(alice.0).await.unwrap().unwrap().created;
    for version in 1..=3 {
        let mut replacements = JoinSet::new();
        for attempt in 0..8_u8 {
            let store = Arc::clone(&subject.store);
            let body = Bytes::from(attempt.to_string());
            replacements.spawn(async move {
                (body.clone(), store.replace_user(alice.0, version, created, body).await.unwrap())
            });
        }
        let outcomes = replacements.join_all().await;
        let winners: Vec<_> = outcomes.iter().filter(|(_, outcome)| *outcome != DocumentWrite::Conflict).collect();
        assert_eq!(winners.len(), 1, "{outcomes:?}");
        let document = subject.store.user(alice.0).await.unwrap().unwrap();
        assert_eq!((document.version, &document.body), (version + 1, &winners[0].0));
    }
}

async fn a_deleted_user_frees_both_names(subject: Subject) {
    let alice = person(1, "alice", "alice@example.com");
    assert!(!subject.store.delete_user(alice.0, alice.names()).await.unwrap());
    subject.register(&alice).await;
    assert!(subject.store.delete_user(alice.0, alice.names()).await.unwrap());
    assert!(!subject.store.delete_user(alice.0, alice.names()).await.unwrap());
    assert_eq!(subject.store.user(alice.0).await.unwrap(), None);
    for name in alice.names() {
        assert_eq!(subject.who_is(name).await, None);
    }
    assert_eq!(subject.everybody(10).await, []);
    let (one, two) = (person(2, "alice", "new@example.com"), person(3, "new", "alice@example.com"));
    assert_eq!(subject.register(&one).await, DONE);
    assert_eq!(subject.register(&two).await, DONE);
    assert_eq!(subject.who_is(username("alice")).await, Some(one.0));
    assert_eq!(subject.who_is(email("alice@example.com")).await, Some(two.0));
    // Deleting once more, late, takes nothing from those who have the names now.
    assert!(!subject.store.delete_user(alice.0, alice.names()).await.unwrap());
    assert_eq!(subject.who_is(username("alice")).await, Some(one.0));
    assert_eq!(subject.who_is(email("alice@example.com")).await, Some(two.0));
}

async fn deleting_leaves_names_alone_that_are_somebody_elses(subject: Subject) {
    let (alice, bob) = (person(1, "alice", "alice@example.com"), person(2, "bob", "bob@example.com"));
    subject.register(&alice).await;
    subject.register(&bob).await;
    // The names of a user who is gone, and who was not told of it: they can be taken over.
    assert!(subject.store.delete_user(alice.0, bob.names()).await.unwrap());
    for name in bob.names() {
        assert_eq!(subject.who_is(name).await, Some(bob.0));
    }
    for name in alice.names() {
        assert_eq!(subject.who_is(name).await, None);
    }
    let heir = person(3, "alice", "alice@example.com");
    assert_eq!(subject.register(&heir).await, DONE);
    for name in heir.names() {
        assert_eq!(subject.who_is(name).await, Some(heir.0));
    }
}

async fn users_are_listed_in_the_order_of_the_bytes_of_their_ids(subject: Subject) {
    // The order of texts is another one: in base64url `-` comes before `0`, and `A` after both.
    let mut people: Vec<_> = (0..40)
        .map(|number| person(number, &format!("name{number}"), &format!("{number}@example.com")))
        .chain([0x00_u8, 0x0F, 0x10, 0xF8, 0xFB, 0xFC, 0xFF].map(|first| {
            let mut id = [first; UserId::BYTES];
            id[15] = 7;
            Person(UserId(id), format!("first{first}"), format!("first{first}@example.com"))
        }))
        .collect();
    for person in &people {
        assert_eq!(subject.register(person).await, DONE, "{person:?}");
    }
    people.sort_by_key(|person| person.0);
    let expected: Vec<_> = people.iter().map(|person| person.0).collect();
    for limit in [1, 2, 7, 46, 47, 48, 1000] {
        let listed: Vec<_> = subject.everybody(limit).await.into_iter().map(|(id, _)| id).collect();
        assert_eq!(listed, expected, "{limit} at a time");
    }
    // A page may begin after an id that is not there, and be empty.
    let after = UserId([0x0F; UserId::BYTES]);
    let next = people.iter().find(|person| person.0 > after).unwrap().0;
    assert_eq!(subject.store.users(Some(after), 1).await.unwrap()[0].0, next);
    assert_eq!(subject.store.users(Some(UserId([0xFF; UserId::BYTES])), 5).await.unwrap(), []);
    assert_eq!(subject.store.users(None, 0).await.unwrap(), []);
    for person in people.iter().step_by(2) {
        assert!(subject.store.delete_user(person.0, person.names()).await.unwrap());
    }
    let left: Vec<_> = subject.everybody(5).await.into_iter().map(|(id, _)| id).collect();
    assert_eq!(left, expected.into_iter().skip(1).step_by(2).collect::<Vec<_>>());
}
