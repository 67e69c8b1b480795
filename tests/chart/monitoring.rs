//! Alert rules, dashboard and runbook: they speak of nothing that the service does not export, and of each other.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::fs;
use std::path::Path;

use introspectd::telemetry::metrics::{Family, Kind, catalogue};
use promql_parser::label::{MatchOp, Matcher};
use promql_parser::parser::{self, Expr, VectorSelector};
use promql_parser::util::{ExprVisitor, walk_expr};
use serde_json::Value;

use super::{chart, yaml};

/// What Prometheus itself puts on each series.
const ADDED: [&str; 2] = ["job", "instance"];

fn dashboard() -> Value {
    serde_json::from_str(&fs::read_to_string(chart().join("files/dashboard.json")).unwrap()).unwrap()
}

/// The rules of all groups.
fn rules() -> Vec<Value> {
    let groups = yaml("files/rules.yaml")["groups"].as_array().unwrap().clone();
    groups.iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
}

/// The alerts among them, by name.
fn alerts() -> BTreeMap<String, Value> {
    let alerts: Vec<_> =
        rules().into_iter().filter_map(|rule| Some((rule["alert"].as_str()?.to_owned(), rule))).collect();
    let count = alerts.len();
    let alerts: BTreeMap<_, _> = alerts.into_iter().collect();
    assert_eq!(alerts.len(), count, "two alerts of one name");
    alerts
}

/// Every expression, with where it was found; what Grafana fills in is filled in.
fn expressions() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for rule in rules() {
        let name = rule["alert"].as_str().or(rule["record"].as_str()).unwrap();
        found.push((name.to_owned(), rule["expr"].as_str().unwrap().to_owned()));
    }
    for panel in dashboard()["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        for target in panel["targets"].as_array().into_iter().flatten() {
            let text = target["expr"].as_str().unwrap().replace("$__rate_interval", "5m");
            found.push((title.to_owned(), text));
        }
    }
    found
}

/// Collects what an expression reads.
struct Selectors(Vec<VectorSelector>);

impl ExprVisitor for Selectors {
    type Error = Infallible;

    fn pre_visit(&mut self, expression: &Expr) -> Result<bool, Infallible> {
        match expression {
            Expr::VectorSelector(selector) => self.0.push(selector.clone()),
            Expr::MatrixSelector(range) => self.0.push(range.vs.clone()),
            _ => {}
        }
        Ok(true)
    }
}

fn selectors(place: &str, text: &str) -> Vec<VectorSelector> {
    let expression = parser::parse(text).unwrap_or_else(|error| panic!("{place}: {error}: {text}"));
    let mut selectors = Selectors(Vec::new());
    let Ok(_) = walk_expr(&mut selectors, &expression);
    selectors.0
}

/// The family that a series belongs to: that of a histogram has three kinds of series, and no series of its own name.
fn family(series: &str) -> Option<&'static Family> {
    catalogue().find(|family| match family.kind {
        Kind::Histogram => {
            series.strip_prefix(family.name).is_some_and(|end| ["_bucket", "_sum", "_count"].contains(&end))
        }
        _ => family.name == series,
    })
}

/// A label that the family has, compared with values that it can take.
fn check(place: &str, family: &Family, matcher: &Matcher) {
    if ADDED.contains(&matcher.name.as_str()) {
        return;
    }
    let Some((_, values)) = family.labels.iter().find(|(name, _)| *name == matcher.name) else {
        panic!("{place}: {} has no label {}", family.name, matcher.name);
    };
    let named: Vec<&str> = match matcher.op {
        MatchOp::Equal | MatchOp::NotEqual => vec![&matcher.value],
        MatchOp::Re(_) | MatchOp::NotRe(_) => matcher.value.split('|').collect(),
    };
    for value in named {
        assert!(values.contains(&value), "{place}: {}{{{}}} is never {value:?}", family.name, matcher.name);
    }
}

#[test]
fn rules_and_dashboard_read_only_what_the_service_exports() {
    let recorded: BTreeSet<String> =
        rules().iter().filter_map(|rule| Some(rule["record"].as_str()?.to_owned())).collect();
    let expressions = expressions();
    assert!(expressions.len() > 60, "the scan finds too little");
    for (place, text) in expressions {
        let selectors = selectors(&place, &text);
        assert!(!selectors.is_empty(), "{place} reads nothing: {text}");
        for selector in selectors {
            let name = selector.name.unwrap();
            if recorded.contains(&name) {
                continue;
            }
            let family = family(&name).unwrap_or_else(|| panic!("{place}: nothing exports {name}"));
            selector.matchers.matchers.iter().for_each(|matcher| check(&place, family, matcher));
        }
    }
}

#[test]
fn the_dashboard_shows_every_metric() {
    // What only says that something else is wrong.
    let left_out = ["introspect_foreign_series_refused_total"];
    let shown: BTreeSet<&str> = expressions()
        .iter()
        .flat_map(|(place, text)| selectors(place, text))
        .filter_map(|selector| Some(family(&selector.name?)?.name))
        .collect();
    let missing: Vec<_> = catalogue()
        .map(|family| family.name)
        .filter(|name| !shown.contains(name) && !left_out.contains(name))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn every_alert_says_what_is_wrong_and_has_its_section_in_the_runbook() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/runbook.md")).unwrap();
    let sections: BTreeMap<&str, &str> =
        page.split("\n## ").skip(1).map(|section| section.split_once('\n').unwrap()).collect();
    let alerts = alerts();
    for (name, alert) in &alerts {
        let section = sections.get(name.as_str()).unwrap_or_else(|| panic!("the runbook has no section {name}"));
        for part in ["**Means.**", "**Look at.**", "**Do.**"] {
            assert!(section.contains(part), "{name} has no {part}");
        }
        let annotations = &alert["annotations"];
        assert_eq!(annotations["runbook_url"], format!("docs/runbook.md#{}", name.to_lowercase()), "{name}");
        assert!(annotations["summary"].is_string(), "{name}");
        assert!(["critical", "warning"].contains(&alert["labels"]["severity"].as_str().unwrap()), "{name}");
    }
    for section in sections.keys() {
        assert!(alerts.contains_key(*section), "the runbook explains {section}, which is no alert");
    }
}

#[test]
fn the_runbook_names_only_metrics_that_there_are() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/runbook.md")).unwrap();
    for (at, _) in page.match_indices("introspect_") {
        let end = page[at..].find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').unwrap();
        let name = &page[at..at + end];
        let known = family(name).is_some() || catalogue().any(|family| family.name == name);
        assert!(known, "nothing exports {name}");
    }
}

/// Grafana finds panels by number and places them by coordinates: two of a kind would hide one another.
#[test]
fn panels_of_the_dashboard_have_their_own_numbers_and_places() {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().unwrap();
    let numbers: BTreeSet<u64> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    let places: BTreeSet<String> =
        panels.iter().map(|panel| format!("{} {}", panel["gridPos"]["x"], panel["gridPos"]["y"])).collect();
    assert_eq!((numbers.len(), places.len()), (panels.len(), panels.len()));
}
