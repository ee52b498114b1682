//! Runs a name server or a broker until it is told to stop.

use std::{error::Error, path::PathBuf, sync::Arc, time::Duration};

use pop_revive::{
    broker::{Broker, BrokerConfig},
    namesrv::{NameServer, NameServerConfig},
    seams::{
        Host,
        file_disk::{CommitThread, FileDisk},
        system_clock::SystemClock,
        tcp::Tcp,
    },
};
use tokio::sync::Notify;

/// How long a node that is told to stop may finish what it has begun.
const STOP_DEADLINE: Duration = Duration::from_secs(10);

/// Runs a name server.
pub async fn name_server(listen: String, show_acting_master: bool) -> Result<(), Box<dyn Error>> {
    // A name server stores nothing; it gets a folder that it never opens.
    let host = host(std::env::temp_dir())?;
    let stop = stop_signal()?;
    let config = NameServerConfig { listen, show_acting_master, ..NameServerConfig::default() };
    let server = NameServer::start(host, config).await?;
    println!("name server listens on {}", server.address());
    stop.notified().await;
    server.shutdown().await;
    Ok(())
}

/// Runs a broker whose store is in `data`.
pub async fn broker(config: BrokerConfig, data: PathBuf) -> Result<(), Box<dyn Error>> {
    let stop = stop_signal()?;
    let host = host(data)?;
    loop {
        // Starting may take minutes: a damaged store is read again for a while.
        let broker = tokio::select! {
            biased;
            () = stop.notified() => return Ok(()),
            started = Broker::start(host.clone(), config.clone()) => started?,
        };
        println!("broker {} listens on {}", config.name, broker.address());
        let is_over = tokio::select! {
            biased;
            () = stop.notified() => true,
            () = broker.has_to_restart() => false,
        };
        broker.shutdown(STOP_DEADLINE).await;
        if is_over {
            return Ok(());
        }
    }
}

/// Notified when the process is told to stop: by Ctrl-C (SIGINT), SIGTERM or SIGHUP.
fn stop_signal() -> Result<Arc<Notify>, ctrlc::Error> {
    let stop = Arc::new(Notify::new());
    let told = stop.clone();
    ctrlc::set_handler(move || told.notify_one())?;
    Ok(stop)
}

fn host(folder: PathBuf) -> Result<Host, Box<dyn Error>> {
    Ok(Host {
        transport: Arc::new(Tcp),
        clock: Arc::<SystemClock>::default(),
        disk: Arc::new(FileDisk::new(folder)?),
        blocking: Arc::new(CommitThread::start()?),
    })
}
