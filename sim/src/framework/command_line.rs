//! A command line for a scenario that is written in code: sweep, replay, shrink.

use std::{num::NonZero, process::ExitCode};

use clap::{Args, Parser};

use super::{
    check::{all_cores, check},
    failure::Failure,
    run::{run_seed, violations_of},
    scenario::{Scenario, Witness},
    shrink::shrink,
};
use crate::command_line::options::{Seeds, fingerprint, jobs};

/// What the command line takes besides the scenario's own options.
#[derive(Debug, Clone, Args)]
struct Options {
    /// Which seeds, a number or a half-open range such as 5..10
    #[arg(long, default_value = "200", value_name = "A..B|N")]
    seeds: Seeds,
    /// How many threads; by default as many as there are cores
    #[arg(long, value_name = "N", value_parser = jobs)]
    jobs: Option<NonZero<usize>>,
    /// Run this seed alone and print its event log
    #[arg(long, value_name = "N", conflicts_with = "seeds")]
    seed: Option<u64>,
    /// Say whether it is the run that had this fingerprint
    #[arg(long, value_name = "HASH", requires = "seed", value_parser = fingerprint)]
    expect_fingerprint: Option<String>,
    /// Leave out the faults that the failure of this seed does not need
    #[arg(long, requires = "seed", conflicts_with = "expect_fingerprint")]
    shrink: bool,
}

/// The whole command line of a program that tests one scenario. The scenario's own options come from its `clap::Args`.
#[derive(Parser)]
struct CommandLine<S: Args> {
    #[command(flatten)]
    scenario: S,
    #[command(flatten)]
    options: Options,
}

/// The `main` of a program that tests one scenario, whose own options are its fields.
///
/// Exit codes as those of `cargo sim`: 0 all promises held, 1 a violation, or not the same run, 2 unusable options.
pub fn command_line<S: Scenario + Args>() -> ExitCode {
    let CommandLine { scenario, options } = CommandLine::<S>::parse();
    let words: Vec<String> = std::env::args().collect();
    let command = own_command(&words);
    let jobs = options.jobs.unwrap_or_else(all_cores);
    let passed = match options.seed {
        None => sweep(&scenario, &options, jobs, &command),
        Some(seed) if options.shrink => smallest(&scenario, seed, jobs),
        Some(seed) => replay(&scenario, seed, options.expect_fingerprint.as_deref(), &command),
    };
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The command without what [`Options`] says: the program and the options of the scenario.
fn own_command(words: &[String]) -> String {
    let options = Options::augment_args(clap::Command::new("options"));
    let known = |word: &str| {
        let name = word.strip_prefix("--")?.split('=').next()?.to_owned();
        options.get_arguments().find(|option| option.get_long() == Some(&name))
    };
    let (mut own, mut words) = (Vec::new(), words.iter());
    while let Some(word) = words.next() {
        match known(word) {
            None => own.push(word.as_str()),
            Some(option) if option.get_action().takes_values() && !word.contains('=') => drop(words.next()),
            Some(_) => {}
        }
    }
    own.join(" ")
}

fn sweep<S: Scenario>(scenario: &S, options: &Options, jobs: NonZero<usize>, command: &str) -> bool {
    let checked = check(scenario, options.seeds.0.clone(), jobs);
    print!("{checked}");
    if let Some(failure) = &checked.failure {
        print!("\n{}", failure.told(command));
    }
    checked.failure.is_none()
}

fn replay<S: Scenario>(scenario: &S, seed: u64, expected: Option<&str>, command: &str) -> bool {
    let ran = run_seed(scenario, seed);
    let found = ran.as_ref().map_or("", |outcome| outcome.fingerprint.as_str()).to_owned();
    if let Ok(outcome) = &ran {
        print!("{}", S::Witness::lines(&outcome.history));
    }
    let failure = Failure::of::<S>(seed, &ran);
    match &failure {
        Some(failure) => print!("\n{}", failure.told(command)),
        None => println!("\nseed {seed}: every promise held"),
    }
    let is_same = expected.is_none_or(|expected| expected == found);
    match expected {
        Some(expected) if !is_same => println!("NOT REPRODUCED: the fingerprint is {found:?}, not {expected:?}"),
        Some(_) => println!("reproduced: {found}"),
        None => println!("fingerprint: {found}"),
    }
    failure.is_none() && is_same
}

fn smallest<S: Scenario>(scenario: &S, seed: u64, jobs: NonZero<usize>) -> bool {
    let violations = violations_of(&run_seed(scenario, seed));
    let Some(first) = violations.first() else {
        println!("seed {seed}: every promise held");
        return true;
    };
    let plan = shrink(scenario, seed, first.promise, jobs);
    println!("{} is broken by seed {seed} and these faults, none of which can be left out:", first.promise);
    plan.faults.iter().for_each(|fault| println!("  {fault:?}"));
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_repeats_the_options_of_the_scenario_and_no_others() {
        let own = |words: &str| own_command(&words.split(' ').map(String::from).collect::<Vec<_>>());
        assert_eq!(own("target/register --forgetful --seeds 5..10 --jobs=2"), "target/register --forgetful");
        assert_eq!(own("target/register --seed 7 --shrink --forgetful"), "target/register --forgetful");
        assert_eq!(own("target/register"), "target/register");
    }
}
