//! The workload as people write it.
//!
//! ```toml
//! seed = 1
//! protocol = "http/1.1"                    # or "h2"
//! authentication = "client_secret_basic"   # or "client_secret_post", "bearer"
//!
//! [mix]                # weights, not per cents
//! active-hot = 80
//! revoked = 15
//! unknown = 5
//!
//! [population]         # how many tokens of each kind, where its weight is above 0
//! hot = 10000
//! cold = 100000
//! others = 1000
//! zipf-exponent = 1.0
//!
//! [changes]            # while it is read
//! revocations-per-second = 10
//! issues-per-second = 10
//! ```

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::Kind;

/// What is asked, how often, and in which form.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Workload {
    /// Decides every choice of the run.
    #[serde(default)]
    pub(crate) seed: u64,
    /// How requests are put on the wire.
    #[serde(default)]
    pub(crate) protocol: Protocol,
    /// How the caller proves who it is.
    #[serde(default)]
    pub(crate) authentication: Authentication,
    /// How often each kind is asked.
    pub(crate) mix: Mix,
    /// How many tokens there are.
    #[serde(default)]
    pub(crate) population: Sizes,
    /// What changes meanwhile.
    #[serde(default)]
    pub(crate) changes: Changes,
}

/// How requests are put on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
pub(crate) enum Protocol {
    /// One request at a time on each connection (RFC 9112).
    #[default]
    #[serde(rename = "http/1.1")]
    #[value(name = "http/1.1")]
    Http1,
    /// Several at a time, with prior knowledge (RFC 9113 section 3.3).
    #[serde(rename = "h2")]
    #[value(name = "h2")]
    Http2,
}

/// How the caller proves who it is; the names are those of RFC 7591 section 2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub(crate) enum Authentication {
    /// RFC 6749 section 2.3.1, the header.
    #[default]
    ClientSecretBasic,
    /// RFC 6749 section 2.3.1, the body.
    ClientSecretPost,
    /// A token of the caller's own (RFC 6750).
    Bearer,
}

/// The weight of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Mix {
    active_hot: f64,
    active_cold: f64,
    expired: f64,
    revoked: f64,
    unknown: f64,
    malformed: f64,
    jwt: f64,
    wrong_client: f64,
}

impl Mix {
    /// The weight of a kind.
    pub(crate) fn weight(&self, kind: Kind) -> f64 {
        match kind {
            Kind::ActiveHot => self.active_hot,
            Kind::ActiveCold => self.active_cold,
            Kind::Expired => self.expired,
            Kind::Revoked => self.revoked,
            Kind::Unknown => self.unknown,
            Kind::Malformed => self.malformed,
            Kind::Jwt => self.jwt,
            Kind::WrongClient => self.wrong_client,
        }
    }
}

/// How many tokens there are.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Sizes {
    hot: u32,
    cold: u32,
    others: u32,
    /// How uneven the hot ones are asked: 0 is evenly, 1 is Zipf's own law.
    pub(crate) zipf_exponent: f64,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { hot: 1000, cold: 10_000, others: 100, zipf_exponent: 1.0 }
    }
}

impl Sizes {
    /// How many of a kind.
    pub(crate) fn of(&self, kind: Kind) -> u32 {
        match kind {
            Kind::ActiveHot => self.hot,
            Kind::ActiveCold => self.cold,
            _ => self.others,
        }
    }
}

/// What changes while it is read; only hot tokens do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Changes {
    /// Live tokens that are revoked, each second.
    pub(crate) revocations_per_second: f64,
    /// New tokens that take the places of others, of revoked ones first, each second.
    pub(crate) issues_per_second: f64,
}

impl Changes {
    /// Whether nothing changes.
    pub(crate) fn is_none(&self) -> bool {
        self.revocations_per_second <= 0.0 && self.issues_per_second <= 0.0
    }
}

const MOST_TOKENS: u32 = 10_000_000;
const MOST_CHANGES: f64 = 100_000.0;

impl Workload {
    /// Reads a file's text; what is wrong is said with its line.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let workload: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        workload.check()?;
        Ok(workload)
    }

    /// The kinds that are asked at all.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = Kind> {
        Kind::ALL.into_iter().filter(|&kind| self.mix.weight(kind) > 0.0)
    }

    fn check(&self) -> Result<(), String> {
        let weights = Kind::ALL.map(|kind| self.mix.weight(kind));
        if weights.iter().any(|weight| !weight.is_finite() || *weight < 0.0) || self.kinds().next().is_none() {
            return Err("mix: weights must be 0 or more, and one at least more".to_owned());
        }
        if self.kinds().any(|kind| !(1..=MOST_TOKENS).contains(&self.population.of(kind))) {
            return Err(format!("population: each kind in the mix needs 1 to {MOST_TOKENS} tokens"));
        }
        if !(0.0..=10.0).contains(&self.population.zipf_exponent) {
            return Err("population.zipf-exponent: must be from 0 to 10".to_owned());
        }
        let changes = [self.changes.revocations_per_second, self.changes.issues_per_second];
        if changes.iter().any(|rate| !(0.0..=MOST_CHANGES).contains(rate)) {
            return Err(format!("changes: rates must be from 0 to {MOST_CHANGES}"));
        }
        if !self.changes.is_none() && self.mix.active_hot <= 0.0 {
            return Err("changes: only tokens of active-hot change, and the mix has none".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_with_its_defaults() {
        let workload =
            Workload::parse("seed = 7\nprotocol = \"h2\"\n[mix]\nactive-hot = 9\nwrong-client = 1\n").unwrap();
        assert_eq!((workload.seed, workload.protocol), (7, Protocol::Http2));
        assert_eq!(workload.authentication, Authentication::ClientSecretBasic);
        assert_eq!(workload.kinds().collect::<Vec<_>>(), [Kind::ActiveHot, Kind::WrongClient]);
        assert_eq!((workload.population.of(Kind::ActiveHot), workload.population.of(Kind::WrongClient)), (1000, 100));
        assert!(workload.changes.is_none());
    }

    #[test]
    fn the_recipe_is_a_workload() {
        assert_eq!(Workload::parse(include_str!("../../recipes/workload.toml")).unwrap().kinds().count(), 8);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (text, part) in [
            ("", "mix"),
            ("[mix]", "mix"),
            ("[mix]\nactive-hot = -1", "mix"),
            ("[mix]\nactive-hot = nan", "mix"),
            ("[mix]\nhot = 1", "hot"),
            ("[mix]\nactive-hot = 1\n[population]\nhot = 0", "population"),
            ("[mix]\nactive-hot = 1\n[population]\nhot = 4000000000", "population"),
            ("[mix]\nactive-hot = 1\n[population]\nzipf-exponent = -1", "zipf"),
            ("[mix]\nactive-hot = 1\n[changes]\nissues-per-second = 1e9", "changes"),
            ("[mix]\nrevoked = 1\n[changes]\nissues-per-second = 1", "changes"),
            ("authentication = \"none\"\n[mix]\nactive-hot = 1", "authentication"),
        ] {
            let message = Workload::parse(text).unwrap_err();
            assert!(message.contains(part), "{text}: {message}");
        }
    }
}
