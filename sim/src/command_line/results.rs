//! A file of results that grows seed by seed, and is gone on with by the next sweep that is the same.

use std::{
    fs::{File, OpenOptions},
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use super::Unusable;
use crate::report::kept::{Kept, KeptSeed, Sweep, Unreadable, head_line, seed_line};

/// Results that the next sweep cannot go on with.
#[derive(Debug, thiserror::Error)]
pub enum ResultsError {
    /// The file has something else.
    #[error("{}: {cause}; accepted: another folder", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Where and why.
        #[source]
        cause: Unreadable,
    },
    /// The file has the results of another sweep.
    #[error("{} cannot be gone on with: {why} as here; accepted: another folder, or the sweep that began it", path.display())]
    Other {
        /// The file.
        path: PathBuf,
        /// In what they differ.
        why: String,
    },
}

/// An open file of results.
pub(super) struct Results {
    path: PathBuf,
    file: File,
}

impl Results {
    /// Opens the file of a sweep in a folder, and gives the seeds that it has already.
    pub(super) fn open(folder: &Path, sweep: &Sweep) -> Result<(Self, Vec<KeptSeed>), Unusable> {
        let path = folder.join(sweep.file_name());
        let io = || Unusable::io(path.display().to_string());
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let (mut file, mut text) = (file.map_err(io())?, String::new());
        file.read_to_string(&mut text).map_err(io())?;
        let kept = Kept::read(&text).map_err(|cause| ResultsError::Unreadable { path: path.clone(), cause })?;
        let (whole, known) = match kept {
            None => (0, Vec::new()),
            Some(Kept { sweep: found, seeds, whole }) => {
                if let Some(why) = differs(&found, sweep) {
                    return Err(ResultsError::Other { path, why }.into());
                }
                (whole as u64, seeds)
            }
        };
        // What was cut off is written anew.
        file.set_len(whole).and_then(|()| file.seek(SeekFrom::Start(whole))).map_err(io())?;
        if whole == 0 {
            file.write_all(head_line(sweep)?.as_bytes()).map_err(io())?;
        }
        Ok((Self { path, file }, known))
    }

    /// Adds a seed, at once and with one write: whoever reads the file finds whole lines.
    pub(super) fn add(&mut self, seed: &KeptSeed) -> Result<(), Unusable> {
        let line = seed_line(seed)?;
        self.file.write_all(line.as_bytes()).map_err(Unusable::io(self.path.display()))
    }
}

fn differs(found: &Sweep, wanted: &Sweep) -> Option<String> {
    let sources = found.differs_from(wanted);
    sources.or_else(|| (found.of != wanted.of).then(|| "it was to have another number of seeds, not as many".into()))
}
