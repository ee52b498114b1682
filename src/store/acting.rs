//! Slaves that act for their masters: what the group that keeps their chains knows of them, and what their own group does.
//!
//! A term is taken here, in the log of the group that keeps the chains, so that this one log decides whose word counts.
//! Until the master has merged what was done for it, no chain is forgotten: the list of them is all that tells.

use std::{collections::BTreeSet, ops::Bound};

use super::{
    StoreError, Tables, Txn,
    draft::Draft,
    key::{Key, Parts},
    row::{Row, Table},
};
use crate::{
    model::{
        chain::Chain,
        record::{LogEnd, Record},
        timer::{TakenTimer, TimerId},
    },
    sabotage,
};

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

/// The last term that the group's master has taken here; 0 if it has taken none.
pub(super) fn master_sealed(tables: &(impl Tables + ?Sized), group: &str) -> Result<u64, StoreError> {
    term(tables, Table::MasterSealed, group)
}

/// How the log ended of the group's last member that took a term here to act.
pub(super) fn acted_end(tables: &(impl Tables + ?Sized), group: &str) -> Result<Option<LogEnd>, StoreError> {
    let row = tables.rows().get(Table::ActedEnds, &Key::of(Table::ActedEnds).text(group))?;
    Ok(if let Some(Row::End(end)) = row { Some(end) } else { None })
}

/// The last term that the group's master has merged; 0 if there is none.
pub(super) fn merged_term(tables: &(impl Tables + ?Sized), group: &str) -> Result<u64, StoreError> {
    term(tables, Table::Merged, group)
}

/// The row that says that a delayed message of a group was taken.
pub(super) fn taken_timer(group: &str, id: TimerId) -> Key {
    Key::of(Table::TakenTimers).text(group).timer(id)
}

/// Whether it was.
pub(super) fn is_timer_taken(tables: &(impl Tables + ?Sized), group: &str, id: TimerId) -> Result<bool, StoreError> {
    Ok(tables.rows().get(Table::TakenTimers, &taken_timer(group, id))?.is_some())
}

/// The delayed messages of a group that were taken, from the first after `after` on, at most `limit`.
pub(super) fn taken_timers(
    tables: &(impl Tables + ?Sized),
    group: &str,
    after: Option<TimerId>,
    limit: usize,
) -> Result<Vec<TakenTimer>, StoreError> {
    let prefix = Key::of(Table::TakenTimers).text(group);
    let from = after.map_or(Bound::Unbounded, |after| Bound::Excluded(taken_timer(group, after)));
    let mut taken = Vec::new();
    for row in tables.rows().scan(Table::TakenTimers, from, &prefix)?.take(limit) {
        if let (key, Row::Number(term)) = row? {
            let mut parts = Parts::of(&key);
            let (_group, id) = (parts.text(), parts.timer());
            taken.push(TakenTimer { id, term: term.cast_unsigned() });
        }
    }
    Ok(taken)
}

/// Whether there are chains here that acting members of any group have handed over and its master has not merged.
pub(super) fn is_any_unmerged(tables: &(impl Tables + ?Sized)) -> Result<bool, StoreError> {
    Ok(tables.rows().scan(Table::Acted, Bound::Unbounded, &Key::of(Table::Acted))?.next().transpose()?.is_some())
}

/// Of how many groups there is something that their acting members have handed over and their masters have not merged.
pub(super) fn count_unmerged(tables: &(impl Tables + ?Sized)) -> Result<usize, StoreError> {
    let mut groups = groups_with_rows(tables, Table::Acted)?;
    groups.extend(groups_with_rows(tables, Table::TakenTimers)?);
    Ok(groups.len())
}

/// There may be many rows, and there are few groups: each is looked for once.
fn groups_with_rows(tables: &(impl Tables + ?Sized), table: Table) -> Result<BTreeSet<String>, StoreError> {
    let all = Key::of(table);
    let (mut groups, mut from) = (BTreeSet::new(), Bound::Unbounded);
    while let Some(row) = tables.rows().scan(table, from, &all)?.next().transpose()? {
        // The first group after this one.
        let group = Parts::of(&row.0).text();
        from = Bound::Included(all.clone().text(&format!("{group}\u{0}")));
        groups.insert(group);
    }
    Ok(groups)
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
    /// Takes the next term for a member of another group, whose log ends so if it is to act: higher than `above` and than
    /// any that was taken before.
    ///
    /// # Errors
    /// The store fails.
    pub fn seal(&mut self, group: &str, member: u64, above: u64, end: Option<LogEnd>) -> Result<u64, StoreError> {
        let term = self.sealed_term(group)?.max(above).saturating_add(1);
        if !sabotage!("seal-not-recorded") {
            self.record(Record::Sealed { group: group.to_owned(), term, member, end })?;
        }
        Ok(term)
    }
}

impl Draft<'_> {
    /// Lets the tables follow [`Record::Sealed`].
    pub(super) fn apply_sealed(
        &mut self,
        group: &str,
        term: u64,
        member: u64,
        end: Option<LogEnd>,
    ) -> Result<(), StoreError> {
        self.put(Key::of(Table::Sealed).text(group), Row::Number(term.cast_signed()));
        if member == 0 {
            self.put(Key::of(Table::MasterSealed).text(group), Row::Number(term.cast_signed()));
        }
        // A request that comes late names an end from before the slave followed on: no slave's log ever gets shorter, unless
        // it begins anew, and then it has all of this before it acts.
        let known = acted_end(self, group)?.map(|end| end.position);
        if let Some(end) = end.filter(|end| known.is_none_or(|known| known <= end.position)) {
            self.put(Key::of(Table::ActedEnds).text(group), Row::End(end));
        }
        Ok(())
    }

    /// Lets the tables follow [`Record::Merged`]: what was handed over under earlier terms is taken over. Under a later one
    /// somebody may act again by now.
    pub(super) fn apply_merged(&mut self, group: &str, term: u64) -> Result<(), StoreError> {
        self.put(Key::of(Table::Merged).text(group), Row::Number(term.cast_signed()));
        if sabotage!("merged-stays-listed") {
            return Ok(());
        }
        for chain in acted_chains(self, group, "", usize::MAX)? {
            if chain.acted_for.is_none_or(|acting| acting.term < term) {
                self.remove(acted(group, &chain.id.to_string()));
            }
        }
        for taken in taken_timers(self, group, None, usize::MAX)? {
            if taken.term < term {
                self.remove(taken_timer(group, taken.id));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "acting_tests.rs"]
mod tests;
