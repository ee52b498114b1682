//! What an operator sees and does: parked chains, and messages that were set aside.

use serde::Serialize;

use super::{refusal::Refusal, shared::Shared};
use crate::{
    buggify,
    remoting::{Command, code::response},
    revive::steps::resume::{Resume, Resumed, Which},
    store::Tables,
};

/// Ext field: list or resume what follows this chain id.
pub const AFTER: &str = "after";
/// Ext field: how many to list.
pub const LIMIT: &str = "limit";
/// Ext field: the one chain to resume.
pub const CHAIN: &str = "chain";
/// Ext field of an answer: how many.
pub const COUNT: &str = "count";
/// Ext field of an answer to a list that was cut: list on after this chain id.
pub const NEXT: &str = "next";

const LIST_MAX: usize = 1000;
/// Chains resumed in one transaction.
const RESUME_BATCH: usize = 64;

/// A message that was set aside, as an operator sees it.
#[derive(Serialize)]
struct SetAsideRow {
    tag: String,
    reason: String,
    at_ms: i64,
    body: String,
}

impl Shared {
    /// Serves LIST_PARKED: the chains as JSON, with their history.
    pub(super) fn list_parked(&self, request: &Command) -> Result<Command, Refusal> {
        let after = request.ext.get(AFTER).map(String::as_str).unwrap_or_default();
        let limit = limit(request)?;
        let chains = self.store.view()?.parked(after, limit)?;
        let mut answer = json(&chains, chains.len())?;
        if let Some(last) = chains.last().filter(|_| chains.len() == limit) {
            answer.ext.insert(NEXT.into(), last.id.to_string());
        }
        Ok(answer)
    }

    /// Serves RESUME_PARKED: one chain, or all.
    pub(super) async fn resume_parked(&self, request: &Command) -> Result<Command, Refusal> {
        let (mut count, batch) = (0, buggify!("resumes-one", 1, RESUME_BATCH));
        let mut which = match request.ext.get(CHAIN) {
            Some(text) => Which::One(text.parse().map_err(|error: crate::model::chain::ChainIdError| {
                Refusal::Field { field: CHAIN, found: text.clone(), expected: error.to_string() }
            })?),
            None => Which::After { key: String::new(), limit: batch },
        };
        loop {
            let Resumed { count: resumed, last } = self.store.submit(Resume { home: self.home.clone(), which }).await?;
            count += resumed;
            match last {
                Some(key) => which = Which::After { key, limit: batch },
                None => break,
            }
        }
        let mut answer = Command::response(response::SUCCESS);
        answer.ext.insert(COUNT.into(), count.to_string());
        Ok(answer)
    }

    /// Serves LIST_SET_ASIDE.
    pub(super) fn list_set_aside(&self, request: &Command) -> Result<Command, Refusal> {
        let row = |item: crate::model::record::SetAside| SetAsideRow {
            tag: item.tag,
            reason: item.reason,
            at_ms: item.at_ms,
            body: String::from_utf8_lossy(&item.body).into_owned(),
        };
        let rows: Vec<SetAsideRow> = self.store.view()?.set_aside(limit(request)?)?.into_iter().map(row).collect();
        json(&rows, rows.len())
    }
}

fn limit(request: &Command) -> Result<usize, Refusal> {
    let Some(text) = request.ext.get(LIMIT) else { return Ok(LIST_MAX) };
    match text.parse() {
        Ok(limit @ 1..=LIST_MAX) => Ok(limit),
        _ => Err(Refusal::Field { field: LIMIT, found: text.clone(), expected: format!("1 to {LIST_MAX}") }),
    }
}

fn json(rows: &impl Serialize, count: usize) -> Result<Command, Refusal> {
    let body = serde_json::to_vec(rows).map_err(|error| Refusal::Body(error.to_string()))?;
    let mut answer = Command::response(response::SUCCESS).with_body(body);
    answer.ext.insert(COUNT.into(), count.to_string());
    Ok(answer)
}
