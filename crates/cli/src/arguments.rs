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

/// A merge of checkpoints.
#[derive(Debug, clap::Args)]
pub struct Merge {
    /// The merge file; with --verify the folder of a merge.
    pub config: PathBuf,
    /// The folder of the result; with --check, whether it could be put there is said too.
    #[arg(required_unless_present_any = ["check", "verify", "analyze"])]
    pub out: Option<PathBuf>,
    /// Read headers only: show every tensor of the result, memory, disk and time.
    #[arg(long, conflicts_with_all = ["verify", "analyze"])]
    pub check: bool,
    /// Say how the members pull, layer by layer: conflicts of signs, cosines between what they changed, lengths.
    #[arg(long, conflicts_with_all = ["out", "verify"])]
    pub analyze: bool,
    /// Where to write what --analyze finds as a page for people.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Hash a merge again, and its inputs; exit code 1 if it is not what it was.
    #[arg(long, conflicts_with_all = ["out", "resume", "replace"])]
    pub verify: bool,
    /// Go on with a merge that was stopped.
    #[arg(long)]
    pub resume: bool,
    /// Replace a folder that holds something else.
    #[arg(long)]
    pub replace: bool,
    /// What random methods draw from.
    #[arg(long, value_name = "N", default_value_t = 0, visible_alias = "random-seed")]
    pub seed: u64,
    /// What to do where members hold a tensor in different shapes, or lack it.
    #[arg(long, value_name = "WHAT", default_value = "error")]
    pub on_mismatch: Mismatch,
    /// What to do about numbers of the result that are not finite.
    #[arg(long, value_name = "WHAT", default_value = "stop")]
    pub on_nonfinite: Nonfinite,
    /// Do as another program does, also where it errs.
    #[arg(long, value_name = "PROGRAM", value_parser = ["mergekit"])]
    pub compat: Option<String>,
    /// The most memory beside the system's cache of files: 500MB, 2GB.
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    pub max_memory: Option<u64>,
    /// The most bytes of one file of the result.
    #[arg(long, value_name = "SIZE", value_parser = bytes, default_value = "5GB", visible_alias = "out-shard-size")]
    pub shard_size: u64,
    /// Hash all inputs again instead of taking hashes from this user's cache for files that have not changed.
    #[arg(long)]
    pub no_cache: bool,
}

/// Tables of predictions to compose.
#[derive(Debug, clap::Args)]
pub struct Fuse {
    /// Tables of predictions: csv or parquet with a column a class (of two classes one is enough), or npy arrays
    /// of rows and classes, of rows, or of members, rows and classes.
    #[arg(required = true)]
    pub predictions: Vec<PathBuf>,
    /// The truth: a csv or parquet table with a row for each row, or an npy array.
    #[arg(long, value_name = "FILE", required_unless_present = "with")]
    pub target: Option<PathBuf>,
    /// The column of the truth.
    #[arg(long, value_name = "COLUMN")]
    pub label: Option<String>,
    /// The column of row ids, in every table; id where there is one.
    #[arg(long, value_name = "COLUMN")]
    pub id: Option<String>,
    /// The fold of each row, for out-of-fold predictions: a column of the truth's table or of the predictions', or an npy array.
    #[arg(long, value_name = "COLUMN")]
    pub fold: Option<String>,
    /// Rows of one group are never parted: a column of the truth's table, or an npy array.
    #[arg(long, value_name = "COLUMN")]
    pub group: Option<String>,
    /// The weight of each row, likewise.
    #[arg(long, value_name = "COLUMN")]
    pub weight: Option<String>,
    /// The column of the truth's table that names the rows for fitting and for judging: train, val, test.
    #[arg(long, value_name = "COLUMN")]
    pub split: Option<String>,
    /// The makers of the predictions have seen none of these rows.
    #[arg(long, conflicts_with = "fold")]
    pub unseen: bool,
    /// Every column of the tables is a member, and holds the names of classes: what people answered.
    #[arg(long)]
    pub labels: bool,
    /// The members' names, in the order of the tables.
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    pub names: Vec<String>,
    /// Ways to compose that are tried (see csl list fusers).
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    pub by: Vec<String>,
    /// Calibrate what is composed (see csl list calibrators).
    #[arg(long, value_name = "WAY")]
    pub calibrate: Option<String>,
    /// The metric that chooses: log_loss, or rmse.
    #[arg(long, value_name = "METRIC")]
    pub choose: Option<String>,
    /// Only write the recipe.
    #[arg(long, value_name = "FILE")]
    pub recipe: Option<PathBuf>,
    /// The folder of runs and their store.
    #[arg(long, value_name = "DIR", default_value = "runs")]
    pub runs: PathBuf,
    /// The root of all seeds.
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Do every step again.
    #[arg(long)]
    pub fresh: bool,
    /// Compose new tables with a model directory that was made of tables of the same members.
    #[arg(long, value_name = "MODEL", requires = "out", conflicts_with_all = ["target", "recipe", "by"])]
    pub with: Option<PathBuf>,
    /// With --with: where to write what is composed, .csv or .parquet.
    #[arg(long, value_name = "FILE", requires = "with")]
    pub out: Option<PathBuf>,
}

/// What to do about different shapes.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum Mismatch {
    /// An error.
    Error,
    /// Leave the members that differ out of the tensor.
    Skip,
    /// Cut rows beyond those that all have.
    Crop,
}

/// What to do about numbers that are not finite.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum Nonfinite {
    /// End with an error that names the tensor.
    Stop,
    /// Write them.
    Keep,
}

/// A number of bytes: 500MB, 2.5GB, 5B (mergekit's billions), 1000.
fn bytes(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor = match unit.trim().to_ascii_uppercase().as_str() {
        "" => 1.0,
        "K" | "KB" => 1e3,
        "M" | "MB" => 1e6,
        "G" | "GB" | "B" => 1e9,
        "T" | "TB" => 1e12,
        _ => return Err("expected a size such as 500MB or 2GB".to_owned()),
    };
    match number.parse::<f64>() {
        Ok(n) if n.is_finite() && n * factor >= 1.0 && n * factor < 1e18 => Ok((n * factor) as u64),
        _ => Err("expected a size such as 500MB or 2GB".to_owned()),
    }
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
    /// Compose tables of predictions: weigh, stack and choose among them, judge, keep the best.
    Fuse(Box<Fuse>),
    /// Merge checkpoints by a merge file (the YAML of mergekit) into one of the same size.
    Merge(Merge),
    /// Write a run's report again from its outcome.
    Report {
        /// The run's folder.
        run: PathBuf,
        /// Where to write; the run's report.html by default.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Say what each member is worth to the best composition of a run, and why.
    Explain {
        /// The run's folder.
        run: PathBuf,
    },
    /// List the methods that recipes can name.
    List {
        /// One kind only: learners, networks, fusers, calibrators, fusions, mergers, adapters, features, transforms, metrics.
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
