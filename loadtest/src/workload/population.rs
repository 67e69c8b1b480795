//! The tokens of a run, and which is asked next.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use super::Kind;
use super::file::Workload;
use super::tokens::Known;
use super::zipf::Weighted;
use crate::client::form;
use crate::random::Random;
use crate::truth::Truth;

/// One token: how it is asked, and what is true of it.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The form that asks for it, without what proves the caller.
    pub(crate) form: Box<[u8]>,
    /// What is true of it now.
    pub(crate) truth: Truth,
    /// The `sub` that an answer for it must have, where that is known.
    pub(crate) subject: Option<Box<str>>,
    /// Kept only of those that may be revoked.
    pub(crate) token: Option<Box<str>>,
}

/// All tokens of a run; new ones can be added while others are asked.
#[derive(Debug)]
pub(crate) struct Population {
    entries: Vec<OnceLock<Entry>>,
    used: AtomicUsize,
    order: Order,
}

#[derive(Debug)]
enum Order {
    /// The file is the mix: its lines, round and round.
    Listed,
    /// The workload is.
    Mixed { kinds: Weighted, pools: Vec<Pool>, hot: Option<Weighted>, seed: u64 },
}

/// The entries of one kind. Behind a rank may come to be another token than the one it began with.
#[derive(Debug, Default)]
struct Pool {
    ranks: Vec<AtomicU32>,
    turn: AtomicUsize,
}

impl Population {
    /// The tokens of a list, asked in its order.
    pub(crate) fn listed(tokens: Vec<Known>) -> Self {
        let entries: Vec<_> = tokens.into_iter().map(|known| OnceLock::from(Entry::new(known, false))).collect();
        Self { used: AtomicUsize::new(entries.len()), entries, order: Order::Listed }
    }

    /// The tokens of a list, asked as the workload says; with room for so many `additions`.
    pub(crate) fn mixed(workload: &Workload, tokens: Vec<Known>, additions: usize) -> Result<Self, String> {
        let mut pools: Vec<Pool> = Kind::ALL.iter().map(|_| Pool::default()).collect();
        let mut entries = Vec::with_capacity(tokens.len() + additions);
        let changing = !workload.changes.is_none();
        for known in tokens {
            let kind = known.kind.ok_or("--tokens: with a workload, each line needs its kind")?;
            let number = u32::try_from(entries.len()).map_err(|_| "--tokens: too many".to_owned())?;
            pools[kind.index()].ranks.push(AtomicU32::new(number));
            entries.push(OnceLock::from(Entry::new(known, changing && kind == Kind::ActiveHot)));
        }
        if let Some(kind) = workload.kinds().find(|kind| pools[kind.index()].ranks.is_empty()) {
            return Err(format!("the mix asks for {kind:?}, of which there is no token"));
        }
        let used = AtomicUsize::new(entries.len());
        entries.extend((0..additions).map(|_| OnceLock::new()));
        let hot = pools[Kind::ActiveHot.index()].ranks.len();
        Ok(Self {
            entries,
            used,
            order: Order::Mixed {
                kinds: Weighted::new(&Kind::ALL.map(|kind| workload.mix.weight(kind))),
                pools,
                hot: (hot > 0).then(|| Weighted::zipf(hot, workload.population.zipf_exponent)),
                seed: workload.seed,
            },
        })
    }

    /// How many tokens there are, counting those that were added.
    pub(crate) fn len(&self) -> usize {
        self.used.load(Ordering::Relaxed).min(self.entries.len())
    }

    /// A token by its number.
    pub(crate) fn get(&self, number: usize) -> &Entry {
        self.entries[number].get().expect("numbers are given out for entries that are there")
    }

    /// Who chooses for thread `thread` of `threads`.
    pub(crate) fn picker(&self, thread: u16, threads: u16) -> Picker {
        let seed = match &self.order {
            Order::Listed => 0,
            Order::Mixed { seed, .. } => *seed,
        };
        Picker { random: Random::new(seed, u64::from(thread)), next: thread.into(), step: threads.into() }
    }

    /// A hot rank and the number of the token behind it, chosen evenly: seldom asked tokens are revoked, too.
    pub(crate) fn any_hot(&self, random: &mut Random) -> Option<(usize, usize)> {
        let Order::Mixed { pools, .. } = &self.order else { return None };
        let ranks = &pools[Kind::ActiveHot.index()].ranks;
        let rank = random.below(ranks.len());
        ranks.get(rank).map(|number| (rank, number.load(Ordering::Acquire) as usize))
    }

    /// Puts a new token behind a hot rank; `false` when there is no room left.
    pub(crate) fn replace(&self, rank: usize, known: Known) -> bool {
        let Order::Mixed { pools, .. } = &self.order else { return false };
        let number = self.used.fetch_add(1, Ordering::Relaxed);
        let Some(place) = self.entries.get(number) else { return false };
        place.get_or_init(|| Entry::new(known, true));
        let number = u32::try_from(number).expect("as many as fit were made");
        pools[Kind::ActiveHot.index()].ranks[rank].store(number, Ordering::Release);
        true
    }
}

impl Entry {
    fn new(known: Known, changes: bool) -> Self {
        Self {
            form: format!("token={}", form::encode(&known.token)).into_bytes().into(),
            truth: Truth::new(known.active),
            subject: known.sub.map(Into::into),
            token: changes.then(|| known.token.into()),
        }
    }
}

/// Chooses for one thread.
#[derive(Debug)]
pub(crate) struct Picker {
    random: Random,
    next: usize,
    step: usize,
}

impl Picker {
    /// The number of the token that is asked next.
    pub(crate) fn pick(&mut self, population: &Population) -> usize {
        match &population.order {
            Order::Listed => {
                let number = self.next % population.entries.len();
                self.next = (self.next + self.step) % (population.entries.len() * self.step);
                number
            }
            Order::Mixed { kinds, pools, hot, .. } => {
                let kind = kinds.choose(&mut self.random);
                let pool = &pools[kind];
                let rank = match hot {
                    Some(hot) if kind == Kind::ActiveHot.index() => hot.choose(&mut self.random),
                    _ => pool.turn.fetch_add(1, Ordering::Relaxed) % pool.ranks.len(),
                };
                pool.ranks[rank].load(Ordering::Acquire) as usize
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(number: usize, kind: Option<Kind>) -> Known {
        let active = kind.is_none_or(Kind::is_active);
        Known { token: format!("token {number}"), active, kind, sub: None }
    }

    #[test]
    fn a_list_is_asked_in_its_order_by_all_threads_together() {
        let population = Population::listed((0..5).map(|number| known(number, None)).collect());
        assert_eq!(&population.get(2).form[..], b"token=token+2");
        let mut pickers = [population.picker(0, 2), population.picker(1, 2)];
        let asked: Vec<usize> = (0..12).map(|turn| pickers[turn % 2].pick(&population)).collect();
        assert_eq!(asked, [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1]);
    }

    #[test]
    fn a_mix_has_its_shares_and_each_cold_token_its_turn() {
        let workload = Workload::parse("[mix]\nactive-hot = 3\nactive-cold = 1\n").unwrap();
        let kinds = (0..20).map(|number| if number < 10 { Kind::ActiveHot } else { Kind::ActiveCold });
        let tokens = kinds.enumerate().map(|(number, kind)| known(number, Some(kind))).collect();
        let population = Population::mixed(&workload, tokens, 0).unwrap();
        let mut picker = population.picker(0, 1);
        let asked: Vec<usize> = (0..10_000).map(|_| picker.pick(&population)).collect();
        let cold: Vec<usize> = asked.iter().copied().filter(|number| *number >= 10).collect();
        assert!((2300..2700).contains(&cold.len()), "{}", cold.len());
        assert!(cold.iter().enumerate().all(|(turn, number)| *number == 10 + turn % 10));
        let first = asked.iter().filter(|number| **number == 0).count();
        // The share of the first of ten by Zipf's law is 1 / 2.929.
        assert!((2350..2770).contains(&first), "{first}");
        assert!((0..20).all(|number| asked.contains(&number)));
    }

    #[test]
    fn a_new_token_takes_the_place_of_another_while_there_is_room() {
        let workload = Workload::parse("[mix]\nactive-hot = 1\n[changes]\nissues-per-second = 1\n").unwrap();
        let population = Population::mixed(&workload, vec![known(0, Some(Kind::ActiveHot))], 1).unwrap();
        assert_eq!(population.any_hot(&mut Random::new(0, 0)), Some((0, 0)));
        assert!(population.replace(0, known(7, Some(Kind::ActiveHot))));
        assert!(!population.replace(0, known(8, Some(Kind::ActiveHot))));
        let asked = population.picker(0, 1).pick(&population);
        assert_eq!((asked, population.len()), (1, 2));
        assert_eq!(population.get(asked).token.as_deref(), Some("token 7"));
    }

    #[test]
    fn a_mix_without_its_tokens_is_refused() {
        let workload = Workload::parse("[mix]\nrevoked = 1\n").unwrap();
        assert!(Population::mixed(&workload, vec![known(0, Some(Kind::ActiveHot))], 0).is_err());
        assert!(Population::mixed(&workload, vec![known(0, None)], 0).is_err());
    }
}
