//! A server that keeps the highest number it was ever sent, in a log on its disk, and what proves that it does:
//! `cargo run --release -p pop-sim --example register` breaks it by seed. With `-- --forgetful` the server confirms what
//! it has not synced. docs/framework.md goes through this file.

use std::{io, process::ExitCode, sync::Arc, time::Duration};

use pop_sim::framework::{
    Findings, History, Log, Plan, Promise, Recorder, Scenario, StopSignal, Stream, Swarm, Violation, World,
    command_line, seams::Host, violations,
};
use rand::RngExt as _;
use redb::StorageBackend;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::{sync::Mutex, sync::oneshot, time::sleep, time::timeout};

#[cfg(test)]
mod tests;

/// A number and its checksum, at the beginning of a sector of its own.
fn record(number: u32) -> [u8; 8] {
    (u64::from(number) << 32 | u64::from(crc32fast::hash(&number.to_be_bytes()))).to_be_bytes()
}

struct Store {
    host: Host,
    file: Arc<dyn StorageBackend>,
    forgetful: bool,
    /// Where the log ends and its highest number; unknown at first and after a failure.
    known: Option<(u64, u32)>,
}

impl Store {
    /// Reads the log up to a torn record.
    async fn load(&self) -> io::Result<(u64, u32)> {
        let (mut end, mut highest, mut found) = (0, 0, [0; 8]);
        while end + 8 <= self.file.len()? {
            self.file.read(end, &mut found)?;
            let number = (u64::from_be_bytes(found) >> 32) as u32;
            if found != record(number) {
                break;
            }
            (end, highest) = (end + 512, number);
        }
        self.disk(|file| file.sync_data()).await?; // a process that was killed may not have synced it
        Ok((end, highest))
    }

    async fn put(&mut self, number: u32) -> io::Result<u32> {
        let (mut end, mut highest) = if let Some(known) = self.known.take() { known } else { self.load().await? };
        if number > highest {
            let (at, forgetful) = (end, self.forgetful);
            let write = move |file: &dyn StorageBackend| file.write(at, &record(number));
            self.disk(move |file| write(file).and_then(|()| if forgetful { Ok(()) } else { file.sync_data() })).await?;
            (end, highest) = (end + 512, number);
        }
        self.known = Some((end, highest));
        Ok(highest)
    }

    async fn disk(&self, work: impl FnOnce(&dyn StorageBackend) -> io::Result<()> + Send + 'static) -> io::Result<()> {
        let (file, (tell, told)) = (self.file.clone(), oneshot::channel());
        self.host.blocking.run(Box::new(move || drop(tell.send(work(&*file))))).await;
        told.await.map_err(io::Error::other)?
    }
}

async fn server(host: Host, stop: StopSignal, forgetful: bool) -> io::Result<()> {
    let (file, mut listener) = (host.disk.open("log")?.into(), host.transport.bind("0.0.0.0:7000").await?);
    let store = Arc::new(Mutex::new(Store { host, file, forgetful, known: None }));
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        let (mut stream, store) = (accepted?.0, store.clone());
        tokio::spawn(async move {
            let number = stream.read_u32().await?;
            stream.write_u32(store.lock().await.put(number).await?).await?;
            stream.flush().await
        });
    }
    Ok(())
}

async fn ask(host: &Host, number: u32) -> io::Result<u32> {
    let mut stream = host.transport.connect("server:7000").await?;
    stream.write_u32(number).await?;
    stream.flush().await?;
    stream.read_u32().await
}

/// What a client sent, and the highest number if it was answered.
#[derive(Debug)]
struct Asked(u32, Option<u32>);

async fn client(host: Host, mut rng: Stream, recorder: Recorder<Asked>) {
    for round in 1.. {
        let number = if rng.random_bool(0.5) { round } else { 0 }; // 0 only asks
        let answer = timeout(Duration::from_secs(1), ask(&host, number)).await;
        recorder.record(Asked(number, answer.ok().and_then(Result::ok)));
        sleep(Duration::from_millis(rng.random_range(10..500))).await;
    }
}

fn never_goes_back(history: &History<Asked>, found: &mut Findings<'_>) {
    let mut known = 0;
    for (at_ms, highest) in history.noted().filter_map(|(at_ms, Asked(_, answer))| Some((at_ms, (*answer)?))) {
        if highest < known {
            found.broken(at_ms, "the server", format!("answered {highest} after it had answered {known}"));
        }
        known = highest;
    }
}

fn answers_again(history: &History<Asked>, found: &mut Findings<'_>) {
    if let Some((at_ms, Asked(number, None))) = history.noted().last() {
        found.broken(at_ms, "the server", format!("does not answer {number}, a minute after everything healed"));
    }
}

#[derive(clap::Args)]
struct Register {
    /// Confirm what is not synced
    #[arg(long)]
    forgetful: bool,
}

impl Scenario for Register {
    type Witness = Log<Asked>;
    type Verdict = Vec<Violation>;

    fn plan(&self, seed: u64) -> Plan {
        Swarm::new(&["server"], &["client"], self.duration()).plan(seed)
    }
    fn witness(&self) -> Arc<Log<Asked>> {
        Arc::default()
    }
    fn start(&self, world: &World, log: &Arc<Log<Asked>>) {
        let (forgetful, recorder) = (self.forgetful, log.recorder(world));
        world.add_node("server", "10.0.0.1");
        world.add_node("client", "10.0.0.2");
        world.start("server", move |host, stop| async move { drop(server(host, stop, forgetful).await) });
        world.start_workload("client", move |host, rng, _| client(host, rng, recorder.clone()));
    }
    fn judge(&self, history: &History<Asked>) -> Vec<Violation> {
        let promises: [Promise<Asked>; 2] = [("never goes back", never_goes_back), ("answers again", answers_again)];
        violations(&promises, history)
    }
}

fn main() -> ExitCode {
    command_line::<Register>()
}
