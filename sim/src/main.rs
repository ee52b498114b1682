//! The simulator's command line, `cargo sim`.

/// A simulated run is thousands of small, short-lived pieces: a fifth of it went into glibc's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    pop_sim::command_line::main()
}
