//! Nodes of a cluster that agree, that do not, that are gone, and that say what they should not.

use super::*;

fn node(number: usize) -> Address {
    Address::tcp("10.0.0.1", 7_000 + u16::try_from(number).unwrap())
}

fn id(number: usize) -> String {
    format!("{number:040x}")
}

/// How a node is listed.
fn listed(host: &str, number: usize) -> String {
    list([text(host), format!(":{}\r\n", 7_000 + number), text(&id(number)), list([])])
}

/// What one node says.
#[derive(Clone)]
struct Word {
    number: usize,
    known: usize,
    epoch: u64,
    state: &'static str,
    slots: String,
}

impl Word {
    /// The first node has the first half of the slots and the second the rest; the others are replicas of the two.
    fn usual(number: usize) -> Self {
        Self { number, known: 6, epoch: 6, state: "ok", slots: halves(0, 1) }
    }

    fn reply(&self, question: &[String]) -> String {
        let Self { number, known, epoch, state, slots } = self;
        match question[1].as_str() {
            "MYID" => text(&id(*number)),
            "INFO" => text(&format!(
                "cluster_state:{state}\r\ncluster_slots_assigned:16384\r\ncluster_known_nodes:{known}\r\n\
                 cluster_size:2\r\ncluster_current_epoch:{epoch}\r\ncluster_my_epoch:1\r\n"
            )),
            "SLOTS" => slots.clone(),
            // One that is new enough to know it, and does not permit it.
            _ => "-NOPERM hunter2\r\n".to_owned(),
        }
    }
}

/// The slots of two primaries; the other ones of six nodes are their replicas.
fn halves(first: usize, second: usize) -> String {
    let replicas: Vec<_> = (0..6).filter(|number| ![first, second].contains(number)).collect();
    let half = |range: &str, primary: usize, replicas: &[usize]| {
        let range = range.to_owned();
        let replicas = replicas.iter().map(|replica| listed("10.0.0.1", *replica));
        list([range, listed("10.0.0.1", primary)].into_iter().chain(replicas))
            .replacen("*4", "*5", 1)
            .replacen("*2\r\n:", "*3\r\n:", 1)
    };
    list([half(":0\r\n:8191\r\n", first, &replicas[..2]), half(":8192\r\n:16383\r\n", second, &replicas[2..])])
}

/// One primary with all slots, listed so.
fn one(entry: &str) -> String {
    list([format!("*3\r\n:0\r\n:16383\r\n{entry}")])
}

impl World {
    fn says(&self, word: Word) {
        self.set(&node(word.number), move |question| Says::This(word.reply(question)));
    }
}

/// Six nodes that agree, two of which are configured.
fn six() -> (World, Directory) {
    let world = World::default();
    for number in 0..6 {
        world.says(Word::usual(number));
    }
    let directory = world.directory(RedisTopology::Cluster, &[node(0), node(3)]);
    (world, directory)
}

#[tokio::test(start_paused = true)]
async fn nodes_that_are_named_are_asked_too_and_a_majority_decides() {
    let (world, mut directory) = six();
    assert!(directory.can_change());
    let view = look(&mut directory).await.unwrap();
    assert_eq!((view.primaries.as_slice(), view.epoch), ([node(0), node(1)].as_slice(), 6));
    assert_eq!([0, 8_191, 8_192, 16_383].map(|slot| view.slots.owner(slot)), [Some(0), Some(0), Some(1), Some(1)]);
    assert_eq!(look(&mut directory).await.unwrap(), view);
    for number in [0, 3] {
        world.set(&node(number), |_| Says::Nothing);
    }
    let began = Instant::now();
    assert_eq!(look(&mut directory).await.unwrap(), view, "four of six are enough");
    assert!(began.elapsed() < PATIENCE / 10, "it waited for the others");
    world.set(&node(5), |_| Says::Nothing);
    assert!(look(&mut directory).await.is_err(), "three of six are not");
}

#[tokio::test(start_paused = true)]
async fn a_failover_is_seen_when_a_majority_knows_of_it() {
    let (world, mut directory) = six();
    let before = look(&mut directory).await.unwrap();
    let after = |number| Word { epoch: 7, slots: halves(2, 1), ..Word::usual(number) };
    // Those who voted have counted up, and do not know of the outcome.
    for number in 1..6 {
        world.says(Word { epoch: 7, ..Word::usual(number) });
    }
    assert_eq!(look(&mut directory).await.unwrap().primaries, before.primaries);
    for number in [2, 3, 4] {
        world.says(after(number));
    }
    let fault = look(&mut directory).await.unwrap_err();
    assert_eq!(fault.detail(), "the nodes of the cluster do not agree on which of them has which slots");
    world.says(after(5));
    let view = look(&mut directory).await.unwrap();
    assert_eq!((view.primaries.as_slice(), view.epoch), ([node(2), node(1)].as_slice(), 7));
    assert_ne!(view, before);
    // Whoever is the first to hear of the next one does not make the epoch go back.
    for number in 0..6 {
        world.says(Word { epoch: 6, ..after(number) });
    }
    assert_eq!(look(&mut directory).await.unwrap().epoch, 7);
}

#[tokio::test(start_paused = true)]
async fn one_node_alone_is_never_believed() {
    // It has left the cluster, or was never in it: all nodes that it knows of agree with it.
    let lonely = Word { known: 1, slots: one(&listed("10.0.0.1", 3)), ..Word::usual(3) };
    let (world, mut directory) = six();
    world.says(lonely.clone());
    let view = look(&mut directory).await.unwrap();
    assert_eq!(view.primaries, [node(0), node(1)]);
    for number in [0, 1, 2, 4, 5] {
        world.set(&node(number), |_| Says::Nothing);
    }
    for _ in 0..20 {
        assert!(look(&mut directory).await.is_err());
    }
    // Nor is it when many addresses lead to it.
    let (world, mut directory) = six();
    look(&mut directory).await.unwrap();
    for number in 0..6 {
        let lonely = lonely.clone();
        world.set(&node(number), move |question| Says::This(lonely.reply(question)));
    }
    assert!(look(&mut directory).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_cluster_of_one_is_a_majority_of_itself() {
    let world = World::default();
    world.says(Word { known: 1, slots: one(&listed("", 0)), ..Word::usual(0) });
    let mut directory = world.directory(RedisTopology::Cluster, &[node(0)]);
    let view = look(&mut directory).await.unwrap();
    assert_eq!((view.primaries.as_slice(), view.slots.owner(12_182)), ([node(0)].as_slice(), Some(0)));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_holds_the_cluster_to_be_down_has_no_vote() {
    let (world, mut directory) = six();
    for number in 0..3 {
        world.says(Word { state: "fail", ..Word::usual(number) });
    }
    assert!(look(&mut directory).await.is_err());
    world.says(Word::usual(2));
    good_look(&mut directory).await;
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_grows_is_followed_one_node_at_a_time() {
    let (world, mut directory) = six();
    look(&mut directory).await.unwrap();
    for number in 0..6 {
        world.says(Word { known: 7, ..Word::usual(number) });
    }
    look(&mut directory).await.unwrap();
    for number in [4, 5] {
        world.set(&node(number), |_| Says::Nothing);
    }
    look(&mut directory).await.unwrap();
    world.set(&node(3), |_| Says::Nothing);
    assert!(look(&mut directory).await.is_err(), "three of seven");
    // Two that say that they are all there is.
    for number in 0..3 {
        world.says(Word { known: 3, ..Word::usual(number) });
    }
    assert!(look(&mut directory).await.is_err(), "three of six at least");
}

#[tokio::test(start_paused = true)]
async fn slots_of_nobody_have_no_primary() {
    let (world, mut directory) = six();
    let slots = list([format!("*3\r\n:5\r\n:6\r\n{}", listed("10.0.0.1", 0))]);
    for number in 0..6 {
        world.says(Word { slots: slots.clone(), ..Word::usual(number) });
    }
    // Nobody names the other nodes, so three of six have been heard.
    assert!(look(&mut directory).await.is_err());
    let mut directory = world.directory(RedisTopology::Cluster, &[node(0), node(1), node(2), node(3)]);
    let view = look(&mut directory).await.unwrap();
    assert_eq!([4, 5, 6, 7].map(|slot| view.slots.owner(slot)), [None, Some(0), Some(0), None]);
}

#[tokio::test(start_paused = true)]
async fn hosts_are_taken_as_they_are_announced() {
    for (host, shown) in [
        (text(""), "10.0.0.1:7000"),
        ("_\r\n".to_owned(), "10.0.0.1:7000"),
        (text("redis-0.example"), "redis-0.example:7000"),
        (text("2001:db8::1"), "[2001:db8::1]:7000"),
    ] {
        let world = World::default();
        let entry = format!("*3\r\n{host}:7000\r\n{}", text(&id(0)));
        world.says(Word { known: 1, slots: one(&entry), ..Word::usual(0) });
        let mut directory = world.directory(RedisTopology::Cluster, &[node(0)]);
        assert_eq!(look(&mut directory).await.unwrap().primaries[0].to_string(), shown);
    }
}

#[tokio::test(start_paused = true)]
async fn nodes_that_stand_beside_no_slots_are_found_too() {
    for (primary, host) in [("10.0.0.1", "10.0.0.1"), ("redis.example", "redis.example")] {
        let world = World::default();
        let line = |number: usize, flags: &str| {
            format!("{} 10.0.0.1:{}@1,redis.example,shard-id=x {flags} - 0 0 1 connected\n", id(number), 7_000 + number)
        };
        let lines = [line(0, "myself,master"), line(1, "slave"), line(2, "slave,fail"), line(3, "handshake")];
        let lines = lines.concat() + "\nhunter2\n::\n";
        for number in 0..3 {
            let word = Word { known: 3, slots: one(&listed(primary, 0)), ..Word::usual(number) };
            let lines = lines.clone();
            world.set(&Address::tcp(host, 7_000 + u16::try_from(number).unwrap()), move |question| {
                Says::This(if question[1] == "NODES" { text(&lines) } else { word.reply(question) })
            });
        }
        let mut directory = world.directory(RedisTopology::Cluster, &[Address::tcp(host, 7_000)]);
        assert_eq!(look(&mut directory).await.unwrap().primaries, [Address::tcp(host, 7_000)]);
        let ports = world.dialled.lock().unwrap().iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(ports, [7_000, 7_001, 7_002].map(|port| format!("{host}:{port}")));
    }
}

#[tokio::test(start_paused = true)]
async fn a_replica_without_a_name_does_no_harm() {
    let world = World::default();
    let slots = list([format!("*4\r\n:0\r\n:16383\r\n{}{}", listed("10.0.0.1", 0), listed("?", 1))]);
    world.says(Word { known: 1, slots, ..Word::usual(0) });
    let mut directory = world.directory(RedisTopology::Cluster, &[node(0)]);
    look(&mut directory).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn replies_that_cannot_be_true_are_not_believed() {
    let range =
        |first: i64, last: i64, number: usize| format!("*3\r\n:{first}\r\n:{last}\r\n{}", listed("10.0.0.1", number));
    let entry = |entry: String| one(&entry);
    let elsewhere = format!("*3\r\n:9\r\n:9\r\n{}", listed("10.0.0.2", 0));
    for slots in [
        list([]),
        list([range(0, 16_384, 0)]),
        list([range(-1, 5, 0)]),
        list([range(6, 5, 0)]),
        list([range(0, 65_536, 0)]),
        list([range(0, 5, 0), range(5, 9, 1)]),
        list([range(0, 9, 0), range(5, 5, 0)]),
        list([range(0, 5, 0), elsewhere]),
        list(["*2\r\n:0\r\n:16383\r\n".to_owned()]),
        list(["*3\r\n+0\r\n+16383\r\n".to_owned() + &listed("10.0.0.1", 0)]),
        entry(list([])),
        entry(text("10.0.0.1:7000")),
        entry(list([text("10.0.0.1"), ":7000\r\n".to_owned()])),
        entry(list([text("10.0.0.1"), text("7000"), text(&id(0))])),
        entry(list([text("10.0.0.1"), ":0\r\n".to_owned(), text(&id(0))])),
        entry(list([text("10.0.0.1"), ":65536\r\n".to_owned(), text(&id(0))])),
        entry(list([text("10.0.0.1"), ":7000\r\n".to_owned(), text("")])),
        entry(list([text("10.0.0.1"), ":7000\r\n".to_owned(), text(&"a".repeat(65))])),
        entry(list([text("?"), ":7000\r\n".to_owned(), text(&id(0))])),
        entry(list([text("hunter2@10.0.0.1"), ":7000\r\n".to_owned(), text(&id(0))])),
        text("hunter2"),
        "_\r\n".to_owned(),
        "-ERR hunter2\r\n".to_owned(),
    ] {
        let world = World::default();
        world.says(Word { known: 1, slots: slots.clone(), ..Word::usual(0) });
        let mut directory = world.directory(RedisTopology::Cluster, &[node(0)]);
        let fault = look(&mut directory).await.expect_err(&slots);
        assert!(!format!("{fault:?}").contains("hunter2"), "{fault:?}");
    }
    for info in ["cluster_state:ok", "cluster_state:ok\r\ncluster_known_nodes:-1\r\ncluster_current_epoch:1", ""] {
        let world = World::default();
        let word = Word { known: 1, slots: one(&listed("10.0.0.1", 0)), ..Word::usual(0) };
        world.set(&node(0), move |question| {
            Says::This(if question[1] == "INFO" { text(info) } else { word.reply(question) })
        });
        let mut directory = world.directory(RedisTopology::Cluster, &[node(0)]);
        assert!(look(&mut directory).await.is_err(), "{info}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_names_many_others_does_not_have_them_all_asked() {
    let world = World::default();
    let replicas: String = (1..5_000).map(|number| listed("10.0.0.1", number)).collect();
    let slots = list([format!("*{}\r\n:0\r\n:16383\r\n{}{replicas}", 3 + 4_999, listed("10.0.0.1", 0))]);
    world.says(Word { known: 5_000, slots, ..Word::usual(0) });
    let mut directory = world.directory(RedisTopology::Cluster, &[node(0)]);
    assert!(look(&mut directory).await.is_err());
    assert_eq!(world.dialled.lock().unwrap().len(), 1_000);
}
