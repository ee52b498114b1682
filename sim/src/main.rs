//! The simulator's command line, `cargo sim`.

fn main() -> std::process::ExitCode {
    pop_sim::command_line::main()
}
