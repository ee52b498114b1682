//! The `pop-revive` binary: a name server, a broker, or an operator's command, on the real network.

mod command_line;

use std::process::ExitCode;

fn main() -> ExitCode {
    command_line::run()
}
