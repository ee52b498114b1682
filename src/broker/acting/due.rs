//! Moves chains of the master's own that fall due to the group that keeps them: it revives them.

use std::{convert::Infallible, sync::Arc, time::Duration};

use super::{Failed, RETRY, Term, take_term, timers::hand_due_timers};
use crate::{
    broker::shared::Shared,
    buggify,
    model::chain::{Chain, ChainState},
    remote::hand_over::NotTaken,
    revive::checkpoints,
    sometimes,
    store::{StoreError, Tables},
};

/// How many chains are looked at together.
const BATCH: usize = 256;
/// How often it is looked for what has fallen due: by the master's clock, which is only known so well.
const LOOK: Duration = Duration::from_secs(1);

/// Takes a term whenever there is none, and hands over what is due; never returns.
pub(super) async fn drive(shared: &Shared) -> Infallible {
    loop {
        let term = match shared.acting.term() {
            Some(term) => term,
            None => match take_term(shared).await {
                Ok(term) => term,
                Err(failed) => {
                    let broker = &shared.config.name;
                    match failed {
                        Failed::OtherActs => tracing::debug!(%broker, %failed, "need not act"),
                        failed => tracing::warn!(%broker, %failed, "cannot act yet; trying again"),
                    }
                    tokio::time::sleep(RETRY).await;
                    continue;
                }
            },
        };
        match hand_over_due(shared, &term).await {
            Ok(next_ms) => {
                // Nothing is added here while it acts: what comes next is known.
                let wait_ms = next_ms.map(|next_ms| next_ms.saturating_sub(shared.now_at_master_ms()).max(0));
                let wait = wait_ms.map_or(RETRY, |ms| Duration::from_millis(ms.unsigned_abs()));
                tokio::time::sleep(wait.clamp(LOOK, RETRY)).await;
            }
            Err(failed) => {
                tracing::warn!(broker = %shared.config.name, %failed, "what is due was not handed over; trying again");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

/// Hands over all that is due; tells when the next thing is. What the target does not take of one kind keeps nothing of the
/// other back.
async fn hand_over_due(shared: &Shared, term: &Arc<Term>) -> Result<Option<i64>, Failed> {
    let chains = move_due(shared, term).await;
    let timers = hand_due_timers(shared, term).await?;
    Ok(chains?.into_iter().chain(timers).min())
}

/// Moves every chain that is due; tells when the next one is.
async fn move_due(shared: &Shared, term: &Arc<Term>) -> Result<Option<i64>, Failed> {
    let mut seen_to = (i64::MIN, String::new());
    loop {
        let (due, next_ms) = {
            let view = shared.store.view()?;
            let batch = buggify!("moves-one-due", 1, BATCH);
            let (keys, next_ms) = view.due_after((seen_to.0, &seen_to.1), shared.now_at_master_ms(), batch)?;
            let Some(last) = keys.last() else { return Ok(next_ms) };
            seen_to = last.clone();
            let chains = keys.iter().map(|(_, key)| view.chain_by_key(key)).collect::<Result<Vec<_>, StoreError>>()?;
            (chains.into_iter().flatten().filter(|chain| is_to_be_moved(term, chain)).collect::<Vec<Chain>>(), next_ms)
        };
        for chains in checkpoints(due) {
            match shared.hand_over_acting(term, &chains).await {
                Ok(()) => sometimes!("acting-moves-due"),
                Err(NotTaken::Sealed { .. }) => return sometimes!("acting-due-sealed", Ok(next_ms)),
                Err(NotTaken::Failed(failure)) => {
                    return sometimes!("acting-due-not-handed", Err(Failed::Target(failure)));
                }
            }
        }
    }
}

fn is_to_be_moved(term: &Term, chain: &Chain) -> bool {
    matches!(chain.state, ChainState::Open { .. }) && !term.is_moved(&chain.id)
}
