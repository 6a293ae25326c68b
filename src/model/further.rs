//! Going on from a trained model: what has to be as it was, and what may be set anew.

use std::fmt::Display;
use std::path::Path;

use haggle_learning::data::ReadOptions;
use haggle_learning::offline::{Learner, Settings, load};

use super::args::{Freeze, TrainArgs};
use super::folder::{self, Contents, RowKind};
use super::input::feature_index;
use super::train::{no_network, no_vectors};
use crate::exit::{Exit, ExitError};

/// Reads what `--from` names, if it names anything.
pub(super) fn parent(args: &TrainArgs) -> Result<Option<Contents>, ExitError> {
    let index = feature_index(args.rows.feature_index.as_deref())?;
    args.from.as_deref().map(|folder| folder::contents(folder, index)).transpose()
}

/// How rows are read, what decides what they mean, and the schema's text: where nothing is said, as the model reads them.
pub(super) fn adopt(
    folder: &Path,
    parent: &Contents,
    args: &TrainArgs,
    (options, kind, schema): &mut (ReadOptions, RowKind, Option<String>),
) -> Result<(), ExitError> {
    // A journal is named by a configuration, which does not say its format.
    if args.rows.format.is_none() && parent.manifest.rows == RowKind::Journal {
        (options.format, *kind) = (parent.options.format, RowKind::Journal);
    }
    let own = parent.manifest.rows;
    if *kind != own {
        let problem = format!("the model was trained on {}, the data is {}", own.shown(), kind.shown());
        return Err(contradiction(folder, problem));
    }
    if args.schema.is_none() {
        options.schema.clone_from(&parent.options.schema);
        schema.clone_from(&parent.schema);
    }
    if args.bits.is_none() {
        options.bits = parent.manifest.bits;
    }
    Ok(())
}

/// A contradiction between the command line and the model.
fn contradiction(folder: &Path, problem: impl Display) -> ExitError {
    ExitError::new(Exit::Usage, format!("{problem}; {} is gone on from as it is", folder.display()))
}

/// Refuses rows that mean something else than those that the model was trained on.
pub(super) fn check_rows(
    folder: &Path,
    parent: &Contents,
    meaning: u64,
    args: &TrainArgs,
) -> Result<(), ExitError> {
    if meaning != parent.meaning {
        let problem = match (&args.schema, args.bits) {
            (Some(schema), _) => {
                format!("{} is another schema than the model's; leave --schema out", schema.display())
            }
            (None, Some(bits)) if u32::from(bits) != parent.manifest.bits => {
                let own = parent.manifest.bits;
                format!("--bits says {bits}, the model's indices have {own}; leave it out")
            }
            (None, _) => "the data's fields and indices mean something else than the model's".to_owned(),
        };
        return Err(contradiction(folder, problem));
    }
    Ok(())
}

/// The model, ready to learn on: with rates that the command line sets anew. All else that it says must be as it was.
pub(super) fn learner(
    folder: &Path,
    parent: &Contents,
    args: &TrainArgs,
    fields: usize,
) -> Result<Box<dyn Learner>, ExitError> {
    let file = folder.join(&parent.manifest.file);
    let mut model = load(&parent.bytes, parent.meaning).map_err(|error| folder::refuse(&file, error))?;
    let own = &parent.manifest.model;
    if let Some(given) = args.model.filter(|given| given.name() != own) {
        let problem = format!("--model says {}, the model is {own}; leave it out", given.name());
        return Err(contradiction(folder, problem));
    }
    let settings = model.settings();
    let (linear, vectors) = match &settings {
        Settings::Logistic(linear) => (linear, None),
        Settings::Ffm(it) => {
            let own = &it.factors;
            (&it.linear, Some((own.fields, own.size, own.bits, own.l2)))
        }
        Settings::Deep(it) => (&it.linear, Some((it.fields, it.size, it.bits, it.l2))),
    };
    no_network(args, "a trained model keeps its network")?;
    same(folder, "--bits", args.bits, linear.bits)?;
    same(folder, "--l2", args.l2, linear.l2)?;
    match vectors {
        None => {
            no_vectors(args)?;
            if args.freeze.is_some() {
                return Err(contradiction(folder, "logistic has no vectors; leave --freeze out"));
            }
        }
        Some((known, size, bits, l2)) => {
            same(folder, "--vector-size", args.vector_size, size)?;
            same(folder, "--vector-bits", args.vector_bits, bits)?;
            same(folder, "--vector-l2", args.vector_l2, l2)?;
            if fields > usize::from(known) {
                let problem = format!("the data has {fields} fields, the model knows {known}");
                return Err(contradiction(folder, problem));
            }
        }
    }
    model.begin();
    model.set_rates(args.rate, args.vector_rate).map_err(|error| ExitError::new(Exit::Usage, error))?;
    if args.freeze == Some(Freeze::Vectors) {
        model.freeze_vectors(true);
    }
    Ok(model)
}

fn same<T: Copy + PartialEq + Display>(
    folder: &Path,
    flag: &str,
    given: Option<T>,
    own: T,
) -> Result<(), ExitError> {
    match given.filter(|given| *given != own) {
        Some(given) => {
            Err(contradiction(folder, format!("{flag} says {given}, the model has {own}; leave it out")))
        }
        None => Ok(()),
    }
}
