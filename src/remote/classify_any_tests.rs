//! Any answer at all: what may be final is little, whatever a peer says.

use proptest::prelude::*;

use super::*;
use crate::{
    remoting::code,
    revive::samples::{OTHER, chain, message},
};

fn asked() -> impl Strategy<Value = Chain> {
    (0i64..20, 0u64..4, 0u64..3, 0i32..300).prop_map(|(offset, term, epoch, queue)| {
        let mut chain = chain(OTHER);
        (chain.id.offset, chain.id.term, chain.id.queue) = (offset, term, queue);
        Chain { topic_epoch: LogPosition { term: epoch, index: epoch }, ..chain }
    })
}

/// One message, several, a cut or a damaged one, or no message at all.
fn bodies() -> impl Strategy<Value = Bytes> {
    let stored = (0i64..20, 0i32..300, prop::sample::select(vec!["t", "u"])).prop_map(|(offset, queue_id, topic)| {
        let stored = Message { queue_offset: offset, queue_id, topic: topic.into(), ..message() }.encode();
        stored.unwrap_or_default().to_vec()
    });
    let some = prop::collection::vec(stored, 0..3).prop_map(|list| list.concat());
    let cut = (some.clone(), any::<prop::sample::Index>()).prop_map(|(mut bytes, at)| {
        bytes.truncate(at.index(bytes.len() + 1));
        bytes
    });
    let damaged = (some.clone(), any::<prop::sample::Index>(), any::<u8>()).prop_map(|(mut bytes, at, byte)| {
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes
    });
    prop_oneof![some, cut, damaged, any::<Vec<u8>>()].prop_map(Bytes::from)
}

prop_compose! {
    fn answers()(
        known in prop::sample::select(code::response::ALL.iter().map(|(_, code)| *code).collect::<Vec<_>>()),
        code in prop_oneof![3 => Just(None), 1 => any::<i32>().prop_map(Some), 3 => Just(Some(response::SUCCESS))],
        (minimum, maximum) in (prop::option::of(-1i64..25), prop::option::of(-1i64..25)),
        holder_term in prop::option::of(0u64..5),
        topic_epoch in prop::option::of((0u64..4).prop_map(|at| LogPosition { term: at, index: at })),
        topic_deleted in prop::option::of((0u64..4).prop_map(|at| LogPosition { term: at, index: at })),
        body in bodies(),
    ) -> Answered {
        Answered { code: code.unwrap_or(known), minimum, maximum, holder_term, topic_epoch, topic_deleted, body }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

    /// Known defects A01, A04, A13, A18, A28, C06: whatever comes back, only the holder's own proof makes a message gone,
    /// only the very message is found, and everything else is a failure with a cause.
    #[test]
    fn only_proof_is_gone_and_only_the_message_is_found(chain in asked(), answer in answers(), before in 0i64..3) {
        match classify(&chain, chain.id.offset - before, &answer, &answer.pieces()) {
            Some(Meaning::Found(found)) => {
                prop_assert_eq!(answer.code, response::SUCCESS);
                let is = (found.topic.as_str(), found.queue_id, found.queue_offset);
                prop_assert_eq!(is, (chain.id.topic.as_str(), chain.id.queue, chain.id.offset));
            }
            Some(Meaning::Gone(proof)) => {
                prop_assert!(answer.holder_term.is_some_and(|term| term >= chain.id.term), "no holder said so");
                match proof {
                    GoneProof::BelowMinimum { minimum } => {
                        prop_assert!(minimum > chain.id.offset && answer.minimum == Some(minimum));
                    }
                    GoneProof::TopicDeleted { at } => {
                        prop_assert!(answer.code == response::TOPIC_NOT_EXIST && at > chain.topic_epoch);
                        prop_assert_eq!(answer.topic_deleted, Some(at));
                    }
                    GoneProof::TopicRecreated { epoch } => {
                        prop_assert!(epoch > chain.topic_epoch && chain.topic_epoch != LogPosition::default());
                    }
                }
            }
            Some(Meaning::Failed(_)) => {}
            None => prop_assert!(before > 0, "the read began at this very message"),
        }
    }
}
