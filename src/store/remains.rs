//! What remains of one of the commits that a damaged file knows of.

use std::{collections::BTreeMap, io};

use super::{
    database::SETTLED_KEY,
    key::Key,
    pages::{Lost, Met, Pages, Tree, Widths},
    retention::EXPIRED_BEFORE,
    row::{Row, Table},
};

pub(super) const LOG_WIDTHS: Widths = Widths { key: Some(8), value: None };
pub(super) const ROW_WIDTHS: Widths = Widths { key: None, value: None };
const META_WIDTHS: Widths = Widths { key: None, value: Some(8) };

/// What remains of one commit.
pub(super) struct Remains {
    pub(super) log: Option<Tree>,
    /// Whether anything leads to the log.
    pub(super) is_log_known: bool,
    pub(super) rows: Option<Tree>,
    pub(super) lost_rows: Vec<Lost>,
    /// Missing where any of it is.
    pub(super) meta: Option<BTreeMap<String, u64>>,
    /// The first entry that has not expired, if the rows say.
    pub(super) expired_before: Option<u64>,
}

impl Remains {
    pub(super) fn of(pages: &Pages<'_>, commit: Tree) -> io::Result<Self> {
        let (log, rows) = (pages.table(commit, "log")?, pages.table(commit, "rows")?);
        let mut lost_rows = if rows.is_none() { vec![Lost::ALL] } else { Vec::new() };
        let (mark, mut expired_before) = (Key::of(Table::Marks).text(EXPIRED_BEFORE), None);
        pages.walk(rows.flatten(), ROW_WIDTHS, &mut |met| {
            match met {
                Met::Pair(key, row) if key == mark.bytes() => {
                    expired_before = match Row::unpack(Table::Marks, key, row) {
                        Ok(Row::Number(index)) => Some(index.cast_unsigned()),
                        _ => None,
                    };
                }
                Met::Pair(..) | Met::Doubtful(..) => {}
                Met::Lost(lost) => lost_rows.push(lost),
            }
            Ok::<_, io::Error>(())
        })?;
        if !lost_rows.iter().any(|lost| lost.has(mark.bytes())) {
            expired_before.get_or_insert(1); // nothing ever has
        }
        let meta = match pages.table(commit, "meta")? {
            Some(meta) => numbers(pages, meta)?.filter(|meta| meta.contains_key(SETTLED_KEY)),
            None => None,
        };
        let (is_log_known, log, rows) = (log.is_some(), log.flatten(), rows.flatten());
        Ok(Self { log, is_log_known, rows, lost_rows, meta, expired_before })
    }

    /// Whether all rows are there, and how far they have come.
    pub(super) const fn is_whole(&self) -> bool {
        self.meta.is_some() && self.lost_rows.is_empty()
    }

    /// A number of its `meta`; 0 where there is none.
    pub(super) fn number(&self, name: &str) -> u64 {
        self.meta.as_ref().and_then(|meta| meta.get(name)).copied().unwrap_or(0)
    }
}

/// All numbers by their names; `None` where any may be missing.
fn numbers(pages: &Pages<'_>, meta: Option<Tree>) -> io::Result<Option<BTreeMap<String, u64>>> {
    let mut numbers = Some(BTreeMap::new());
    pages.walk(meta, META_WIDTHS, &mut |met| {
        match met {
            Met::Pair(name, number) => {
                let number = number.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
                if let Some(numbers) = &mut numbers {
                    numbers.insert(String::from_utf8_lossy(name).into_owned(), number);
                }
            }
            Met::Doubtful(..) => {}
            Met::Lost(_) => numbers = None,
        }
        Ok::<_, io::Error>(())
    })?;
    Ok(numbers)
}
