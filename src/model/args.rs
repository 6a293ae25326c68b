//! The command lines of `haggle model`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use haggle_learning::data::Format;

use super::compress::Method;
use super::outside::ScoreKind;

/// What to do with a model.
#[derive(Clone, Debug, Subcommand)]
pub enum ModelCommand {
    /// Train a model on a file of rows, and judge it on another.
    Train(TrainArgs),
    /// Judge a trained model on a file of rows.
    Evaluate(EvaluateArgs),
    /// Make a deep model smaller, and say what that spares and what it loses.
    Compress(CompressArgs),
    /// Write the probability of a click for each row of a file.
    Predict(PredictArgs),
    /// Take a model that was trained elsewhere, in ONNX, into a folder like our own.
    Import(ImportArgs),
    /// Write rows as the numbers that such models take, for whoever trains one.
    Encode(EncodeArgs),
    /// Judge two trained models on the same rows, and say whether one is shown to be better.
    Compare(CompareArgs),
    /// Say of each feature whether it helps: train without it, and judge on the same rows.
    Ablate(AblateArgs),
    /// Copy a trained model into the registry, and print its id.
    Register(RegisterArgs),
    /// List the registry's models, their roles and the last changes.
    List(ListArgs),
    /// Remove a model that is not in use from the registry.
    Remove(IdArgs),
    /// Let a model of the registry serve all users, or a share of them.
    Promote(PromoteArgs),
    /// Go back to before the last promotion: end the canary, or else what served before serves again.
    Rollback(RollbackArgs),
    /// Score a model of the registry beside those that bid, without bidding with it.
    Shadow(ShadowArgs),
}

/// Which model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ModelKind {
    /// A weight for each value: logistic regression.
    Logistic,
    /// A field-aware factorisation machine: vectors for pairs of fields as well.
    Ffm,
    /// Vectors for weighted pairs of fields, and a network.
    Deep,
}

impl ModelKind {
    /// As it is written on the command line.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Logistic => "logistic",
            Self::Ffm => "ffm",
            Self::Deep => "deep",
        }
    }
}

/// What stays as it is when training goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Freeze {
    /// The vectors of ffm and deep.
    Vectors,
}

fn format(name: &str) -> Result<Format, String> {
    let found = Format::NAMES.iter().find(|(known, _)| *known == name);
    let names = || Format::NAMES.map(|(known, _)| known).join(", ");
    found.map(|(_, format)| *format).ok_or_else(|| format!("must be one of {}", names()))
}

/// Units of hidden layers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hidden(pub Vec<u16>);

fn hidden(text: &str) -> Result<Hidden, String> {
    if text == "none" {
        return Ok(Hidden(Vec::new()));
    }
    let units =
        text.split(',').map(|it| it.trim().parse().map_err(|_| "write it like 64,32, or none".to_owned()));
    units.collect::<Result<_, _>>().map(Hidden)
}

fn finite(text: &str) -> Result<f32, String> {
    let number = text.parse().map_err(|_| "is not a number".to_owned())?;
    if f32::is_finite(number) { Ok(number) } else { Err("must be finite".to_owned()) }
}

/// How files of rows are read.
#[derive(Clone, Debug, Args)]
pub struct RowArgs {
    /// Their format: tsv, csv, parquet, libsvm, vw, ipinyou or haggle (a node's journal, by its configuration); without it
    /// what their names say.
    #[arg(long, value_name = "NAME", value_parser = format)]
    pub format: Option<Format>,
    /// Which field each index of LIBSVM rows is of: lines of field:value, a tab, and an index.
    #[arg(long, value_name = "FILE")]
    pub feature_index: Option<PathBuf>,
    /// How many bad rows of a file are left out before it is refused.
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub bad_rows: u64,
}

/// What to train, on what.
#[derive(Clone, Debug, Args)]
pub struct TrainArgs {
    /// The rows to learn from, in their order; a name that ends in .gz is unpacked.
    #[arg(long, value_name = "FILE")]
    pub data: PathBuf,
    /// What the columns of a table mean. iPinYou's logs need none; LIBSVM and Vowpal Wabbit's text have none.
    #[arg(long, value_name = "FILE.toml")]
    pub schema: Option<PathBuf>,
    /// The model. With --from it is that one's.
    #[arg(long, value_enum, required_unless_present = "from")]
    pub model: Option<ModelKind>,
    /// Go on from the trained model in this folder: with its schema and its settings. Only rates may be set anew.
    #[arg(long, value_name = "DIR")]
    pub from: Option<PathBuf>,
    /// What of it stays as it is: its vectors, while weights and network learn.
    #[arg(long, value_enum, value_name = "WHAT", requires = "from")]
    pub freeze: Option<Freeze>,
    /// Rows to judge the model on. None of them is learned from.
    #[arg(long, value_name = "FILE")]
    pub test: Option<PathBuf>,
    /// The folder for model, manifest and report. A model that is in it is replaced when the new one is whole.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// How files of rows are read.
    #[command(flatten)]
    pub rows: RowArgs,
    /// The log of clicks to an iPinYou log of impressions to learn from.
    #[arg(long, value_name = "FILE")]
    pub clicks: Option<PathBuf>,
    /// The log of clicks to an iPinYou log of impressions to judge by.
    #[arg(long, value_name = "FILE", requires = "test")]
    pub test_clicks: Option<PathBuf>,
    /// How often to go over the rows; with --hold-out at most.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub passes: u32,
    /// Keep this share of the rows from learning, such as 5%, judge each pass by them, and write the model of the best.
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub hold_out: Option<u16>,
    /// End after so many passes in a row that were no better than the best; without it after one.
    #[arg(long, value_name = "N", requires = "hold_out", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub patience: Option<u32>,
    /// Learn only this share of the rows without a click, such as 10%. Predictions are corrected for it.
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub negatives: Option<u16>,
    /// With 2, rows are read while others are learned; more make no difference.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub threads: u32,
    /// Size of the steps of the weights; without it the model's own.
    #[arg(long, value_name = "RATE")]
    pub rate: Option<f32>,
    /// How strongly weights are drawn to 0.
    #[arg(long, value_name = "L2")]
    pub l2: Option<f32>,
    /// The model has 2 to this power weights; without it as many as the schema has indices.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(8..=30))]
    pub bits: Option<u8>,
    /// Size of the steps of the vectors, of models that have any.
    #[arg(long, value_name = "RATE")]
    pub vector_rate: Option<f32>,
    /// How strongly vectors are drawn to 0.
    #[arg(long, value_name = "L2")]
    pub vector_l2: Option<f32>,
    /// There are vectors for 2 to this power values.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(4..=28))]
    pub vector_bits: Option<u8>,
    /// Numbers in a vector: 2, 4 or 8 of ffm; 8 or 16 of deep.
    #[arg(long, value_name = "N")]
    pub vector_size: Option<u8>,
    /// Units of a deep model's hidden layers, first to last, multiples of 16 up to 512; none for weighted pairs of fields alone.
    #[arg(long, value_name = "N,N", value_parser = hidden)]
    pub hidden: Option<Hidden>,
    /// The share of a deep model's hidden units that is dropped while learning; 0 to 0.9.
    #[arg(long, value_name = "SHARE")]
    pub dropout: Option<f32>,
    /// Normalise a deep model's hidden units within a minibatch.
    #[arg(long)]
    pub normalise: bool,
    /// What a deep network's steps are multiplied by after each pass; above 0, up to 1.
    #[arg(long, value_name = "FACTOR")]
    pub decay: Option<f32>,
    /// Chooses where vectors start, and which rows are held out or left out.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Count how many different values share an index; slows reading down.
    #[arg(long)]
    pub collisions: bool,
    /// Write the report as JSON.
    #[arg(long)]
    pub json: bool,
}

/// What to judge, on what.
#[derive(Clone, Debug, Args)]
pub struct EvaluateArgs {
    /// The folder that training wrote.
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// The rows.
    #[arg(long, value_name = "FILE")]
    pub data: PathBuf,
    /// How files of rows are read.
    #[command(flatten)]
    pub rows: RowArgs,
    /// The log of clicks to an iPinYou log of impressions.
    #[arg(long, value_name = "FILE")]
    pub clicks: Option<PathBuf>,
    /// Write the report as JSON.
    #[arg(long)]
    pub json: bool,
}

/// What to ask, of what.
#[derive(Clone, Debug, Args)]
pub struct PredictArgs {
    /// The folder that training wrote.
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// The rows; they need no labels. A bad row is an error, because each row has its line in the output.
    #[arg(long, value_name = "FILE")]
    pub data: PathBuf,
    /// Their format: tsv, csv, parquet, libsvm, vw, ipinyou or haggle (a node's journal, by its configuration); without it
    /// what the file's name says.
    #[arg(long, value_name = "NAME", value_parser = format)]
    pub format: Option<Format>,
    /// Which field each index of LIBSVM rows is of.
    #[arg(long, value_name = "FILE")]
    pub feature_index: Option<PathBuf>,
    /// The file to write, a probability a line; without it standard output.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Which model to take in, and how it is asked.
#[derive(Clone, Debug, Args)]
pub struct ImportArgs {
    /// The model: a network that takes one table of numbers, a row for each impression.
    #[arg(value_name = "FILE.onnx")]
    pub onnx: PathBuf,
    /// What the columns of its rows' table mean.
    #[arg(long, value_name = "FILE.toml")]
    pub schema: Option<PathBuf>,
    /// With haggle it takes a node's own rows, and has no schema.
    #[arg(long, value_name = "NAME", value_parser = format)]
    pub format: Option<Format>,
    /// The output that is read; without it the first of numbers with a fraction.
    #[arg(long, value_name = "NAME")]
    pub output: Option<String>,
    /// What it says of a row.
    #[arg(long, value_enum, default_value_t)]
    pub scores: ScoreKind,
    /// The number that stands for one that is missing, as it was trained with. Without it a row with a gap is an error.
    #[arg(long, value_name = "NUMBER", value_parser = finite, allow_negative_numbers = true)]
    pub missing: Option<f32>,
    /// The folder for model and manifest. A model that is in it is replaced when the new one is whole.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// Which rows to write as numbers.
#[derive(Clone, Debug, Args)]
pub struct EncodeArgs {
    /// The rows.
    #[arg(long, value_name = "FILE")]
    pub data: PathBuf,
    /// What the columns of a table mean.
    #[arg(long, value_name = "FILE.toml")]
    pub schema: Option<PathBuf>,
    /// How files of rows are read.
    #[command(flatten)]
    pub rows: RowArgs,
    /// What to write for a number that is missing; without it nothing.
    #[arg(long, value_name = "NUMBER", value_parser = finite, allow_negative_numbers = true)]
    pub missing: Option<f32>,
    /// The file to write: a header, then a line of commas and numbers a row, the label first.
    #[arg(long, value_name = "FILE.csv")]
    pub out: PathBuf,
}

/// What to make smaller, and how.
#[derive(Clone, Debug, Args)]
pub struct CompressArgs {
    /// The folder of a deep model that training wrote.
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// Rows to judge by. None of them is learned from.
    #[arg(long, value_name = "FILE")]
    pub data: PathBuf,
    /// Rows to train a smaller model on, and to see on what does little; without it those of --data show that.
    #[arg(long, value_name = "FILE")]
    pub train: Option<PathBuf>,
    /// What to do, one after the other; without it many are tried and compared.
    #[arg(long, value_enum, value_name = "NAMES", value_delimiter = ',')]
    pub method: Vec<Method>,
    /// The folder for the smaller model.
    #[arg(long, value_name = "DIR", requires = "method")]
    pub out: Option<PathBuf>,
    /// Fields of the ad, by name, or by number where they have none; all others are the request's.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub ad_fields: Vec<String>,
    /// How files of rows are read.
    #[command(flatten)]
    pub rows: RowArgs,
    /// The log of clicks to an iPinYou log of impressions to judge by.
    #[arg(long, value_name = "FILE")]
    pub clicks: Option<PathBuf>,
    /// Write the report as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Which models to compare, on what.
#[derive(Clone, Debug, Args)]
pub struct CompareArgs {
    /// The folder of the model in question.
    #[arg(value_name = "CANDIDATE")]
    pub candidate: PathBuf,
    /// The folder of the model that it is to be better than.
    #[arg(value_name = "BASE")]
    pub base: PathBuf,
    /// The rows. Neither model should have learned from them.
    #[arg(long, value_name = "FILE")]
    pub data: PathBuf,
    /// How files of rows are read.
    #[command(flatten)]
    pub rows: RowArgs,
    /// The log of clicks to an iPinYou log of impressions.
    #[arg(long, value_name = "FILE")]
    pub clicks: Option<PathBuf>,
    /// Chooses the bootstrap's draws.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Write the report as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Which features to do without, in which model, on what.
#[derive(Clone, Debug, Args)]
pub struct AblateArgs {
    /// The rows to learn from, in their order; a name that ends in .gz is unpacked.
    #[arg(long, value_name = "FILE")]
    pub data: PathBuf,
    /// What the columns of a table mean. iPinYou's logs need none; LIBSVM and Vowpal Wabbit's text have none.
    #[arg(long, value_name = "FILE.toml")]
    pub schema: Option<PathBuf>,
    /// Rows to judge by. None of them is learned from.
    #[arg(long, value_name = "FILE")]
    pub test: PathBuf,
    /// The model; it is learned once for each feature, and once with all.
    #[arg(long, value_enum, default_value_t = ModelKind::Logistic)]
    pub model: ModelKind,
    /// Leave only these out, each by itself, by name, or by number where they have none; without it each one.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub features: Vec<String>,
    /// How files of rows are read.
    #[command(flatten)]
    pub rows: RowArgs,
    /// The log of clicks to an iPinYou log of impressions to learn from.
    #[arg(long, value_name = "FILE")]
    pub clicks: Option<PathBuf>,
    /// The log of clicks to an iPinYou log of impressions to judge by.
    #[arg(long, value_name = "FILE")]
    pub test_clicks: Option<PathBuf>,
    /// How often to go over the rows.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub passes: u32,
    /// Models have 2 to this power weights; without it as many as the schema has indices.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(8..=30))]
    pub bits: Option<u8>,
    /// There are vectors for 2 to this power values, in models that have any.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(4..=28))]
    pub vector_bits: Option<u8>,
    /// Chooses where vectors start, and the bootstrap's draws.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Write the report as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Where the registry is.
#[derive(Clone, Debug, Args)]
pub struct RegistryArgs {
    /// The registry's folder; without it `models` in the data folder that HAGGLE_DATA names, or in `data`.
    #[arg(long, value_name = "DIR")]
    pub registry: Option<PathBuf>,
}

impl RegistryArgs {
    /// The registry's folder.
    pub(super) fn folder(&self) -> PathBuf {
        let data = || PathBuf::from(std::env::var_os("HAGGLE_DATA").unwrap_or_else(|| "data".into()));
        self.registry.clone().unwrap_or_else(|| data().join("models"))
    }
}

/// What to register.
#[derive(Clone, Debug, Args)]
pub struct RegisterArgs {
    /// The folder that training wrote.
    #[arg(value_name = "FOLDER")]
    pub folder: PathBuf,
    /// What the id begins with; without it the folder's name.
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// The model that it came after; without it the one that its training went on from, else the one that serves.
    #[arg(long, value_name = "ID")]
    pub parent: Option<String>,
    /// Where the registry is.
    #[command(flatten)]
    pub registry: RegistryArgs,
}

/// What to list.
#[derive(Clone, Debug, Args)]
pub struct ListArgs {
    /// Where the registry is.
    #[command(flatten)]
    pub registry: RegistryArgs,
    /// Write models and state as JSON.
    #[arg(long)]
    pub json: bool,
}

/// A model of the registry.
#[derive(Clone, Debug, Args)]
pub struct IdArgs {
    /// The model's id.
    #[arg(value_name = "ID")]
    pub id: String,
    /// Where the registry is.
    #[command(flatten)]
    pub registry: RegistryArgs,
}

/// A share as people write it, in per mille: `5%`, `0.5%`.
fn share(text: &str) -> Result<u16, String> {
    let problem = || "must be a share from 0.1% to 99.9% in steps of 0.1%, such as 5%".to_owned();
    let number = text.strip_suffix('%').ok_or_else(problem)?;
    let (whole, tenth) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |part: &str, most: usize| {
        let plain = (1..=most).contains(&part.len()) && part.bytes().all(|it| it.is_ascii_digit());
        plain.then(|| part.parse::<u16>().ok()).flatten()
    };
    let per_mille = digits(whole, 2).zip(digits(tenth, 1)).map(|(whole, tenth)| whole * 10 + tenth);
    per_mille.filter(|it| *it > 0).ok_or_else(problem)
}

/// What to promote, and when.
#[derive(Clone, Debug, Args)]
pub struct PromoteArgs {
    /// The model's id.
    #[arg(value_name = "ID")]
    pub id: String,
    /// Serve this share of the users only, such as 5%.
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub canary: Option<u16>,
    /// Promote only a model that is shown to be better, on these rows, than the one that serves all users.
    #[arg(long, value_name = "FILE")]
    pub if_better: Option<PathBuf>,
    /// How files of rows are read.
    #[command(flatten)]
    pub rows: RowArgs,
    /// Why, for the history.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Where the registry is.
    #[command(flatten)]
    pub registry: RegistryArgs,
    /// Write the state as JSON.
    #[arg(long)]
    pub json: bool,
}

/// What to go back from.
#[derive(Clone, Debug, Args)]
pub struct RollbackArgs {
    /// Why, for the history.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Where the registry is.
    #[command(flatten)]
    pub registry: RegistryArgs,
    /// Write the state as JSON.
    #[arg(long)]
    pub json: bool,
}

/// What to score beside.
#[derive(Clone, Debug, Args)]
pub struct ShadowArgs {
    /// The model's id.
    #[arg(value_name = "ID")]
    pub id: String,
    /// No longer.
    #[arg(long)]
    pub off: bool,
    /// Where the registry is.
    #[command(flatten)]
    pub registry: RegistryArgs,
    /// Write the state as JSON.
    #[arg(long)]
    pub json: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_read_as_people_write_them() {
        for (text, per_mille) in [("5%", 5 * 10), ("0.1%", 1), ("99.9%", 999), ("12.5%", 125), ("05%", 50)] {
            assert_eq!(share(text), Ok(per_mille), "{text}");
        }
        for text in ["5", "0%", "100%", "0.05%", "-1%", "+1%", "1.%", ".5%", "%", "1e1%", "five%", "5%%"] {
            assert!(share(text).is_err(), "{text}");
        }
    }
}
