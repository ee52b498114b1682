//! The `pop-revive` binary: a name server, a broker, or an operator's command, on the real network.

mod command_line;

use std::process::ExitCode;

fn main() -> ExitCode {
    if cfg!(madsim) {
        eprintln!("error: this build runs inside the simulator only; use `cargo real -- ...` for the real network");
        return ExitCode::from(2);
    }
    command_line::run()
}
