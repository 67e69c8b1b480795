//! A batch of tokens, sent as it stands: the service judges each.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::Value;

use super::lines::Batch;
use super::report::Outcome;
use super::{Failure, Outcomes};
use crate::command::caller::{Caller, Content, Listener, Reply};
use crate::json::{StrictValue, explain};

/// How often a batch is sent before the import gives up, and how long it waits before the second time; twice as long
/// before each further one.
const ATTEMPTS: u32 = 7;
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// Sends the lines of a batch that are JSON objects.
pub(super) async fn send(caller: &Caller, batch: Batch, dry_run: bool) -> Result<Outcomes, Failure> {
    let mut outcomes = Vec::new();
    let (mut places, mut texts) = (Vec::new(), Vec::new());
    for line in batch.lines {
        match line.text.map_err(str::to_owned).and_then(object) {
            Ok(text) => {
                places.push(outcomes.len());
                texts.push(text);
                outcomes.push((line.number, Outcome::Inactive));
            }
            Err(reason) => outcomes.push((line.number, Outcome::Refused { member: None, reason })),
        }
    }
    if texts.is_empty() {
        return Ok(outcomes);
    }
    let body = format!(r#"{{"dry_run":{dry_run},"tokens":[{}]}}"#, texts.join(","));
    let answer = persist(caller, &body).await?;
    let results = answer["results"].as_array().filter(|results| results.len() == places.len());
    let results = results.ok_or_else(|| Failure::failed("the service has not answered for each token"))?;
    for (place, result) in places.into_iter().zip(results) {
        outcomes[place].1 = outcome(result)?;
    }
    Ok(outcomes)
}

/// A line that can be part of a request without changing what the others say.
fn object(text: String) -> Result<String, String> {
    match serde_json::from_str(&text) {
        Ok(StrictValue(Value::Object(_))) => Ok(text),
        Ok(_) => Err("not a JSON object".to_owned()),
        Err(error) => Err(format!("not JSON: {}", explain(&error))),
    }
}

/// Sends a request until it is answered: a batch may be sent any number of times.
async fn persist(caller: &Caller, body: &str) -> Result<Value, Failure> {
    let mut pause = FIRST_PAUSE;
    for _ in 1..ATTEMPTS {
        let content = Content::JsonText(body.to_owned());
        match caller.exchange(Listener::Admin, Method::POST, "/admin/tokens/import", content).await {
            Ok(reply) if !is_passing(&reply) => return reply.into_success(),
            Err(failure @ Failure::Usage(_)) => return Err(failure),
            Ok(_) | Err(Failure::Failed(_)) => {}
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
    let content = Content::JsonText(body.to_owned());
    caller.ask(Listener::Admin, Method::POST, "/admin/tokens/import", content).await
}

fn is_passing(reply: &Reply) -> bool {
    let passing = [
        StatusCode::TOO_MANY_REQUESTS,
        StatusCode::BAD_GATEWAY,
        StatusCode::SERVICE_UNAVAILABLE,
        StatusCode::GATEWAY_TIMEOUT,
    ];
    passing.contains(&reply.status)
}

fn outcome(result: &Value) -> Result<Outcome, Failure> {
    let text = |name: &str| result[name].as_str().map(str::to_owned);
    Ok(match result["outcome"].as_str() {
        Some("imported") => Outcome::Imported,
        Some("unchanged") => Outcome::Unchanged,
        Some("revoked") => Outcome::Revoked,
        Some("expired") => Outcome::Expired,
        Some("inactive") => Outcome::Inactive,
        Some("refused") => Outcome::Refused { member: text("member"), reason: text("reason").unwrap_or_default() },
        _ => return Err(Failure::failed("the service has answered with an outcome that is not known here")),
    })
}
