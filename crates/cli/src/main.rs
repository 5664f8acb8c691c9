//! `csl`: makes one better model out of many, and proves it on held-out data.

mod arguments;
mod commands;
mod fault;
mod leaderboard;
mod show;
mod watch;

use std::process::ExitCode;

use clap::Parser;
use consilience_core::model::Stop;
use consilience_engine::device;

use arguments::{Arguments, Command, On};
use fault::Fault;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let stop = Stop::default();
    let asked = stop.clone();
    // Only long work is asked to stop; whatever is written is written whole or not at all. A second Ctrl-C ends at once.
    let asks = matches!(
        arguments.command,
        Command::Run { .. }
            | Command::Demo { .. }
            | Command::Predict { .. }
            | Command::Evaluate { .. }
            | Command::Fuse(_)
    );
    let merges = matches!(arguments.command, Command::Merge(_));
    let hooked = ctrlc::set_handler(move || {
        if !(asks || merges) || asked.requested() {
            std::process::exit(130);
        }
        asked.request();
    });
    if hooked.is_err() {
        show::warn("Ctrl-C cannot be caught here; the store is safe all the same");
    }
    if let Some(threads) = arguments.threads {
        // Results never depend on it.
        if rayon::ThreadPoolBuilder::new().num_threads(usize::from(threads)).build_global().is_err() {
            show::warn("the number of threads could not be set");
        }
    }
    // What reads no network need not look for a device.
    let explicit = !matches!(arguments.device, On::Auto);
    if (asks || explicit)
        && let Err(error) = device::choose(arguments.device.into())
    {
        return Fault::from(error).report(arguments.json);
    }
    match commands::dispatch(&arguments, &stop) {
        Ok(code) => code,
        Err(fault) => fault.report(arguments.json),
    }
}
