//! Listing what has an index: a sorted set in which every score is 0, so that its members are in the order of their
//! bytes.

use std::collections::BTreeMap;

use redis::{Cmd, Value};

use super::fault::Fault;
use super::{RedisStore, bytes, document, get};
use crate::store::DatedDocument;

impl RedisStore {
    /// Up to `limit` of those in an index that have a record, in the order of the index, from behind the member
    /// `after`; fewer only when there are no more.
    pub(super) async fn listed<I: Ord>(
        &self,
        index: &str,
        mut after: Option<Vec<u8>>,
        limit: usize,
        parse: impl Fn(&[u8]) -> Result<I, Fault>,
        key: impl Fn(&I) -> String,
    ) -> Result<Vec<(I, DatedDocument)>, Fault> {
        let mut listed = Vec::new();
        while listed.len() < limit {
            let wanted = limit - listed.len();
            let from = after.as_ref().map_or_else(|| b"-".to_vec(), |after| [b"(", &after[..]].concat());
            let mut page = redis::cmd("ZRANGE");
            page.arg(index).arg(from).arg("+").arg("BYLEX").arg("LIMIT").arg(0).arg(wanted);
            let members = self.visit(index, [page]).await?.pop().map(members).transpose()?.unwrap_or_default();
            let Some(last) = members.last().cloned() else { break };
            let is_last_page = members.len() < wanted;
            let mut by_owner = BTreeMap::<_, Vec<(I, String)>>::new();
            for member in members {
                let id = parse(&member)?;
                let key = key(&id);
                let owner = self.fleet.owner_of(key.as_bytes())?;
                by_owner.entry(owner.address.clone()).or_default().push((id, key));
            }
            let first = listed.len();
            for ids in by_owner.into_values() {
                let Some((_, key)) = ids.first() else { continue };
                let replies = self.visit(key, ids.iter().map(|(_, key)| get(key))).await?;
                for ((id, _), reply) in ids.into_iter().zip(replies) {
                    // An entry without a record is what a creation or deletion leaves that was cut off midway.
                    let Some(stored) = bytes(reply)? else { continue };
                    let document = document::decode_dated(stored)?;
                    if document.version >= document::FIRST_VERSION {
                        listed.push((id, document));
                    }
                }
            }
            listed[first..].sort_by(|(one, _), (other, _)| one.cmp(other));
            if is_last_page {
                break;
            }
            after = Some(last);
        }
        Ok(listed)
    }

    /// Asks the primary that has a key, beside the hot path: replies come in order, and these are long.
    async fn visit(&self, key: &str, commands: impl IntoIterator<Item = Cmd>) -> Result<Vec<Value>, Fault> {
        let primary = self.fleet.owner_of(key.as_bytes())?;
        // Says at once what is wrong when nothing is up, instead of waiting for the pool to find out.
        primary.lane()?;
        let mut visit = primary.administration.visit().await?;
        let replies = visit.pipeline(commands).await?;
        primary.expect_current()?;
        Ok(replies)
    }
}

/// The members of an index.
fn members(reply: Value) -> Result<Vec<Vec<u8>>, Fault> {
    let Value::Array(members) = reply else { return Err(Fault::unexpected_reply()) };
    members.into_iter().map(|member| Ok(bytes(member)?.unwrap_or_default())).collect()
}
