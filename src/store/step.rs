//! A step: everything that must become true together, decided and recorded in one transaction.

use std::cell::OnceCell;

use redb::{ReadableTable, Table, WriteTransaction};

use super::{
    StoreError,
    tables::{self, Tables, TopicRow, unpack},
};
use crate::model::{
    chain::{Chain, ChainState, LogPosition},
    record::{LogEntry, Record},
};

/// What becomes true together.
///
/// `decide` reads the tables, calls [`Txn::record`] for each fact, and returns what its caller is told once the facts
/// are on disk. A step that finds nothing to do records nothing and costs no commit.
pub trait Step: Send + 'static {
    /// What the caller is told after the commit.
    type Reply: Send + 'static;

    /// Decides, in one transaction with everything it records.
    ///
    /// A refusal of the request is part of `Reply`.
    ///
    /// # Errors
    /// Only when the store itself fails; the whole batch of steps is then abandoned.
    fn decide(self, txn: &mut Txn<'_, '_>) -> Result<Self::Reply, StoreError>;
}

/// The tables of one write transaction, opened when first used.
macro_rules! write_tables {
    ($($field:ident: $definition:ident = $key:ty => $value:ty),* $(,)?) => {
        pub(super) struct WriteTables<'t> {
            transaction: &'t WriteTransaction,
            $($field: OnceCell<Table<'t, $key, $value>>),*
        }

        impl<'t> WriteTables<'t> {
            pub(super) fn new(transaction: &'t WriteTransaction) -> Self {
                Self { transaction, $($field: OnceCell::new()),* }
            }

            $(
                fn $field(&self) -> Result<&Table<'t, $key, $value>, StoreError> {
                    if let Some(table) = self.$field.get() {
                        return Ok(table);
                    }
                    let table = self.transaction.open_table(tables::$definition)?;
                    Ok(self.$field.get_or_init(|| table))
                }
            )*
        }

        mod write {
            use super::*;
            $(
                pub(super) fn $field<'a, 't>(
                    tables: &'a mut WriteTables<'t>,
                ) -> Result<&'a mut Table<'t, $key, $value>, StoreError> {
                    tables.$field()?;
                    tables.$field.get_mut().ok_or(StoreError::Closed)
                }
            )*
        }
    };
}

write_tables! {
    log: LOG = u64 => &'static [u8],
    topics: TOPICS = &'static str => &'static [u8],
    groups: GROUPS = &'static str => &'static [u8],
    queues: QUEUES = (&'static str, i32, i64) => (u64, u32),
    bounds: BOUNDS = (&'static str, i32) => (i64, i64),
    offsets: OFFSETS = (&'static str, &'static str, i32) => i64,
    chains: CHAINS = &'static str => &'static [u8],
    due: DUE = (i64, &'static str) => (),
    parked: PARKED = &'static str => (),
    timers: TIMERS = (i64, u64, u32) => (),
    early_acks: EARLY_ACKS = &'static str => i64,
    early_acks_until: EARLY_ACKS_UNTIL = (i64, &'static str) => (),
    set_aside: SET_ASIDE = (u64, u32) => &'static [u8],
}

/// One step's transaction.
pub struct Txn<'a, 't> {
    pub(super) tables: &'a mut WriteTables<'t>,
    /// Where this step's entry will stand.
    pub(super) position: LogPosition,
    pub(super) now_ms: i64,
    pub(super) records: Vec<Record>,
}

impl Txn<'_, '_> {
    /// The holder's clock when the batch began, Unix ms.
    #[must_use]
    pub const fn now_ms(&self) -> i64 {
        self.now_ms
    }

    /// The place this step's entry will have in the log.
    #[must_use]
    pub const fn position(&self) -> LogPosition {
        self.position
    }

    /// The number of the next record in this step's entry.
    #[must_use]
    pub fn next_record(&self) -> u32 {
        u32::try_from(self.records.len()).unwrap_or(u32::MAX)
    }

    /// States a fact: it is applied to the tables at once and written to the log with the step.
    ///
    /// # Errors
    /// The store fails.
    pub fn record(&mut self, record: Record) -> Result<(), StoreError> {
        self.apply(&record)?;
        self.records.push(record);
        Ok(())
    }

    /// States a chain's new state.
    ///
    /// # Errors
    /// The store fails.
    pub fn record_chain(&mut self, chain: Chain) -> Result<(), StoreError> {
        self.record(Record::Chain(Box::new(chain)))
    }

    /// Writes the step's entry to the log, if it recorded anything.
    pub(super) fn finish(self) -> Result<Option<LogEntry>, StoreError> {
        if self.records.is_empty() {
            return Ok(None);
        }
        let entry = LogEntry { position: self.position, at_ms: self.now_ms, records: self.records };
        write::log(self.tables)?.insert(self.position.index, entry.encode()?.as_slice())?;
        Ok(Some(entry))
    }

    fn apply(&mut self, record: &Record) -> Result<(), StoreError> {
        let place = (self.position.index, self.next_record());
        match record {
            Record::Topic { config, epoch } => {
                let row = TopicRow { config: config.clone(), epoch: *epoch };
                let packed = rmp_serde::to_vec_named(&row)?;
                write::topics(self.tables)?.insert(config.topic_name.as_str(), packed.as_slice())?;
            }
            Record::Group { config } => {
                let packed = rmp_serde::to_vec_named(config)?;
                write::groups(self.tables)?.insert(config.group_name.as_str(), packed.as_slice())?;
            }
            Record::Message { topic, queue, offset, .. } => {
                let minimum = self.bounds(topic, *queue)?.minimum;
                write::queues(self.tables)?.insert((topic.as_str(), *queue, *offset), place)?;
                write::bounds(self.tables)?.insert((topic.as_str(), *queue), (minimum, offset + 1))?;
            }
            Record::Timer { due_ms, .. } => {
                write::timers(self.tables)?.insert((*due_ms, place.0, place.1), ())?;
            }
            Record::TimerFired { due_ms, index, record } => {
                write::timers(self.tables)?.remove((*due_ms, *index, *record))?;
            }
            Record::Offset { group, topic, queue, offset } => {
                write::offsets(self.tables)?.insert((group.as_str(), topic.as_str(), *queue), *offset)?;
            }
            Record::Chain(chain) => self.apply_chain(chain)?,
            Record::EarlyAck { id, until_ms } => {
                let key = id.to_string();
                write::early_acks(self.tables)?.insert(key.as_str(), *until_ms)?;
                write::early_acks_until(self.tables)?.insert((*until_ms, key.as_str()), ())?;
            }
            Record::EarlyAckDropped { id } => {
                let key = id.to_string();
                let until = write::early_acks(self.tables)?.remove(key.as_str())?.map(|row| row.value());
                if let Some(until) = until {
                    write::early_acks_until(self.tables)?.remove((until, key.as_str()))?;
                }
            }
            Record::SetAside(item) => {
                let packed = rmp_serde::to_vec_named(item)?;
                write::set_aside(self.tables)?.insert(place, packed.as_slice())?;
            }
        }
        Ok(())
    }

    fn apply_chain(&mut self, chain: &Chain) -> Result<(), StoreError> {
        let key = chain.id.to_string();
        let packed = rmp_serde::to_vec_named(chain)?;
        let before = match write::chains(self.tables)?.insert(key.as_str(), packed.as_slice())? {
            Some(row) => Some(unpack::<Chain>("chains", &key, row.value())?),
            None => None,
        };
        let (due_before, due) = (before.as_ref().and_then(Chain::due_ms), chain.due_ms());
        if due_before != due {
            if let Some(at) = due_before {
                write::due(self.tables)?.remove((at, key.as_str()))?;
            }
            if let Some(at) = due {
                write::due(self.tables)?.insert((at, key.as_str()), ())?;
            }
        }
        let is_parked = |chain: &Chain| matches!(chain.state, ChainState::Parked { .. });
        match (before.as_ref().is_some_and(is_parked), is_parked(chain)) {
            (false, true) => drop(write::parked(self.tables)?.insert(key.as_str(), ())?),
            (true, false) => drop(write::parked(self.tables)?.remove(key.as_str())?),
            _ => {}
        }
        Ok(())
    }
}

impl Tables for Txn<'_, '_> {
    fn log(&self) -> Result<&impl ReadableTable<u64, &'static [u8]>, StoreError> {
        self.tables.log()
    }
    fn topics(&self) -> Result<&impl ReadableTable<&'static str, &'static [u8]>, StoreError> {
        self.tables.topics()
    }
    fn groups(&self) -> Result<&impl ReadableTable<&'static str, &'static [u8]>, StoreError> {
        self.tables.groups()
    }
    fn queues(&self) -> Result<&impl ReadableTable<(&'static str, i32, i64), (u64, u32)>, StoreError> {
        self.tables.queues()
    }
    fn bounds_table(&self) -> Result<&impl ReadableTable<(&'static str, i32), (i64, i64)>, StoreError> {
        self.tables.bounds()
    }
    fn offsets(&self) -> Result<&impl ReadableTable<(&'static str, &'static str, i32), i64>, StoreError> {
        self.tables.offsets()
    }
    fn chains(&self) -> Result<&impl ReadableTable<&'static str, &'static [u8]>, StoreError> {
        self.tables.chains()
    }
    fn due(&self) -> Result<&impl ReadableTable<(i64, &'static str), ()>, StoreError> {
        self.tables.due()
    }
    fn parked_table(&self) -> Result<&impl ReadableTable<&'static str, ()>, StoreError> {
        self.tables.parked()
    }
    fn timers(&self) -> Result<&impl ReadableTable<(i64, u64, u32), ()>, StoreError> {
        self.tables.timers()
    }
    fn early_acks(&self) -> Result<&impl ReadableTable<&'static str, i64>, StoreError> {
        self.tables.early_acks()
    }
    fn early_acks_until(&self) -> Result<&impl ReadableTable<(i64, &'static str), ()>, StoreError> {
        self.tables.early_acks_until()
    }
    fn set_aside_table(&self) -> Result<&impl ReadableTable<(u64, u32), &'static [u8]>, StoreError> {
        self.tables.set_aside()
    }
}
