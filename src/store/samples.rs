//! What tests of the store write.

use super::{Step, StoreError, Txn};
use crate::model::record::Record;

/// Moves a group's offset.
pub(super) struct Moves(pub(super) i64);

impl Step for Moves {
    type Reply = ();

    fn decide(self, txn: &mut Txn<'_, '_>) -> Result<(), StoreError> {
        txn.record(Record::Offset { group: "g".into(), topic: "t".into(), queue: 0, offset: self.0 })
    }
}
