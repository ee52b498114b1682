//! A process of the binary, with its folder, its pages and its log.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command as Process, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use super::PATIENCE;

/// A process of the binary; killed when dropped.
pub struct Node {
    child: Child,
    pub address: String,
    log: PathBuf,
}

impl Node {
    /// Starts the binary and waits until it says where it listens.
    fn start(folder: &Path, name: &str, arguments: &[&str]) -> Self {
        let log = folder.join(format!("{name}.log"));
        let append = File::options().create(true).append(true).open(&log).unwrap();
        let mut child = Process::new(env!("CARGO_BIN_EXE_pop-revive"))
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(append)
            .spawn()
            .unwrap();
        let mut said = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
        let address = said.trim().rsplit_once(" listens on ").map(|(_, address)| address.to_owned());
        let mut node = Self { child, address: String::new(), log };
        node.address = address.unwrap_or_else(|| panic!("{name} said {said:?}; its log:\n{}", node.log_text()));
        node
    }

    pub fn name_server(folder: &Path) -> Self {
        Self::start(folder, "namesrv", &["namesrv", "--listen", "127.0.0.1:0"])
    }

    pub fn broker(folder: &Path, name: &str, listen: &str, name_server: &Self, more: &[&str]) -> Self {
        let data = folder.join(name);
        let data = data.to_str().unwrap();
        let given = ["broker", "--name", name, "--listen", listen, "--namesrv", &name_server.address, "--data", data];
        let given = [&given[..], &["--metrics-listen", "127.0.0.1:0"]].concat();
        Self::start(folder, name, &[&given, more].concat())
    }

    /// The slave of the broker of that name, of which it has one.
    pub fn slave(folder: &Path, broker: &str, name_server: &Self, more: &[&str]) -> Self {
        Self::slave_of(folder, (broker, 1), name_server, more)
    }

    /// The slave of that broker that has this id.
    pub fn slave_of(folder: &Path, (broker, id): (&str, u8), name_server: &Self, more: &[&str]) -> Self {
        let (name, id) = (format!("{broker}-slave-{id}"), id.to_string());
        let data = folder.join(&name);
        let given = ["broker", "--name", broker, "--id", &id, "--listen", "127.0.0.1:0", "--namesrv"];
        let there = [&name_server.address, "--data", data.to_str().unwrap(), "--metrics-listen", "127.0.0.1:0"];
        Self::start(folder, &name, &[&given[..], &there, more].concat())
    }

    /// Where the broker serves metrics and health: its log says so before it says that it listens.
    fn metrics_address(&self) -> String {
        let log = self.log_text();
        let line = log.lines().rev().find(|line| line.contains("metrics and health are served")).unwrap();
        let line: String = line.split("\u{1b}[").enumerate().fold(String::new(), |mut plain, (at, part)| {
            plain.push_str(if at == 0 { part } else { part.split_once('m').map_or("", |(_, rest)| rest) });
            plain
        });
        line.split("address=").nth(1).unwrap().trim().trim_matches('"').to_owned()
    }

    /// A page's status and body.
    pub fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.metrics_address()).unwrap();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    /// The sum of the samples that begin with `name` and hold `label`.
    pub fn metric(&self, name: &str, label: &str) -> f64 {
        let (status, text) = self.get("/metrics");
        assert_eq!(status, 200);
        let samples = text.lines().filter(|line| line.starts_with(&format!("{name}{{")) && line.contains(label));
        samples.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()).sum()
    }

    pub fn log_text(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// SIGKILL: no goodbye, no flush.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to stop, as an operator or a service manager does, and waits until it has.
    pub fn stop_by(&mut self, signal: &str) -> ExitStatus {
        let sent = Process::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(began.elapsed() < PATIENCE, "it does not stop; its log:\n{}", self.log_text());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
