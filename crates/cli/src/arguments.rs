//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use consilience_engine::device::Choice;

/// Makes one better model out of many, and proves it on held-out data.
#[derive(Debug, Parser)]
#[command(name = "csl", version, max_term_width = 110, propagate_version = true)]
pub struct Arguments {
    /// Machine-readable output on standard output.
    #[arg(long, global = true)]
    pub json: bool,
    /// Threads, 1 to 1024; results never depend on it.
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// Where networks are computed: auto takes a CUDA device where this build knows them and the machine has one. Results
    /// of two devices agree within a tolerance.
    #[arg(long, global = true, value_name = "DEVICE", default_value = "auto")]
    pub device: On,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// A device by name.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum On {
    /// A CUDA device where there is one, else the processor.
    Auto,
    /// The processor.
    Cpu,
    /// The first CUDA device.
    Cuda,
    /// What wgpu finds.
    Wgpu,
}

impl From<On> for Choice {
    fn from(on: On) -> Self {
        match on {
            On::Auto => Self::Auto,
            On::Cpu => Self::Cpu,
            On::Cuda => Self::Cuda,
            On::Wgpu => Self::Wgpu,
        }
    }
}

/// Where a recipe's data and runs are.
#[derive(Debug, clap::Args)]
pub struct Places {
    /// The data folder, instead of the recipe's root.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The folder of runs and their store.
    #[arg(long, value_name = "DIR", default_value = "runs")]
    pub runs: PathBuf,
    /// The root of all seeds, instead of the recipe's.
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
}

/// What is written of a model.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true)]
pub struct Files {
    /// Where to write what the model computes, preprocessing included, from raw columns to probabilities or values.
    #[arg(long, value_name = "FILE")]
    pub onnx: Option<PathBuf>,
    /// Where to write the arrays of a network.
    #[arg(long, value_name = "FILE")]
    pub safetensors: Option<PathBuf>,
    /// Name the arrays as PyTorch's modules do.
    #[arg(long, requires = "safetensors")]
    pub torch_names: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Compose written and spoken digits: embedded data, the whole way in under a minute.
    Demo {
        /// Where and how.
        #[command(flatten)]
        places: Places,
        /// Do every step again.
        #[arg(long)]
        fresh: bool,
    },
    /// Run a recipe: fit, compose, judge, report, keep the best as a model directory.
    Run {
        /// The recipe.
        recipe: PathBuf,
        /// Where and how.
        #[command(flatten)]
        places: Places,
        /// Do every step again.
        #[arg(long)]
        fresh: bool,
        /// End with exit code 1 unless the composition gains.
        #[arg(long, value_name = "WHAT", value_parser = ["gain"])]
        require: Option<String>,
    },
    /// Write a recipe for a table or a folder of classes, with its guesses explained.
    Init {
        /// A csv or parquet file, or a folder with one folder a class.
        data: PathBuf,
        /// The column to predict.
        #[arg(long, value_name = "COLUMN")]
        target: Option<String>,
        /// Where to write the recipe; standard output by default.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Check a recipe against the grammar, the methods and the data; nothing is run.
    Check {
        /// The recipe.
        recipe: PathBuf,
        /// Where and how.
        #[command(flatten)]
        places: Places,
    },
    /// Show what a run would do: rows, columns, members, shapes, memory, time.
    Plan {
        /// The recipe.
        recipe: PathBuf,
        /// The layers of every network too, with the shapes of their outputs.
        #[arg(long)]
        layers: bool,
        /// Where and how.
        #[command(flatten)]
        places: Places,
    },
    /// Predict new rows with a model directory.
    Predict {
        /// The model directory.
        model: PathBuf,
        /// A csv or parquet file, or a folder laid out as the one the model was fitted on.
        data: PathBuf,
        /// Where to write: .csv or .parquet.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// The folder that paths in the table start from; the table's own by default.
        #[arg(long, value_name = "DIR")]
        root: Option<PathBuf>,
    },
    /// Score a model directory on data with truth, and say whether it has learned from these rows.
    Evaluate {
        /// The model directory.
        model: PathBuf,
        /// A csv or parquet file, or a folder laid out as the one the model was fitted on.
        data: PathBuf,
        /// Metrics; those that suit the task by default.
        #[arg(long, value_delimiter = ',', value_name = "NAMES")]
        metrics: Vec<String>,
        /// Leave out the rows from which the model has learned.
        #[arg(long)]
        unseen: bool,
        /// The folder that paths in the table start from; the table's own by default.
        #[arg(long, value_name = "DIR")]
        root: Option<PathBuf>,
    },
    /// Write a model directory for other programs: what it computes as ONNX, the arrays of a network as safetensors.
    Export {
        /// The model directory.
        model: PathBuf,
        /// What to write.
        #[command(flatten)]
        files: Files,
    },
    /// Write a run's report again from its outcome.
    Report {
        /// The run's folder.
        run: PathBuf,
        /// Where to write; the run's report.html by default.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// List the methods that recipes can name.
    List {
        /// One kind only: learners, networks, fusers, fusions, mergers, adapters, features, transforms, metrics.
        kind: Option<String>,
    },
    /// Print the JSON schema of recipes, for editors.
    Schema,
    /// List the runs; remove stored steps that none of them uses.
    Runs {
        /// The folder of runs and their store.
        #[arg(long, value_name = "DIR", default_value = "runs")]
        runs: PathBuf,
        /// Remove the steps that no run uses.
        #[arg(long)]
        prune: bool,
    },
    /// Say what this machine and this build can do.
    Doctor {
        /// The folder of runs that would be written.
        #[arg(long, value_name = "DIR", default_value = "runs")]
        runs: PathBuf,
    },
}
