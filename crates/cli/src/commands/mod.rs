//! One file a command, or a few that belong together.

mod check;
mod demo;
mod doctor;
mod explain;
mod export;
mod fuse;
mod init;
mod list;
mod merge;
mod model;
mod recipes;
mod run;
mod runs;

use std::process::ExitCode;

use consilience_core::model::Stop;

use crate::arguments::{Arguments, Command, Files};
use crate::fault::Fault;

/// Does what the arguments say.
pub fn dispatch(arguments: &Arguments, stop: &Stop) -> Result<ExitCode, Fault> {
    let json = arguments.json;
    match &arguments.command {
        Command::Demo { places, fresh } => demo::demo(places, *fresh, json, stop),
        Command::Run { recipe, places, fresh, require } => {
            run::run(recipe, places, *fresh, require.is_some(), json, stop)
        }
        Command::Init { data, target, out } => init::init(data, target.as_deref(), out.as_deref(), json),
        Command::Check { recipe, places } => check::check(recipe, places, json),
        Command::Plan { recipe, places, layers } => check::plan(recipe, places, *layers, json),
        Command::Predict { model, data, out, root } => {
            model::predict(model, data, out, root.as_deref(), json, stop)
        }
        Command::Evaluate { model, data, metrics, unseen, root } => {
            model::evaluate(model, data, metrics, *unseen, root.as_deref(), json, stop)
        }
        Command::Export { model, files } => {
            let Files { onnx, safetensors, torch_names } = files;
            export::export(model, onnx.as_deref(), safetensors.as_deref(), *torch_names, json)
        }
        Command::Fuse(how) => fuse::fuse(how, json, stop),
        Command::Merge(how) => merge::merge(how, arguments.threads, json, stop),
        Command::Report { run, out } => runs::report(run, out.as_deref(), json),
        Command::Explain { run } => explain::explain(run, json),
        Command::List { kind } => list::list(kind.as_deref(), json),
        Command::Schema => list::schema(),
        Command::Runs { runs, prune } => runs::runs(runs, *prune, json),
        Command::Doctor { runs } => doctor::doctor(runs, json),
    }
}
