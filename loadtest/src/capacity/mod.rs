//! How many are needed: a fit of the Universal Scalability Law to measured points, in [`usl`].

pub(crate) mod usl;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use crate::arguments::load::Format;
use crate::arguments::value::{rate, share};
use crate::arguments::{Failure, read};
use usl::Law;

/// Fits the Universal Scalability Law, and says how many replicas are needed.
#[derive(Debug, Args)]
pub(crate) struct CapacityCommand {
    /// Measured points: a line for each, with the number of replicas (or of connections) and the throughput, separated
    /// by a comma or blanks. `#` begins a comment.
    points: PathBuf,
    /// Rates to be served, separated by commas.
    #[arg(long, value_delimiter = ',', value_parser = rate)]
    rates: Vec<f64>,
    /// Which share of what they can do the replicas are to be used at.
    #[arg(long, default_value = "60%", value_parser = share)]
    utilisation: f64,
    /// How to tell.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

impl CapacityCommand {
    /// Fits, and tells.
    pub(crate) fn execute(&self) -> Result<ExitCode, Failure> {
        if self.utilisation <= 0.0 {
            return Err(Failure::Usage("--utilisation: must be above 0 %".to_owned()));
        }
        let points =
            parse(&read(&self.points)?).map_err(|why| Failure::Usage(format!("{}: {why}", self.points.display())))?;
        let law = Law::fit(&points).map_err(|why| Failure::Usage(format!("{}: {why}", self.points.display())))?;
        match self.format {
            Format::Text => print!("{}", self.text(&law, &points)),
            Format::Json => println!("{}", self.json(&law, &points)),
        }
        Ok(ExitCode::SUCCESS)
    }

    fn needed(&self, law: &Law, rate: f64) -> Option<u64> {
        law.needed(rate / self.utilisation)
    }

    fn text(&self, law: &Law, points: &[(f64, f64)]) -> String {
        let Law { lambda, sigma, kappa } = law;
        let mut lines = vec![format!(
            "one alone {lambda:.1}/s, contention {sigma:.6}, crosstalk {kappa:.8}; R squared {:.4} over {} points",
            law.determination(points),
            points.len()
        )];
        lines.push(match (law.peak(), law.limit()) {
            (Some((count, most)), _) => format!("peak      {most:.0}/s with {count:.0}; more make it slower"),
            (None, Some(limit)) => format!("peak      none; no number reaches {limit:.0}/s"),
            (None, None) => "peak      none, and no limit".to_owned(),
        });
        if !self.rates.is_empty() {
            lines.push(format!("      rate  needed at {:.0} %", self.utilisation * 100.0));
        }
        for rate in &self.rates {
            let needed = self.needed(law, *rate).map_or("not to be reached".to_owned(), |count| count.to_string());
            lines.push(format!("{rate:>10.0}  {needed}"));
        }
        lines.join("\n") + "\n"
    }

    fn json(&self, law: &Law, points: &[(f64, f64)]) -> Value {
        let peak = law.peak().map(|(count, throughput)| json!({"count": count, "throughput": throughput}));
        let needed = |rate: &f64| json!({"rate": rate, "needed": self.needed(law, *rate)});
        json!({
            "tool": env!("CARGO_PKG_NAME"), "version": env!("CARGO_PKG_VERSION"), "kind": "capacity",
            "lambda": law.lambda, "sigma": law.sigma, "kappa": law.kappa, "r_squared": law.determination(points),
            "peak": peak, "utilisation": self.utilisation, "needed": self.rates.iter().map(needed).collect::<Vec<_>>(),
        })
    }
}

fn parse(text: &str) -> Result<Vec<(f64, f64)>, String> {
    let mut points = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default();
        let fields: Vec<&str> = line.split([',', ' ', '\t', ';']).filter(|field| !field.is_empty()).collect();
        let value = |field: &str| field.parse::<f64>().ok().filter(|value| value.is_finite() && *value > 0.0);
        match fields[..] {
            [] => {}
            [count, throughput] => points.push(
                value(count)
                    .zip(value(throughput))
                    .ok_or_else(|| format!("line {}: both must be above 0", number + 1))?,
            ),
            _ => return Err(format!("line {}: must be a number of replicas and a throughput", number + 1)),
        }
    }
    Ok(points)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_read_and_faults_named() {
        assert_eq!(parse("# nodes\n1,100\n 2\t190 # two\n\n"), Ok(vec![(1.0, 100.0), (2.0, 190.0)]));
        for bad in ["1", "1 2 3", "0 1", "1 -2", "1 inf", "one 2"] {
            assert!(parse(&format!("1 1\n{bad}\n")).unwrap_err().starts_with("line 2"), "{bad}");
        }
    }
}
