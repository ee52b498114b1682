//! POP_MESSAGE at a slave that acts: the target keeps the chains before the messages are handed out.

use std::time::Duration;

use futures_util::future::join_all;

use super::Term;
use crate::{
    broker::{
        filter::Filter,
        pop::{answer, check, nothing, poll_of},
        pop_step::{PopStep, Popped, PoppedQueue},
        refusal::Refusal,
        shared::{Shared, check_queue, readable},
    },
    model::chain::{Chain, ChainState},
    remote::hand_over::NotTaken,
    remoting::{Command, headers::PopMessageHeader},
    sabotage, sometimes,
    store::Tables,
};

/// How often it is looked whether it acts still, while there is nothing to hand out.
const LOOK: Duration = Duration::from_secs(1);

impl Shared {
    /// Serves POP_MESSAGE in the place of the master. Nothing new arrives here while it is away.
    pub(super) async fn pop_acting(&self, term: &Term, request: &Command) -> Result<Command, Refusal> {
        let header: PopMessageHeader = request.header()?;
        let filter = Filter::parse(header.exp_type.as_deref(), header.exp.as_deref())?;
        check(&header)?;
        let reconsume_limit = self.known_to_slave(&header)?;
        let until = tokio::time::Instant::now() + poll_of(&header);
        let step = self.pop_step(&header, &filter, &self.retry_topics(&header), term.acting.term);
        loop {
            let popped = self.hand_out(term, &step, reconsume_limit).await?;
            if !popped.queues.is_empty() {
                return answer(&header, &popped);
            }
            if tokio::time::Instant::now() >= until {
                return Ok(nothing(&header));
            }
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Ok(nothing(&header)),
                () = tokio::time::sleep_until(until) => {}
                () = tokio::time::sleep(LOOK), if self.acting.term().is_none() => return Err(Refusal::Slave),
            }
        }
    }

    /// The group's limit of redeliveries, if topic, queue and group are known here and may be popped. What is not known to a
    /// slave may be known to its master.
    fn known_to_slave(&self, header: &PopMessageHeader) -> Result<i32, Refusal> {
        let behind = |refusal| Refusal::SlaveBehind(Box::new(refusal));
        let view = self.store.view()?;
        let row = match readable(view.topic(&header.topic)?, &header.topic) {
            Err(refusal @ Refusal::TopicUnknown(_)) => return sometimes!("acting-topic-unknown", Err(behind(refusal))),
            other => sometimes!("acting-topic-known", other?),
        };
        if header.queue_id >= 0 {
            check_queue(header.queue_id, row.config.read_queue_nums)?;
        }
        let name = &header.consumer_group;
        let group = view.group(name)?.ok_or_else(|| behind(Refusal::GroupUnknown(name.clone())))?;
        match group.consume_enable {
            true => sometimes!("acting-group-consumes", Ok(group.retry_max_times)),
            false => {
                let refusal = Refusal::NotPermitted(format!("group {name:?} may not consume"));
                sometimes!("acting-group-may-not", Err(refusal))
            }
        }
    }

    /// Hands messages out: first their chains to the target, and then, of those that it has confirmed, to the caller.
    async fn hand_out(&self, term: &Term, step: &PopStep, reconsume_limit: i32) -> Result<Popped, Refusal> {
        let mut unanswered = term.unanswered.lock().await;
        self.ask_again(term, &mut unanswered).await?;
        let mut popped = {
            let view = self.store.view()?;
            let from = |topic: &str, queue| term.next(&step.group, topic, queue);
            let (taken, rest) = step.look(&view, &from)?;
            step.popped(taken, rest, self.host.clock.now_ms(), reconsume_limit)
        };
        let asked = popped.queues.iter().map(|queue| self.hand_over_acting(term, &queue.chains));
        let answers = join_all(asked).await;
        let (mut homed, mut failed): (Vec<PoppedQueue>, Option<NotTaken>) = (Vec::new(), None);
        for (queue, answer) in std::mem::take(&mut popped.queues).into_iter().zip(answers) {
            match answer {
                Ok(()) => sometimes!("acting-pop-homed", homed.push(queue)),
                Err(_) if sabotage!("acting-pop-without-home") => homed.push(queue),
                Err(not_taken) => {
                    sometimes!("acting-pop-not-homed");
                    // They may be there: until that is known nothing else is handed out.
                    if !sabotage!("offers-another") {
                        unanswered.push(queue.chains);
                    }
                    failed = Some(not_taken);
                }
            }
        }
        match failed {
            Some(not_taken) if homed.is_empty() => sometimes!("acting-pop-refused", Err(not_taken.into())),
            _ => sometimes!("acting-pop-answered", Ok(Popped { queues: homed, ..popped })),
        }
    }

    /// Offers chains again of which it is not known whether the target has them. If it has not, their time begins now: they
    /// were at home nowhere.
    async fn ask_again(&self, term: &Term, unanswered: &mut Vec<Vec<Chain>>) -> Result<(), Refusal> {
        while let Some(chains) = unanswered.last_mut() {
            for chain in &mut *chains {
                let due_ms = self.host.clock.now_ms().saturating_add(chain.invisible_ms);
                chain.state = ChainState::Open { due_ms };
            }
            self.hand_over_acting(term, chains).await?;
            unanswered.pop();
        }
        Ok(())
    }
}
