//! Part of P9: what nobody can read is kept for whoever can.
//!
//! Rule: when a broker answers a checkpoint that is none with success, it has set aside as many durably as it has answered so.

use rustc_hash::FxHashMap;

use super::{Findings, p9_honest_answers::success};
use crate::ledger::Ledger;

pub(super) fn check(ledger: &Ledger<'_>, found: &mut Findings<'_>) {
    let garbled = ledger.wire.sends.iter().filter(|send| send.is_garbled());
    let mut answered: Vec<(usize, &str)> =
        garbled.filter_map(|send| Some((success(&send.call)?, send.call.to))).collect();
    answered.sort_unstable();
    let mut told: FxHashMap<&str, usize> = FxHashMap::default();
    for (event, node) in answered {
        let told = told.entry(node).or_default();
        *told += 1;
        let kept = ledger.set_aside.iter().filter(|(at, of)| *of == node && *at < event).count();
        if kept < *told {
            let detail = format!("it answered {told} unreadable checkpoints with success and had set {kept} aside");
            found.broken(ledger.at_ms(event), node, detail);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        evidence::{Fact, frame::code},
        oracles::fixture::Story,
    };

    /// Somebody sends `b` a checkpoint that is cut off; `b` keeps it or not, and answers with success.
    fn garbled(story: &mut Story, is_kept: bool) {
        let ext = [("b", "rmq_sys_REVIVE_LOG_C"), ("i", "TAGS\u{1}ck\u{2}")];
        let call = story.request("c", "b", code::SEND_V2, &ext, br#"{"bm":0,"bn":"#);
        let item = Fact::SetAside { tag: "ck".into(), reason: "cut off".into() };
        story.durable("b", if is_kept { vec![item] } else { Vec::new() });
        story.response(("b", "c", call), (code::SEND_V2, 0), &[("queueId", "0"), ("queueOffset", "0")], b"");
    }

    #[test]
    fn each_checkpoint_that_nobody_can_read_is_kept() {
        for (kept, noticed) in [([true, true], false), ([true, false], true), ([false, true], true)] {
            let mut story = Story::new();
            kept.into_iter().for_each(|is_kept| garbled(&mut story, is_kept));
            assert_eq!(story.is_blamed("P9", "had set"), noticed);
        }
    }
}
