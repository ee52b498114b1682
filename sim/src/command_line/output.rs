//! Where the results of a sweep go: standard output in the format asked for, and a folder of files.

use std::{
    fs::{self, File},
    io::{BufWriter, IsTerminal as _, Write},
    path::{Path, PathBuf},
};

use super::{Unusable, options::Format};
use crate::{
    history::History,
    report::{FailureReport, SeedRecord, Tally, json, junit, table},
    run::fingerprint::write_line,
};

/// The results of a sweep, on their way out.
pub struct Output {
    format: Format,
    cases: Vec<junit::Case>,
    folder: Option<Folder>,
}

struct Folder {
    path: PathBuf,
    results: BufWriter<File>,
    events: bool,
}

impl Output {
    /// Results in `format`, and in `folder` if there is one; there also the event log of every seed if `events`.
    ///
    /// # Errors
    /// The folder or its first file cannot be made.
    pub fn new(format: Format, folder: Option<&Path>, events: bool) -> Result<Self, Unusable> {
        let folder = match folder {
            None => None,
            Some(path) => {
                make_folder(path)?;
                let file = path.join("results.jsonl");
                let results = BufWriter::new(File::create(&file).map_err(Unusable::io(file.display()))?);
                Some(Folder { path: path.to_owned(), results, events })
            }
        };
        Ok(Self { format, cases: Vec::new(), folder })
    }

    /// The result of one seed; `report` if it failed.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn seed(
        &mut self,
        record: &SeedRecord,
        report: Option<&FailureReport>,
        history: Option<&History>,
    ) -> Result<(), Unusable> {
        let line = json::seed_line(record)?;
        match self.format {
            Format::Table => {}
            Format::Json => writeln!(std::io::stdout(), "{line}").map_err(Unusable::io("stdout"))?,
            Format::Junit => {
                let failure = report.map(|report| (report.verdict(), report.to_string()));
                let (scenario, seed, wall_ms) = (record.scenario.clone(), record.seed, record.wall_ms);
                self.cases.push(junit::Case { scenario, seed, wall_ms, failure });
            }
        }
        self.folder.as_mut().map_or(Ok(()), |folder| folder.seed(&line, record, report, history))
    }

    /// The end of the sweep.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn finish(mut self, tallies: &[Tally]) -> Result<(), Unusable> {
        let summary = json::summary_line(tallies)?;
        let text = match self.format {
            Format::Table => table::table(tallies, std::io::stdout().is_terminal()),
            Format::Json => format!("{summary}\n"),
            Format::Junit => junit::document(tallies, &self.cases),
        };
        std::io::stdout().write_all(text.as_bytes()).map_err(Unusable::io("stdout"))?;
        if let Some(folder) = &mut self.folder {
            let written = writeln!(folder.results, "{summary}").and_then(|()| folder.results.flush());
            written.map_err(Unusable::io("results.jsonl"))?;
        }
        Ok(())
    }
}

impl Folder {
    fn seed(
        &mut self,
        line: &str,
        record: &SeedRecord,
        report: Option<&FailureReport>,
        history: Option<&History>,
    ) -> Result<(), Unusable> {
        writeln!(self.results, "{line}").map_err(Unusable::io("results.jsonl"))?;
        let name = format!("{}-{}", record.scenario, record.seed);
        if let Some(report) = report {
            write_file(&self.path.join(format!("{name}.failure.txt")), &report.to_string())?;
        }
        if let Some(history) = history.filter(|_| self.events) {
            write_events(&self.path.join(format!("{name}.events.log")), history)?;
        }
        Ok(())
    }
}

/// Makes a folder and those above it.
///
/// # Errors
/// It cannot be made.
pub fn make_folder(path: &Path) -> Result<(), Unusable> {
    fs::create_dir_all(path).map_err(Unusable::io(path.display()))
}

/// Writes a file of text.
///
/// # Errors
/// It cannot be written.
pub fn write_file(path: &Path, text: &str) -> Result<(), Unusable> {
    fs::write(path, text).map_err(Unusable::io(path.display()))
}

/// Writes a run's whole event log, line by line.
///
/// # Errors
/// It cannot be written.
pub fn write_events(path: &Path, history: &History) -> Result<(), Unusable> {
    let write = || {
        let mut file = BufWriter::new(File::create(path)?);
        let mut line = String::new();
        for event in &history.events {
            line.clear();
            write_line(&mut line, event);
            file.write_all(line.as_bytes())?;
        }
        file.flush()
    };
    write().map_err(Unusable::io(path.display()))
}
