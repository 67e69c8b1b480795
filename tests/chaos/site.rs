//! Three nodes of the service, each a process of its own, over whatever Redis they are given.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use checker::Verdict;
use checker::history::event::{Answer, Outcome};
use checker::history::fault::Fault;
use checker::history::mode::{Acknowledge, Durability};
use checker::history::{Event, History, Moment};
use serde_json::json;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::caller::{Caller, Wanted};
use crate::load::{CLIENTS, Load, NODES, Names, any_node};
use crate::say;
use crate::support::node::OPERATOR;
use crate::support::program::Program;
use crate::tokens::Tokens;
use crate::witness::{LEASE, Witness, mode};

/// How long everything may take to work again once a fault is undone.
const RECOVERY: Duration = Duration::from_secs(15);

/// What is promised, and where Redis is.
#[derive(Clone)]
pub(crate) struct Setting {
    pub(crate) acknowledge: Acknowledge,
    pub(crate) durability: Durability,
    /// Whether keys lie on shards, as [`crate::cluster`] counts them.
    pub(crate) is_sharded: bool,
    /// Settings of each node, as environment variables: they may differ in how Redis is reached.
    pub(crate) redis: [Vec<(&'static str, String)>; NODES as usize],
}

impl Setting {
    /// The usual promise over one Redis at these addresses, one for each node.
    pub(crate) fn standalone(urls: [String; NODES as usize]) -> Self {
        Self {
            acknowledge: Acknowledge::Visible,
            durability: Durability::Replay,
            is_sharded: false,
            redis: urls.map(|url| vec![("INTROSPECTD_REDIS__URL", url)]),
        }
    }
}

/// The nodes, and all that is seen of them.
pub(crate) struct Site {
    pub(crate) caller: Caller,
    pub(crate) witness: Arc<Witness>,
    pub(crate) tokens: Arc<Tokens>,
    names: Arc<Names>,
    nodes: Arc<RwLock<Vec<Program>>>,
    variables: Vec<Vec<(&'static str, String)>>,
    machine: JoinHandle<()>,
    load: Option<Load>,
    _room: SemaphorePermit<'static>,
}

/// A fault that has been begun.
pub(crate) struct Begun {
    fault: Fault,
    at: Instant,
}

/// Two sites at a time: mostly they wait, but more would make each other slow, and what is too slow is a fault.
static ROOM: Semaphore = Semaphore::const_new(2);

impl Site {
    /// Starts the nodes and makes the clients.
    pub(crate) async fn start(setting: Setting) -> Self {
        let room = ROOM.acquire().await.unwrap();
        let variables: Vec<_> =
            setting.redis.iter().map(|redis| [redis.clone(), variables(&setting)].concat()).collect();
        let nodes = Arc::new(RwLock::new(variables.iter().map(|variables| launch(variables)).collect::<Vec<_>>()));
        let witness = Witness::new(mode(setting.acknowledge, setting.durability));
        let caller = Caller::new(Arc::clone(&nodes), Arc::clone(&witness), setting.is_sharded);
        for client in CLIENTS {
            caller.create_client(0, client).await;
        }
        let machine = witness.watch_the_machine();
        let (tokens, names) = (Arc::default(), Arc::default());
        Self { caller, witness, tokens, names, nodes, variables, machine, load: None, _room: room }
    }

    /// Begins to do what clients do.
    pub(crate) async fn begin_load(&mut self) {
        let (tokens, names) = (Arc::clone(&self.tokens), Arc::clone(&self.names));
        self.load = Some(Load::begin(self.caller.clone(), tokens, names).await);
        sleep(Duration::from_millis(500)).await;
    }

    /// A name for a token that none has yet.
    pub(crate) fn name(&self) -> String {
        self.names.next()
    }

    /// The names themselves, for whoever outlives this borrow.
    pub(crate) fn names(&self) -> Arc<Names> {
        Arc::clone(&self.names)
    }

    // --- nodes ---

    pub(crate) fn freeze_node(&self, node: u16) {
        self.with_node(node, |program| program.freeze());
    }

    pub(crate) fn thaw_node(&self, node: u16) {
        self.with_node(node, |program| program.thaw());
    }

    pub(crate) fn kill_node(&self, node: u16) {
        self.with_node(node, Program::kill);
    }

    /// Starts a node that was killed.
    pub(crate) async fn restart_node(&self, node: u16) {
        let variables = self.variables[usize::from(node)].clone();
        let program = tokio::task::spawn_blocking(move || launch(&variables)).await.unwrap();
        self.with_node(node, |place| *place = program);
    }

    fn with_node<T>(&self, node: u16, what: impl FnOnce(&mut Program) -> T) -> T {
        what(&mut self.nodes.write().unwrap_or_else(PoisonError::into_inner)[usize::from(node)])
    }

    // --- faults ---

    pub(crate) fn now(&self) -> Moment {
        self.witness.now()
    }

    /// Notes that a fault is about to begin.
    pub(crate) fn begin(&self, what: &str) -> Begun {
        let fault = Fault { fault: what.to_owned(), begin: self.now(), ..Fault::default() };
        Begun { fault, at: Instant::now() }
    }

    /// Waits until everything works again after a fault has been undone, and takes it down.
    pub(crate) async fn end(&self, begun: Begun) {
        let undone = Instant::now();
        while !self.works().await {
            assert!(undone.elapsed() < RECOVERY, "nothing works {RECOVERY:?} after {}", begun.fault.fault);
            sleep(Duration::from_millis(50)).await;
        }
        let held = undone.duration_since(begun.at);
        println!("{}: held {held:.1?}, worked again {:.1?} after it was undone", begun.fault.fault, undone.elapsed());
        let end = Some(self.now());
        self.witness.record(Event::Fault(Fault { end, ..begun.fault }));
        // Some peace, so that what is refused later has no excuse.
        sleep(Duration::from_millis(700)).await;
    }

    /// Takes a fault down that is not undone.
    pub(crate) fn leave(&self, begun: Begun) {
        self.witness.record(Event::Fault(begun.fault));
    }

    /// Whether every node takes a token in, all know it, and it ends it.
    async fn works(&self) -> bool {
        let (one, two, three) = tokio::join!(self.node_works(0), self.node_works(1), self.node_works(2));
        one && two && three
    }

    async fn node_works(&self, node: u16) -> bool {
        let wanted = Wanted { client: CLIENTS[0].to_owned(), lifetime: 60, ..Wanted::default() };
        let Some(token) = self.caller.issue(node, &self.name(), &wanted).await else { return false };
        for asked in 0..NODES {
            if self.caller.introspect(asked, &token).await != Answer::Active {
                return false;
            }
        }
        self.caller.revoke(node, &token).await == Outcome::Done
    }

    // --- the end ---

    /// Ends the load, asks every node about every token once more, before and after all of them are revoked at once,
    /// and gives what was seen.
    pub(crate) async fn finish(&mut self) -> (History, Vec<String>) {
        if let Some(load) = self.load.take() {
            load.end().await;
            self.ask_about_all().await;
            // What comes after it is not covered.
            self.caller.revoke_issued(any_node(), None, None).await;
            let wanted = Wanted { client: CLIENTS[0].to_owned(), lifetime: 3600, ..Wanted::default() };
            if let Some(token) = self.caller.issue(any_node(), &self.name(), &wanted).await {
                self.tokens.add(token);
            }
        }
        self.ask_about_all().await;
        (self.witness.take(), self.witness.strangest())
    }

    async fn ask_about_all(&self) {
        let ask = async |node| {
            for token in self.tokens.list() {
                self.caller.introspect(node, &token).await;
            }
        };
        tokio::join!(ask(0), ask(1), ask(2));
    }

    /// The same, and has it judged: the promise must have been kept.
    pub(crate) async fn judge(mut self, name: &str) -> Verdict {
        let (history, strange) = self.finish().await;
        let mut hits = 0;
        for node in 0..NODES {
            let cache = self.caller.cache(node).await;
            println!("{name}: near cache of node {node}: {cache:?}");
            hits += cache.get("hit").copied().unwrap_or_default();
        }
        assert!(hits > 0, "whoever remembers nothing contradicts nothing");
        let verdict = checker::judge(&history).unwrap();
        println!("{name}: {verdict}");
        if !verdict.holds() || !strange.is_empty() {
            let path = self.keep(name, &history);
            panic!("{name}: {:?}\n{strange:#?}\nthe history is in {path}", verdict.broken);
        }
        let counts = &verdict.counts;
        say(&format!(
            "proof: chaos, {name}: {} faults under {} introspections ({} of them with 503 or no answer), {} answered \
             revocations, {} approvals: no invariant broken, {hits} answers from near caches",
            counts.faults,
            counts.active + counts.inactive + counts.unavailable + counts.unanswered,
            counts.unavailable + counts.unanswered,
            counts.revoked,
            counts.approved
        ));
        verdict
    }

    /// Writes a history down, and what the nodes said, for whoever has to find out.
    fn keep(&self, name: &str, history: &History) -> String {
        let path = |name: &str| format!("{}/{name}", env!("CARGO_TARGET_TMPDIR"));
        let file = std::fs::File::create(path(&format!("{name}.jsonl"))).unwrap();
        history.write(std::io::BufWriter::new(file)).unwrap();
        for node in 0..NODES {
            let log = self.with_node(node, |program| program.log());
            std::fs::write(path(&format!("{name}.{node}.log")), log).unwrap();
        }
        path(&format!("{name}.jsonl"))
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.machine.abort();
    }
}

impl Begun {
    /// It hits only these nodes.
    pub(crate) fn nodes(mut self, nodes: &[u16]) -> Self {
        self.fault.nodes = Some(nodes.to_vec());
        self
    }

    /// It hits only these shards.
    pub(crate) fn shards(mut self, shards: &[u8]) -> Self {
        self.fault.shards = Some(shards.to_vec());
        self
    }

    /// Nobody can have heard anything of what it hits between these moments.
    pub(crate) fn silent(mut self, from: Moment, to: Moment) -> Self {
        self.fault.silent = Some((from, to));
        self
    }

    /// A failover comes with it that may lose what was written since this moment.
    pub(crate) fn loses_since(mut self, since: Moment) -> Self {
        self.fault.loses_since = Some(since);
        self
    }
}

fn launch(variables: &[(&'static str, String)]) -> Program {
    let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    Program::serve(&[], &variables)
}

fn variables(setting: &Setting) -> Vec<(&'static str, String)> {
    let operator = json!([{
        "client_id": OPERATOR.0, "client_secret": OPERATOR.1, "audiences": ["*"],
        "rights": ["introspect", "revoke", "issue", "admin"]
    }]);
    let keys = json!([{"id": "t1", "secret": "the digest key of the tests, 32 bytes"}]);
    let word = |word: serde_json::Value| word.as_str().unwrap().to_owned();
    vec![
        // The machine is shared with everything else that is tested.
        ("INTROSPECTD_REDIS__CONNECT_TIMEOUT", "3s".to_owned()),
        ("INTROSPECTD_REDIS__RESPONSE_TIMEOUT", "500ms".to_owned()),
        ("INTROSPECTD_REVOCATION__ACKNOWLEDGE", word(json!(setting.acknowledge))),
        ("INTROSPECTD_REVOCATION__DURABILITY", word(json!(setting.durability))),
        ("INTROSPECTD_REVOCATION__LEASE", format!("{}ms", LEASE.as_millis())),
        ("INTROSPECTD_ISSUER", "https://as.example.com".to_owned()),
        ("INTROSPECTD_KEYS__DIGEST", keys.to_string()),
        ("INTROSPECTD_CLIENTS", operator.to_string()),
    ]
}
