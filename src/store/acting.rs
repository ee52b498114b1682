//! Slaves that act for their masters: what the group that keeps their chains knows of them, and what their own group does.
//!
//! A term is taken here, in the log of the group that keeps the chains, so that this one log decides whose word counts.
//! Until the master has merged what was done for it, no chain is forgotten: the list of them is all that tells.

use std::ops::Bound;

use super::{
    StoreError, Tables, Txn,
    draft::Draft,
    key::{Key, Parts},
    row::{Row, Table},
    tables::Source as _,
};
use crate::model::{chain::Chain, record::Record};

/// The row that lists a chain as handed over by an acting member of a group.
pub(super) fn acted(group: &str, id: &str) -> Key {
    Key::of(Table::Acted).text(group).text(id)
}

fn term(tables: &(impl Tables + ?Sized), table: Table, group: &str) -> Result<u64, StoreError> {
    let row = tables.rows().get(table, &Key::of(table).text(group))?;
    Ok(if let Some(Row::Number(term)) = row { term.unsigned_abs() } else { 0 })
}

/// The last term that a member of the group has taken here; 0 if none has.
pub(super) fn sealed_term(tables: &(impl Tables + ?Sized), group: &str) -> Result<u64, StoreError> {
    term(tables, Table::Sealed, group)
}

/// The last term that the group's master has merged; 0 if there is none.
pub(super) fn merged_term(tables: &(impl Tables + ?Sized), group: &str) -> Result<u64, StoreError> {
    term(tables, Table::Merged, group)
}

/// Whether acting members of any group have taken a term here that their master has not merged.
pub(super) fn is_any_unmerged(tables: &(impl Tables + ?Sized)) -> Result<bool, StoreError> {
    let table = Key::of(Table::Unmerged);
    Ok(tables.rows().scan(Table::Unmerged, Bound::Unbounded, &table)?.next().transpose()?.is_some())
}

/// How many groups that is so of. There are few: as many at the most as name this group as their target.
pub(super) fn count_unmerged(tables: &(impl Tables + ?Sized)) -> Result<usize, StoreError> {
    let table = Key::of(Table::Unmerged);
    let mut count = 0;
    for row in tables.rows().scan(Table::Unmerged, Bound::Unbounded, &table)? {
        row?;
        count += 1;
    }
    Ok(count)
}

/// Chains that acting members of the group have handed over and its master has not merged, in the order of their ids from
/// the first after `after` on, at most `limit`.
pub(super) fn acted_chains(
    tables: &(impl Tables + ?Sized),
    group: &str,
    after: &str,
    limit: usize,
) -> Result<Vec<Chain>, StoreError> {
    let prefix = Key::of(Table::Acted).text(group);
    let from = Bound::Excluded(prefix.clone().text(after));
    let mut chains = Vec::new();
    for row in tables.rows().scan(Table::Acted, from, &prefix)?.take(limit) {
        let key = id_of(&row?.0);
        let dangling = || StoreError::Dangling { table: "acted", key: key.clone(), index: 0 };
        chains.push(tables.chain_by_key(&key)?.ok_or_else(dangling)?);
    }
    Ok(chains)
}

fn id_of(key: &[u8]) -> String {
    let mut parts = Parts::of(key);
    let _group = parts.text();
    parts.text()
}

impl Txn<'_, '_> {
    /// Takes the next term for a member of another group: higher than `above` and than any that was taken before.
    ///
    /// # Errors
    /// The store fails.
    pub fn seal(&mut self, group: &str, member: u64, above: u64) -> Result<u64, StoreError> {
        let term = self.sealed_term(group)?.max(above).saturating_add(1);
        self.record(Record::Sealed { group: group.to_owned(), term, member })?;
        Ok(term)
    }
}

impl Draft<'_> {
    /// Lets the tables follow [`Record::Sealed`].
    pub(super) fn apply_sealed(&mut self, group: &str, term: u64, member: u64) {
        self.put(Key::of(Table::Sealed).text(group), Row::Number(term.cast_signed()));
        if member != 0 {
            self.put(Key::of(Table::Unmerged).text(group), Row::Mark);
        }
    }

    /// Lets the tables follow [`Record::Merged`].
    pub(super) fn apply_merged(&mut self, group: &str, term: u64) -> Result<(), StoreError> {
        self.put(Key::of(Table::Merged).text(group), Row::Number(term.cast_signed()));
        self.remove(Key::of(Table::Unmerged).text(group));
        let listed = self.rows().scan(Table::Acted, Bound::Unbounded, &Key::of(Table::Acted).text(group))?;
        for key in listed.map(|row| Ok(row?.0)).collect::<Result<Vec<_>, StoreError>>()? {
            self.change(key, None);
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "acting_tests.rs"]
mod tests;
