//! `docs/metrics.md`, written from the list of metrics.

use std::fmt::Write as _;

use super::catalogue;

/// The reference page, as Markdown.
pub fn reference() -> String {
    let mut page = String::from(HEAD);
    for family in catalogue() {
        let labels: Vec<String> = family
            .labels
            .iter()
            .map(|(name, values)| match values {
                [_] => format!("`{name}`"),
                _ => format!("`{name}`: {}", values.join(", ")),
            })
            .collect();
        let labels = labels.join("; ");
        writeln!(page, "| `{}` | {} | {labels} | {} |", family.name, family.kind.as_str(), family.help)
            .expect("writing to a String cannot fail");
    }
    page.push_str(TAIL);
    page
}

const HEAD: &str = "\
# Metrics

<!-- Written from the list in src/telemetry/metrics; `UPDATE_DOCS=1 cargo test documentation` writes it anew. -->

`GET /metrics` on the admin listener answers in the Prometheus text format 0.0.4.

| metric | type | labels | what it says |
|---|---|---|---|
";

const TAIL: &str = "
- Labels are closed sets: there is never one per client, per user or per token.
- Counters are shown from zero on; the series of a histogram that has labels appears with its first observation.
- The buckets of all histograms are `metrics.latency_buckets`.
- `process_*` come from `/proc` and are absent where there is none.
- Libraries that count through the `metrics` facade appear on the same page under their own names, at most 512 series.
";
