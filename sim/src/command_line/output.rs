//! Where the results of a sweep go: standard output in the format asked for, and a folder of files.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{BufWriter, IsTerminal as _, Write},
    path::{Path, PathBuf},
};

use super::{Unusable, options::Format, results::Results};
use crate::{
    history::{History, fingerprint::write_line},
    report::{
        FailureReport, SeedRecord, Tally, json, junit,
        kept::{KeptSeed, Sweep},
        record::ViolationRecord,
        table,
    },
};

/// The results of a sweep, on their way out.
pub struct Output {
    format: Format,
    cases: Vec<junit::Case>,
    folder: Option<Folder>,
}

struct Folder {
    path: PathBuf,
    /// The file of each scenario's results.
    results: BTreeMap<String, Results>,
    events: bool,
}

/// How a seed failed.
pub struct Failed(junit::Failure);

impl Failed {
    /// As its report tells it, `None` when every promise held.
    #[must_use]
    pub fn of(record: &SeedRecord, report: &FailureReport) -> Option<Self> {
        let kind = record.violations.first()?.signature.clone();
        Some(Self(junit::Failure { kind, verdict: report.verdict(), report: report.to_string() }))
    }

    /// As it was kept in a folder, `None` when every promise held.
    #[must_use]
    pub fn of_kept(record: &SeedRecord, folder: &Path) -> Option<Self> {
        let ViolationRecord { promise, at, subject, detail, signature } = record.violations.first()?;
        let verdict = format!("{promise} violated at {at}s: {subject}: {detail}");
        let report = fs::read_to_string(folder.join(report_name(record))).unwrap_or_else(|_| verdict.clone());
        Some(Self(junit::Failure { kind: signature.clone(), verdict, report }))
    }
}

/// The file of a failure's report.
fn report_name(record: &SeedRecord) -> String {
    format!("{}-{}.failure.txt", record.scenario, record.seed)
}

impl Output {
    /// Results in `format`, and in `folder` if there is one; there also the event log of every seed if `events`.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn new(format: Format, folder: Option<&Path>, events: bool) -> Result<Self, Unusable> {
        let folder = match folder {
            None => None,
            Some(path) => {
                make_folder(path)?;
                Some(Folder { path: path.to_owned(), results: BTreeMap::new(), events })
            }
        };
        Ok(Self { format, cases: Vec::new(), folder })
    }

    /// From now on results of the scenario are of this sweep; gives those that the folder has of it already.
    ///
    /// # Errors
    /// The folder has results of another sweep under that name, or its file cannot be read or written.
    pub fn begin(&mut self, sweep: &Sweep) -> Result<Vec<KeptSeed>, Unusable> {
        let Some(folder) = &mut self.folder else { return Ok(Vec::new()) };
        let (results, known) = Results::open(&folder.path, sweep)?;
        folder.results.insert(sweep.name.clone(), results);
        Ok(known)
    }

    /// The result of one seed that was run.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn seed_run(
        &mut self,
        seed: &KeptSeed,
        failed: Option<&Failed>,
        history: Option<&History>,
    ) -> Result<(), Unusable> {
        self.seed(seed, failed)?;
        self.folder.as_mut().map_or(Ok(()), |folder| folder.seed(seed, failed, history))
    }

    /// How a seed failed of which the folder has the result already.
    #[must_use]
    pub fn failed(&self, record: &SeedRecord) -> Option<Failed> {
        Failed::of_kept(record, self.folder.as_ref().map_or(Path::new(""), |folder| folder.path.as_path()))
    }

    /// Tells the result of one seed that was kept.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn seed(&mut self, KeptSeed { record, .. }: &KeptSeed, failed: Option<&Failed>) -> Result<(), Unusable> {
        match self.format {
            Format::Table => {}
            Format::Json => {
                let line = json::seed_line(record)?;
                writeln!(std::io::stdout(), "{line}").map_err(Unusable::io("stdout"))?;
            }
            Format::Junit => {
                let failure = failed.map(|Failed(failure)| failure.clone());
                let (scenario, seed, wall_ms) = (record.scenario.clone(), record.seed, record.wall_ms);
                self.cases.push(junit::Case { scenario, seed, wall_ms, failure });
            }
        }
        Ok(())
    }

    /// The end of the sweep.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn finish(self, tallies: &[Tally]) -> Result<(), Unusable> {
        let text = match self.format {
            Format::Table => table::table(tallies, std::io::stdout().is_terminal()),
            Format::Json => format!("{}\n", json::summary_line(tallies)?),
            Format::Junit => junit::document(tallies, &self.cases),
        };
        std::io::stdout().write_all(text.as_bytes()).map_err(Unusable::io("stdout"))
    }
}

impl Folder {
    fn seed(&mut self, seed: &KeptSeed, failed: Option<&Failed>, history: Option<&History>) -> Result<(), Unusable> {
        let record = &seed.record;
        // What belongs to a seed is there before its line says that the seed is done.
        if let Some(Failed(failure)) = failed {
            write_file(&self.path.join(report_name(record)), &failure.report)?;
        }
        if let Some(history) = history.filter(|_| self.events) {
            write_events(&self.path.join(format!("{}-{}.events.log", record.scenario, record.seed)), history)?;
        }
        self.results.get_mut(&record.scenario).map_or(Ok(()), |results| results.add(seed))
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
