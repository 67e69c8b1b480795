//! Sentinels that agree, that do not, that say nothing, and that say what they should not.

use super::*;
use crate::store::{StoreError, StoreErrorKind};

fn sentinel(number: u16) -> Address {
    Address::tcp("10.0.1.1", 26_000 + number)
}

fn data(number: u16) -> Address {
    Address::tcp(format!("10.0.0.{number}"), 6_379)
}

fn names(host: &str, port: &str) -> String {
    list([text(host), text(port)])
}

impl World {
    /// This Sentinel names that server.
    fn names(&self, sentinel: &Address, data: &Address) {
        let Address::Tcp { host, port } = data else { panic!("it has a port") };
        let reply = names(host, &port.to_string());
        self.replies(sentinel, &reply);
    }

    /// This Sentinel replies so to every question.
    fn replies(&self, sentinel: &Address, reply: &str) {
        let reply = reply.to_owned();
        self.set(sentinel, move |words| match words[0].as_str() {
            "SENTINEL" => Says::This(reply.clone()),
            _ => Says::This(subscribed()),
        });
    }
}

fn subscribed() -> String {
    format!(">3\r\n{}{}:1\r\n", text("subscribe"), text("+switch-master"))
}

/// Three Sentinels that name the first server.
fn three() -> (World, Directory) {
    let world = World::default();
    for number in 0..3 {
        world.names(&sentinel(number), &data(1));
    }
    let directory = world.directory(RedisTopology::Sentinel, &[sentinel(0), sentinel(1), sentinel(2)]);
    (world, directory)
}

#[tokio::test(start_paused = true)]
async fn a_majority_decides_and_the_others_need_not_answer() {
    let (world, mut directory) = three();
    assert!(directory.can_change());
    let view = look(&mut directory).await.unwrap();
    assert_eq!((view.primaries.as_slice(), view.slots.owner(16_383)), ([data(1)].as_slice(), Some(0)));
    assert_eq!(look(&mut directory).await.unwrap(), view);
    world.set(&sentinel(0), |_| Says::Nothing);
    let began = Instant::now();
    assert_eq!(look(&mut directory).await.unwrap(), view);
    assert!(began.elapsed() < PATIENCE / 10, "it waited for the third");
    for number in [1, 2] {
        world.names(&sentinel(number), &data(2));
    }
    let other = look(&mut directory).await.unwrap();
    assert_eq!(other.primaries, [data(2)]);
    assert_ne!(other.epoch, view.epoch);
}

#[tokio::test(start_paused = true)]
async fn without_a_majority_of_all_that_are_configured_nobody_is_believed() {
    let (world, mut directory) = three();
    world.names(&sentinel(1), &data(2));
    world.names(&sentinel(2), &data(3));
    let fault = look(&mut directory).await.unwrap_err();
    assert_eq!(fault.detail(), "the Sentinels do not agree on the primary");
    // Two that answer, and say different things.
    world.set(&sentinel(2), |_| Says::Nothing);
    assert!(look(&mut directory).await.is_err());
    // One alone, whose word is as good as none.
    world.set(&sentinel(1), |_| Says::Nothing);
    let fault = look(&mut directory).await.unwrap_err();
    assert_eq!(StoreError::from(fault).kind(), StoreErrorKind::Unavailable);
    world.names(&sentinel(1), &data(1));
    good_look(&mut directory).await;
}

#[tokio::test(start_paused = true)]
async fn those_that_cannot_be_reached_are_tried_again() {
    let world = World::default();
    let mut directory = world.directory(RedisTopology::Sentinel, &[sentinel(0), sentinel(1), sentinel(2)]);
    assert!(look(&mut directory).await.unwrap_err().detail().starts_with("cannot connect to Redis: "));
    world.names(&sentinel(1), &data(1));
    world.names(&sentinel(2), &data(1));
    assert_eq!(good_look(&mut directory).await.primaries, [data(1)]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_an_earlier_look_does_not_count_for_a_later_one() {
    let (world, mut directory) = three();
    look(&mut directory).await.unwrap();
    // What they say now they say as an answer to the next look, and so late that it is over.
    for number in 0..3 {
        let asked = Mutex::new(0);
        world.set(&sentinel(number), move |_| {
            *asked.lock().unwrap() += 1;
            let reply = names("10.0.0.1", "6379");
            if *asked.lock().unwrap() == 1 { Says::Late(PATIENCE * 3 / 2, reply) } else { Says::Nothing }
        });
    }
    assert!(look(&mut directory).await.is_err());
    assert!(look(&mut directory).await.is_err(), "this look has got no answer of its own");
}

#[tokio::test(start_paused = true)]
async fn a_sentinel_that_hangs_is_left_and_met_again() {
    let (world, mut directory) = three();
    look(&mut directory).await.unwrap();
    for number in 0..3 {
        world.set(&sentinel(number), |_| Says::Nothing);
    }
    for _ in 0..5 {
        assert!(look(&mut directory).await.is_err());
    }
    // An answer to a question from before would be taken for one to the next, were the connections still the same.
    for number in 0..3 {
        world.names(&sentinel(number), &data(2));
    }
    assert_eq!(good_look(&mut directory).await.primaries, [data(2)]);
}

#[tokio::test(start_paused = true)]
async fn replies_that_name_no_address_are_not_believed() {
    for reply in [
        names("", "6379"),
        names("10.0.0.1", ""),
        names("10.0.0.1", "0"),
        names("10.0.0.1", "65536"),
        names("10.0.0.1", "-1"),
        names("10.0.0.1", "+1"),
        names("10.0.0.1", " 6379"),
        names("10.0.0.1", "hunter2"),
        names("user:hunter2@10.0.0.1", "6379"),
        names("10.0.0.1\n10.0.0.2", "6379"),
        names(&"a".repeat(255), "6379"),
        list([text("10.0.0.1")]),
        list([text("10.0.0.1"), text("6379"), text("hunter2")]),
        list([]),
        list([names("10.0.0.1", "6379")]),
        text("10.0.0.1:6379"),
        ":6379\r\n".to_owned(),
        "%1\r\n+10.0.0.1\r\n+6379\r\n".to_owned(),
        "_\r\n".to_owned(),
        "-ERR hunter2\r\n".to_owned(),
        "-NOPERM hunter2\r\n".to_owned(),
        "HTTP/1.1 400 hunter2\r\n".to_owned(),
    ] {
        let (world, mut directory) = three();
        for number in 0..2 {
            world.replies(&sentinel(number), &reply);
        }
        let fault = look(&mut directory).await.expect_err(&reply);
        assert!(!format!("{fault:?}").contains("hunter2"), "{fault:?}");
        for number in 0..2 {
            world.names(&sentinel(number), &data(1));
        }
        good_look(&mut directory).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_that_the_sentinels_do_not_know_is_said_to_be_wrong() {
    let (world, mut directory) = three();
    for number in 0..3 {
        world.replies(&sentinel(number), "_\r\n");
    }
    let error = StoreError::from(look(&mut directory).await.unwrap_err());
    assert_eq!(error.kind(), StoreErrorKind::Refused);
}

#[tokio::test(start_paused = true)]
async fn host_names_and_ipv6_addresses_are_named_too() {
    for (host, shown) in [("redis-0.example", "redis-0.example:1"), ("2001:db8::1", "[2001:db8::1]:1")] {
        let (world, mut directory) = three();
        for number in 0..3 {
            world.replies(&sentinel(number), &names(host, "1"));
        }
        assert_eq!(look(&mut directory).await.unwrap().primaries[0].to_string(), shown);
    }
}

#[tokio::test(start_paused = true)]
async fn the_announcement_of_another_primary_is_news_and_that_of_another_service_is_not() {
    let (world, mut directory) = three();
    let announcement = |service: &str| {
        let message = format!("{service} 10.0.0.1 6379 10.0.0.2 6379");
        format!("{}>3\r\n{}{}{}", names("10.0.0.1", "6379"), text("message"), text("+switch-master"), text(&message))
    };
    look(&mut directory).await.unwrap();
    assert!(timeout(PATIENCE, directory.news()).await.is_err());
    world.replies(&sentinel(0), &announcement("service-2"));
    look(&mut directory).await.unwrap();
    assert!(timeout(PATIENCE, directory.news()).await.is_err());
    world.replies(&sentinel(0), &announcement("service"));
    look(&mut directory).await.unwrap();
    assert!(timeout(PATIENCE, directory.news()).await.is_ok());
}
