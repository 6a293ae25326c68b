//! A model of tables that is asked about records one by one.

use std::path::Path;

use haggle_learning::Batch;
use haggle_learning::data::{Encoder, Flaw};

use super::folder::{self, Model, RowKind};
use crate::exit::ExitError;

/// A model, and what turns a record into what it understands.
pub(crate) struct Asked {
    model: Model,
    encoder: Encoder,
}

impl Asked {
    /// Opens a model's folder.
    ///
    /// # Errors
    ///
    /// A folder that holds no model, or one of rows that are no table.
    pub(crate) fn open(folder: &Path) -> Result<Self, ExitError> {
        let (manifest, options, model) = folder::open(folder, None)?;
        let schema = options.schema.filter(|_| manifest.rows == RowKind::Table).ok_or_else(|| {
            let problem =
                format!("was trained on {}, and a model of tables is wanted", manifest.rows.shown());
            folder::refuse(folder, problem)
        })?;
        Ok(Self { model, encoder: Encoder::new(schema) })
    }

    /// Appends a record to a batch; columns for which `value` has nothing are missing.
    ///
    /// # Errors
    ///
    /// A value that its feature does not take; the batch then has a row begun that must be abandoned.
    pub(crate) fn encode<'t>(
        &self,
        value: impl Fn(&str) -> Option<&'t str>,
        batch: &mut Batch,
    ) -> Result<(), Flaw> {
        self.encoder.record(&value, batch).map_err(|(feature, problem)| Flaw {
            column: Some(feature.to_owned()),
            problem: problem.to_string(),
        })?;
        batch.end(0.0);
        Ok(())
    }

    /// The click probability of each record of a batch.
    ///
    /// # Errors
    ///
    /// Those of models of other makes.
    pub(crate) fn predict(&self, batch: &Batch, out: &mut Vec<f32>) -> Result<(), ExitError> {
        self.model.predict(batch, out)
    }
}
