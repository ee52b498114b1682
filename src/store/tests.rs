#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use super::{tables::Source as _, *};
use crate::{
    model::{
        chain::{Chain, ChainState, LogPosition, Outcome, ParkReason},
        message::{BODY_BYTES_MAX, Message},
        record::{Record, SetAside},
        topic::TopicConfig,
    },
    remoting::memory_transport::MemoryTransport,
    revive::samples::{DUE_MS, OWN, POPPED_MS, chain, message},
    seams::memory_host::{MemoryDisk, StandingClock, host},
};

/// Records these facts.
struct Facts(Vec<Record>);

impl Step for Facts {
    type Reply = LogPosition;

    fn decide(self, txn: &mut Txn<'_, '_>) -> Result<LogPosition, StoreError> {
        let position = txn.position();
        self.0.into_iter().try_for_each(|record| txn.record(record))?;
        Ok(position)
    }
}

/// Appends a message.
struct Put(Message);

impl Step for Put {
    type Reply = Result<Place, crate::model::message::EncodeError>;

    fn decide(self, txn: &mut Txn<'_, '_>) -> Result<Self::Reply, StoreError> {
        txn.append(self.0)
    }
}

/// Records something, then finds the store broken.
struct Broken;

impl Step for Broken {
    type Reply = ();

    fn decide(self, txn: &mut Txn<'_, '_>) -> Result<(), StoreError> {
        txn.record_chain(chain(OWN))?;
        Err(StoreError::Dangling { table: "test", key: "k".into(), index: 7 })
    }
}

/// Says whether the chain of the samples is known inside a step.
struct Looks;

impl Step for Looks {
    type Reply = bool;

    fn decide(self, txn: &mut Txn<'_, '_>) -> Result<bool, StoreError> {
        Ok(txn.chain(&chain(OWN).id)?.is_some())
    }
}

#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<LogEntry>>>);

impl Heard {
    fn listener(&self) -> CommitListener {
        let heard = self.0.clone();
        Arc::new(move |entries| heard.lock().unwrap().extend(entries.iter().map(|entry| LogEntry::clone(entry))))
    }

    fn indexes(&self) -> Vec<u64> {
        self.0.lock().unwrap().iter().map(|entry| entry.position.index).collect()
    }
}

async fn open(disk: &MemoryDisk, heard: &Heard) -> Store {
    let host = host(disk, StandingClock::at(POPPED_MS), &MemoryTransport::default());
    Store::open(&host, StoreConfig::default(), heard.listener()).await.unwrap()
}

async fn fresh() -> (Store, MemoryDisk, Heard) {
    let (disk, heard) = (MemoryDisk::default(), Heard::default());
    (open(&disk, &heard).await, disk, heard)
}

fn offset_of(offset: i64) -> Facts {
    Facts(vec![Record::Offset { group: "g".into(), topic: "t".into(), queue: 0, offset }])
}

#[tokio::test]
async fn a_caller_hears_of_its_step_after_the_commit() {
    let (store, disk, heard) = fresh().await;
    let before = disk.syncs();
    assert_eq!(store.submit(offset_of(5)).await.unwrap(), LogPosition { term: 1, index: 1 });
    assert!(disk.syncs() > before, "answered without a sync");
    assert_eq!(heard.indexes(), [1]);
    assert_eq!(store.view().unwrap().offset("g", "t", 0).unwrap(), Some(5));
}

#[tokio::test]
async fn steps_that_wait_together_share_a_commit_but_not_an_entry() {
    let (store, disk, heard) = fresh().await;
    let alone = {
        let before = disk.syncs();
        store.submit(offset_of(1)).await.unwrap();
        disk.syncs() - before
    };
    let before = disk.syncs();
    let (a, b, c) = tokio::join!(store.submit(offset_of(2)), store.submit(offset_of(3)), store.submit(offset_of(4)));
    let indexes = [a, b, c].map(|position| position.unwrap().index);
    assert_eq!((indexes, disk.syncs() - before), ([2, 3, 4], alone), "three entries, the syncs of one commit");
    assert_eq!(heard.indexes(), [1, 2, 3, 4]);
}

#[tokio::test]
async fn a_step_that_records_nothing_costs_no_commit() {
    let (store, disk, heard) = fresh().await;
    let before = disk.syncs();
    assert!(!store.submit(Looks).await.unwrap());
    assert_eq!((disk.syncs(), heard.indexes()), (before, vec![]));
    assert_eq!(store.submit(offset_of(1)).await.unwrap().index, 1, "it took no place in the log either");
}

/// Known defect A96.
#[tokio::test]
async fn reopening_goes_on_with_the_log_and_finds_every_table() {
    let (store, disk, heard) = fresh().await;
    store.submit(Facts(vec![Record::Chain(Box::new(chain(OWN)))])).await.unwrap();
    store.submit(Put(message())).await.unwrap().unwrap();
    store.close().await;
    assert!(matches!(store.submit(Looks).await, Err(StoreError::Closed)));
    assert!(matches!(store.view(), Err(StoreError::Closed)));

    let store = open(&disk, &heard).await;
    assert_eq!(store.submit(offset_of(1)).await.unwrap(), LogPosition { term: 1, index: 3 });
    let view = store.view().unwrap();
    assert_eq!(view.chain(&chain(OWN).id).unwrap(), Some(chain(OWN)));
    assert_eq!(view.bounds("t", 0).unwrap(), Bounds { minimum: 0, next: 1 });
    assert_eq!(view.last_index().unwrap(), 3);
}

#[tokio::test]
async fn messages_get_the_next_offset_of_their_queue() {
    let (store, _, _) = fresh().await;
    let at = |queue_id| Put(Message { queue_id, ..message() });
    let mut places = Vec::new();
    for queue in [0, 0, 1, 0] {
        places.push(store.submit(at(queue)).await.unwrap().unwrap());
    }
    let offsets: Vec<_> = places.iter().map(|place| (place.queue, place.offset)).collect();
    assert_eq!(offsets, [(0, 0), (0, 1), (1, 0), (0, 2)]);
    assert!(places.is_sorted_by_key(|place| place.physical));
    let view = store.view().unwrap();
    assert_eq!(view.bounds("t", 0).unwrap(), Bounds { minimum: 0, next: 3 });
    assert_eq!(view.bounds("t", 7).unwrap(), Bounds { minimum: 0, next: 0 });
    let mut stored = view.message("t", 0, 2).unwrap().unwrap();
    let read = Message::decode(&mut stored).unwrap();
    assert_eq!((read.queue_offset, read.physical_offset), (2, places[3].physical));
    assert_eq!(view.message("t", 0, 3).unwrap(), None);
    let listed = view.messages("t", 0, 1, 9).unwrap();
    assert_eq!(listed.iter().map(|(offset, _)| *offset).collect::<Vec<_>>(), [1, 2], "of this queue alone");
    assert_eq!(view.messages("t", 0, 0, 2).unwrap().len(), 2);
}

#[tokio::test]
async fn a_message_that_has_no_stored_form_is_refused_and_leaves_nothing() {
    let (store, _, heard) = fresh().await;
    let huge = Message { body: vec![0; BODY_BYTES_MAX + 1].into(), ..message() };
    assert!(store.submit(Put(huge)).await.unwrap().is_err());
    assert_eq!(store.view().unwrap().bounds("t", 0).unwrap().next, 0);
    assert!(heard.indexes().is_empty());
}

/// Known defect B01.
#[tokio::test]
async fn the_due_and_parked_indexes_follow_the_chains() {
    let (store, _, _) = fresh().await;
    let in_state = |state: ChainState| Facts(vec![Record::Chain(Box::new(Chain { state, ..chain(OWN) }))]);
    let key = chain(OWN).id.to_string();
    let open = |due_ms| ChainState::Open { due_ms };
    let moving = ChainState::Moving { to: "b".into(), due_ms: DUE_MS + 2, revive_ms: 1 };
    let parked = ChainState::Parked { reason: ParkReason::Permanent, at_ms: 1 };
    let ended = ChainState::Ended { outcome: Outcome::Acked, at_ms: 1 };
    for (state, due, is_parked) in [
        (open(DUE_MS), Some(DUE_MS), false),
        (open(DUE_MS + 1), Some(DUE_MS + 1), false),
        (moving, Some(DUE_MS + 2), false),
        (parked.clone(), None, true),
        (parked, None, true),
        (open(DUE_MS), Some(DUE_MS), false),
        (ChainState::Moved { to: "b".into() }, None, false),
        (ended, None, false),
    ] {
        store.submit(in_state(state.clone())).await.unwrap();
        let view = store.view().unwrap();
        let expected: Vec<_> = due.map(|due_ms| (due_ms, key.clone())).into_iter().collect();
        assert_eq!(view.due_keys(9).unwrap(), expected, "{state:?}");
        assert_eq!(view.parked("", 9).unwrap().len(), usize::from(is_parked), "{state:?}");
        assert!(view.parked(&key, 9).unwrap().is_empty(), "nothing follows the last key");
    }
}

#[tokio::test]
async fn due_chains_come_in_the_order_of_their_times() {
    let (store, _, _) = fresh().await;
    let due = |offset: i64, due_ms| {
        let mut chain = Chain { state: ChainState::Open { due_ms }, ..chain(OWN) };
        chain.id.offset = offset;
        Record::Chain(Box::new(chain))
    };
    store.submit(Facts(vec![due(1, 30), due(2, -10), due(3, 20), due(4, 1_000)])).await.unwrap();
    let view = store.view().unwrap();
    let times: Vec<_> = view.due_keys(3).unwrap().into_iter().map(|(due_ms, _)| due_ms).collect();
    assert_eq!(times, [-10, 20, 30]);
}

#[tokio::test]
async fn timers_early_acks_and_what_is_set_aside_are_listed_and_taken_off() {
    let (store, _, _) = fresh().await;
    let stored = message().encode().unwrap();
    let early = |pop_time, until_ms| {
        let id = crate::model::chain::ChainId { pop_time, ..chain(OWN).id };
        (id.clone(), Record::EarlyAck { id, until_ms })
    };
    let ((first, first_record), (second, second_record)) = (early(1, 200), early(2, 100));
    let aside = SetAside { tag: "ck".into(), body: stored.clone(), reason: "r".into(), at_ms: 3 };
    let records = vec![
        Record::Timer { due_ms: 9, stored: stored.clone(), epoch: LogPosition::default() },
        Record::Timer { due_ms: 5, stored: stored.clone(), epoch: LogPosition::default() },
        first_record,
        second_record,
        Record::SetAside(aside.clone()),
    ];
    store.submit(Facts(records)).await.unwrap();
    let view = store.view().unwrap();
    let timer = |due_ms, record| crate::model::timer::TimerId { due_ms, index: 1, record };
    assert_eq!(view.first_timers(9).unwrap(), [timer(5, 1), timer(9, 0)]);
    assert_eq!(view.record_at(1, 1).unwrap(), Some(Record::Timer { due_ms: 5, stored, epoch: LogPosition::default() }));
    assert_eq!((view.record_at(1, 5).unwrap(), view.record_at(2, 0).unwrap()), (None, None));
    assert_eq!(view.first_early_acks(1).unwrap(), [(100, second.to_string())]);
    assert_eq!(view.early_ack(&first).unwrap(), Some(200));
    assert_eq!(view.set_aside(9).unwrap(), [aside]);

    let taken = vec![
        Record::TimerFired { due_ms: 5, index: 1, record: 1 },
        Record::EarlyAckDropped { id: second.clone() },
        Record::EarlyAckDropped { id: second },
    ];
    store.submit(Facts(taken)).await.unwrap();
    let view = store.view().unwrap();
    assert_eq!(view.first_timers(9).unwrap(), [timer(9, 0)]);
    assert_eq!(view.first_early_acks(9).unwrap(), [(200, first.to_string())]);
}

/// Creates a topic with as many queues.
struct Topic(u32);

impl Step for Topic {
    type Reply = bool;

    fn decide(self, txn: &mut Txn<'_, '_>) -> Result<bool, StoreError> {
        txn.put_topic(TopicConfig::with_queues("t", self.0))
    }
}

#[tokio::test]
async fn a_changed_topic_keeps_its_epoch() {
    let (store, _, _) = fresh().await;
    assert!(store.submit(Topic(1)).await.unwrap());
    assert!(!store.submit(Topic(1)).await.unwrap(), "nothing changed");
    assert!(store.submit(Topic(2)).await.unwrap());
    let row = store.view().unwrap().topic("t").unwrap().unwrap();
    assert_eq!((row.config.read_queue_nums, row.epoch), (2, LogPosition { term: 1, index: 1 }));
}

#[tokio::test]
async fn a_broken_step_takes_nothing_and_nobody_elses_log_place() {
    let (store, _, heard) = fresh().await;
    let error = store.submit(Broken).await.unwrap_err();
    assert!(matches!(error, StoreError::NotCommitted { .. }) && !error.is_unknown(), "{error}");
    assert!(!store.submit(Looks).await.unwrap());
    assert_eq!(store.submit(offset_of(1)).await.unwrap().index, 1);
    assert_eq!(heard.indexes(), [1]);
}

#[tokio::test]
async fn a_failed_sync_leaves_the_outcome_unknown_and_the_store_comes_back() {
    let (store, disk, heard) = fresh().await;
    store.submit(offset_of(1)).await.unwrap();
    disk.fail_syncs(1);
    let error = store.submit(offset_of(2)).await.unwrap_err();
    assert!(error.is_unknown(), "{error}");
    let next = store.submit(offset_of(3)).await.unwrap();
    assert_eq!(store.view().unwrap().offset("g", "t", 0).unwrap(), Some(3));
    let last = store.view().unwrap().last_index().unwrap();
    assert_eq!((last, heard.indexes().last().copied()), (next.index, Some(next.index)));
    assert!((2..=3).contains(&next.index), "after the entry whose outcome was unknown, or in its place");
}

#[tokio::test]
async fn after_a_failed_sync_readers_are_served_again_without_any_step() {
    let (store, disk, _) = fresh().await;
    store.submit(offset_of(1)).await.unwrap();
    disk.fail_syncs(1);
    disk.refuse_to_open(2);
    store.submit(offset_of(2)).await.unwrap_err();
    let mut waited = 0;
    while store.view().is_err() {
        tokio::time::sleep(Duration::from_millis(100)).await;
        waited += 1;
        assert!(waited < 100, "nobody reopened the store");
    }
    assert!(store.view().unwrap().offset("g", "t", 0).unwrap() >= Some(1));
}

#[tokio::test]
async fn steps_fail_as_not_committed_while_the_disk_refuses() {
    let (store, disk, _) = fresh().await;
    disk.fail_syncs(1);
    disk.refuse_to_open(1);
    assert!(store.submit(offset_of(1)).await.unwrap_err().is_unknown());
    let error = store.submit(offset_of(2)).await.unwrap_err();
    assert!(matches!(error, StoreError::NotCommitted { .. }), "{error}");
    tokio::time::sleep(Duration::from_secs(2)).await;
    store.submit(offset_of(3)).await.unwrap();
}

/// One of many small facts, some of which undo others.
fn any_record() -> impl proptest::strategy::Strategy<Value = Record> {
    use proptest::prelude::*;
    let state = prop_oneof![
        (0..9_i64).prop_map(|due_ms| ChainState::Open { due_ms }),
        Just(ChainState::Parked { reason: ParkReason::Permanent, at_ms: 1 }),
        Just(ChainState::Ended { outcome: Outcome::Acked, at_ms: 1 }),
    ];
    let of_chain = (0..5_i64, state).prop_map(|(offset, state)| {
        let mut chain = Chain { state, ..chain(OWN) };
        chain.id.offset = offset;
        Record::Chain(Box::new(chain))
    });
    let early = |pop_time| crate::model::chain::ChainId { pop_time, ..chain(OWN).id };
    prop_oneof![
        of_chain,
        (0..3_i32, 0..9_i64).prop_map(|(queue, offset)| Record::Offset {
            group: "g".into(),
            topic: "t".into(),
            queue,
            offset
        }),
        (0..3_i64, 0..9_i64).prop_map(move |(time, until_ms)| Record::EarlyAck { id: early(time), until_ms }),
        (0..3_i64).prop_map(move |time| Record::EarlyAckDropped { id: early(time) }),
        (1..4_u32).prop_map(|queues| Record::Topic {
            config: TopicConfig::with_queues("t", queues),
            epoch: LogPosition { term: 1, index: 1 }
        }),
    ]
}

/// Which entries are in the log.
fn log(view: &View) -> String {
    let log: Vec<_> = (1..=view.last()).map(|index| view.entry(index).map(|entry| entry.is_some())).collect();
    format!("{log:?}")
}

/// All that the tables tell.
fn told(view: &View) -> String {
    let queues: Vec<_> = (0..3).map(|queue| (view.bounds("t", queue), view.offset("g", "t", queue))).collect();
    let id = |offset| crate::model::chain::ChainId { offset, ..chain(OWN).id };
    let chains: Vec<_> = (0..5).map(|offset| (view.chain(&id(offset)), view.message("t", 0, offset))).collect();
    let messages: Vec<_> = (0..3).map(|queue| view.messages("t", queue, 0, 99)).collect();
    let lists = (view.due_keys(99), view.parked("", 99), view.first_early_acks(99), view.all_topics());
    let ends = (view.expired_before(), view.last_index(), view.forgotten_until_ms(OWN), view.over(99));
    format!("{queues:?} {chains:?} {messages:?} {lists:?} {ends:?} {:?}", view.readings(4))
}

/// Lets expire what is older than 5 ms.
struct Expire;

impl Step for Expire {
    type Reply = Expiry;

    fn decide(self, txn: &mut Txn<'_, '_>) -> Result<Expiry, StoreError> {
        txn.expire(OWN, Retention { age_ms: Some(5), bytes: None })
    }
}

/// Forgets what was over for 7 ms.
struct Forget;

impl Step for Forget {
    type Reply = usize;

    fn decide(self, txn: &mut Txn<'_, '_>) -> Result<usize, StoreError> {
        txn.forget(7)
    }
}

/// One step of a store's life.
#[derive(Debug, Clone)]
enum Act {
    Facts(Vec<Record>),
    Put,
    Expire,
    Forget,
}

fn any_act() -> impl proptest::strategy::Strategy<Value = Act> {
    use proptest::prelude::*;
    prop_oneof![
        7 => proptest::collection::vec(any_record(), 1..4).prop_map(Act::Facts),
        3 => Just(Act::Put),
        2 => Just(Act::Expire),
        2 => Just(Act::Forget),
    ]
}

/// Runs the acts, a millisecond apart, through a store that settles at `recent_rows`, is reopened after every `reopen`
/// acts, and in which the last `lag` entries are not confirmed.
fn told_by(acts: &[Act], recent_rows: usize, reopen: usize, lag: u64) -> String {
    let confirms = if lag == 0 { Confirms::Alone } else { Confirms::WhenTold { within: Duration::ZERO } };
    let mut store = direct::Direct::lagging(StoreConfig { recent_rows, confirms, ..StoreConfig::default() }, lag);
    for (number, act) in (1..).zip(acts) {
        let now_ms = POPPED_MS + i64::from(number);
        match act {
            Act::Facts(records) => drop(store.run(now_ms, Facts(records.clone()))),
            Act::Put => drop(store.run(now_ms, Put(Message { queue_id: number % 3, ..message() }))),
            Act::Expire => drop(store.run(now_ms, Expire)),
            Act::Forget => drop(store.run(now_ms, Forget)),
        }
        if (number as usize).is_multiple_of(reopen) {
            store.reopen();
        }
    }
    // A state that is older than the last cut still sees what that took off, unless it was read anew.
    format!("{} {}\n{}", told(&store.view()), log(&store.view()), told(&store.confirmed()))
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(48))]

    /// Whether rows are recent, settled or replayed is nobody's business but the store's, for what is confirmed and for
    /// what is not.
    #[test]
    fn tables_tell_the_same_however_often_they_are_settled_and_replayed(
        acts in proptest::collection::vec(any_act(), 1..40),
        recent_rows in 1..30_usize,
        reopen in 1..9_usize,
        lag in 0..5_u64,
    ) {
        let run = |recent_rows, reopen| told_by(&acts, recent_rows, reopen, lag);
        let never = run(usize::MAX, usize::MAX);
        proptest::prop_assert_eq!(&run(recent_rows, usize::MAX), &never, "settled now and then");
        proptest::prop_assert_eq!(&run(usize::MAX, reopen), &never, "replayed as a whole");
        proptest::prop_assert_eq!(&run(recent_rows, reopen), &never, "both");
    }
}
