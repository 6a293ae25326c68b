//! A trained model's folder: the model, what it was trained on and what it is worth (`manifest.json`), the schema it reads by,
//! and the report.
//!
//! The manifest names the model's file and its checksum, and is put in place last, at once: whatever happens meanwhile,
//! there is the old model or the new one.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use haggle_learning::data::{FeatureIndex, Format, ReadOptions, Schema};
use haggle_learning::frozen::{Frozen, is_frozen};
use haggle_learning::offline::{Learner, load, verify};
use haggle_learning::{ARCHIVE_SCHEMA, Batch, Guest, Rows};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::outside::{Origin, Outside};
use super::report::TrainReport;
use crate::exit::{Exit, ExitError};

const MANIFEST: &str = "manifest.json";
const SCHEMA: &str = "schema.toml";
const REPORT: &str = "report.html";
/// The layout of folder and manifest.
const FORMAT: u32 = 1;

/// What is known of a model.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    pub(super) format: u32,
    /// `logistic`, `ffm` or `deep`.
    pub(crate) model: String,
    /// The model's file, its bytes' XXH3 in hex, and their count.
    pub(super) file: String,
    pub(crate) checksum: String,
    pub(crate) file_bytes: u64,
    /// What fields and indices mean, as a hash in hex.
    pub(crate) schema_hash: String,
    /// How rows were written.
    pub(crate) rows: RowKind,
    /// Names of the fields, if they have any, in the order of their numbers.
    pub(crate) fields: Vec<String>,
    /// How many bits indices have that are hashed without a schema.
    pub(crate) bits: u32,
    /// The checksum of the model that training went on from, if it did.
    #[serde(default)]
    pub(crate) parent: Option<String>,
    pub(super) metrics: TrainReport,
    /// Of a model that was trained elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) origin: Option<Origin>,
}

/// What decides how rows are understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RowKind {
    /// By a schema.
    Table,
    /// Indices as they are.
    LibSvm,
    /// Namespaces and hashed names.
    Vw,
    /// The features that a node scores bids with.
    Journal,
}

impl RowKind {
    /// For a person.
    pub(super) fn shown(self) -> &'static str {
        match self {
            Self::Table => "a table",
            Self::LibSvm => "LIBSVM rows",
            Self::Vw => "Vowpal Wabbit's text",
            Self::Journal => "a node's journal",
        }
    }
}

/// A hash of what fields and indices mean.
pub(super) fn meaning(kind: RowKind, options: &ReadOptions) -> u64 {
    match (kind, &options.schema) {
        (RowKind::Table, Some(schema)) => schema.hash(),
        (RowKind::LibSvm, _) | (RowKind::Table, None) => {
            xxh3_64(format!("libsvm {:?}", options.index.as_ref().map(FeatureIndex::hash)).as_bytes())
        }
        (RowKind::Journal, _) => ARCHIVE_SCHEMA,
        (RowKind::Vw, _) => xxh3_64(format!("vw {} {:?}", options.bits, options.namespaces).as_bytes()),
    }
}

/// What is to be written.
pub(super) struct Saved<'a> {
    pub(super) manifest: Manifest,
    pub(super) model: &'a [u8],
    /// The schema as it was written by its author.
    pub(super) schema: Option<&'a str>,
    pub(super) report: &'a str,
}

/// A checksum as it stands in manifests.
pub(super) fn checksum(bytes: &[u8]) -> String {
    format!("{:016x}", xxh3_64(bytes))
}

/// Writes a model's folder. A model that is in it stays whole until the new one is, and is then removed.
pub(super) fn write(folder: &Path, saved: &Saved<'_>) -> Result<(), ExitError> {
    let cannot = |error: std::io::Error| {
        ExitError::new(Exit::CannotCreate, format!("{} cannot be written: {error}", folder.display()))
    };
    fs::create_dir_all(folder).map_err(cannot)?;
    let put = |name: &str, bytes: &[u8]| {
        // For whoever may see the folder, as with any other file.
        let mode = fs::Permissions::from_mode(0o666);
        let mut file = tempfile::Builder::new().permissions(mode).tempfile_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(folder.join(name)).map_err(|error| error.error)?;
        Ok(())
    };
    let old = manifest(folder).ok();
    put(&saved.manifest.file, saved.model).map_err(cannot)?;
    put(REPORT, saved.report.as_bytes()).map_err(cannot)?;
    if let Some(schema) = saved.schema {
        put(&schema_file(&saved.manifest.schema_hash), schema.as_bytes()).map_err(cannot)?;
    }
    let text = serde_json::to_string_pretty(&saved.manifest)
        .map_err(|error| ExitError::new(Exit::Internal, format!("cannot write the manifest: {error}")))?;
    put(MANIFEST, text.as_bytes()).map_err(cannot)?;
    // What stays behind does no harm.
    if let Some(old) = old {
        if old.file != saved.manifest.file {
            let _ = fs::remove_file(folder.join(&old.file));
        }
        if old.schema_hash != saved.manifest.schema_hash {
            let _ = fs::remove_file(folder.join(schema_file(&old.schema_hash)));
        }
    }
    Ok(())
}

/// A schema has its hash in its name, so that a new one does not take the old model's.
fn schema_file(hash: &str) -> String {
    format!("{hash}.{SCHEMA}")
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, ExitError> {
    // Opening a pipe would wait for somebody to write into it.
    if fs::metadata(path).is_ok_and(|it| !it.is_file()) {
        return Err(refuse(path, "is no file; copy the folder again, or train the model again"));
    }
    fs::read(path).map_err(|error| {
        ExitError::new(Exit::IoFailed, format!("{} cannot be read: {error}", path.display()))
    })
}

pub(super) fn refuse(path: &Path, problem: impl std::fmt::Display) -> ExitError {
    ExitError::new(Exit::InputUnusable, format!("{}: {problem}", path.display()))
}

/// Reads a folder's manifest. What it says of the other files is not compared with them yet.
pub(super) fn manifest(folder: &Path) -> Result<Manifest, ExitError> {
    let path = folder.join(MANIFEST);
    let manifest: Manifest = serde_json::from_slice(&read(&path)?).map_err(|error| {
        refuse(&path, format!("is no manifest of a model: {error}; train the model again"))
    })?;
    if manifest.format != FORMAT {
        let found = manifest.format;
        return Err(refuse(
            &path,
            format!("is of format {found}, this program reads {FORMAT}; train the model again"),
        ));
    }
    // Names from a file must not lead out of the folder.
    let plain = |name: &str| {
        !name.is_empty()
            && name != MANIFEST
            && name != REPORT
            && name.chars().all(|it| it.is_ascii_alphanumeric() || it == '.' || it == '-')
    };
    if !plain(&manifest.file) || !plain(&manifest.schema_hash) {
        return Err(refuse(
            &path,
            "names a file outside its folder, or another one's; train the model again",
        ));
    }
    Ok(manifest)
}

/// A model that can be asked.
pub(super) enum Model {
    Learned(Box<dyn Learner>),
    Frozen(Box<Frozen>),
    /// Of another make.
    Outside(Box<Outside>),
}

impl Model {
    /// The probability of a click of each impression. Models of other makes may fail.
    pub(super) fn predict(&self, batch: &Batch, out: &mut Vec<f32>) -> Result<(), ExitError> {
        match self {
            Self::Learned(model) => model.predict(batch, out),
            Self::Frozen(model) => model.predict(batch, out),
            Self::Outside(model) => model
                .predict(batch, out)
                .map_err(|error| ExitError::new(Exit::InputUnusable, format!("the model: {error}")))?,
        }
        Ok(())
    }

    /// The probability of an order of each of these clicks; none of a model that learned none.
    pub(super) fn predict_conversions(&self, clicks: &Rows, out: &mut Vec<f32>) {
        match self {
            Self::Learned(model) => model.predict_conversions(clicks, out),
            Self::Frozen(model) => model.predict_conversions(clicks, out),
            Self::Outside(_) => out.clear(),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Learned(model) => model.bytes(),
            Self::Frozen(model) => model.bytes(),
            Self::Outside(model) => model.bytes(),
        }
    }
}

/// The bytes of the model's file, whose checksum is the manifest's.
fn bytes(folder: &Path, manifest: &Manifest) -> Result<Vec<u8>, ExitError> {
    let path = folder.join(&manifest.file);
    let bytes = read(&path)?;
    let found = checksum(&bytes);
    if found != manifest.checksum {
        let expected = &manifest.checksum;
        return Err(refuse(
            &path,
            format!(
                "its checksum is {found}, its manifest says {expected}; copy the folder again, or train the model again"
            ),
        ));
    }
    Ok(bytes)
}

/// Whether a folder is whole: what the manifest says holds for the model's file and for the schema's. Gives the file's bytes. Whether
/// a model can be read from them is not looked at, since a model may be many times its file.
pub(super) fn whole(folder: &Path) -> Result<(Manifest, Vec<u8>), ExitError> {
    let manifest = manifest(folder)?;
    let bytes = bytes(folder, &manifest)?;
    let (found, expected) = (bytes.len() as u64, manifest.file_bytes);
    if found != expected {
        let problem = format!("has {found} bytes, its manifest says {expected}; train the model again");
        return Err(refuse(&folder.join(&manifest.file), problem));
    }
    // Which index LIBSVM rows were learned with is known to who asks.
    if manifest.origin.is_some() || manifest.rows != RowKind::LibSvm {
        read_options(folder, &manifest, None)?;
    }
    Ok((manifest, bytes))
}

/// Whether a folder is whole, and a model can be read from it. Gives the file's bytes.
pub(super) fn verified(folder: &Path) -> Result<(Manifest, Vec<u8>), ExitError> {
    let (manifest, bytes) = whole(folder)?;
    let Ok(hash) = u64::from_str_radix(&manifest.schema_hash, 16) else {
        return Err(refuse(&folder.join(MANIFEST), "its schema_hash is no hash; train the model again"));
    };
    if let Some(origin) = &manifest.origin {
        let (options, ..) = read_options(folder, &manifest, None)?;
        outside(folder, &manifest, &options, &bytes, origin)?;
        return Ok((manifest, bytes));
    }
    verify(&bytes, hash).map_err(|error| refuse(&folder.join(&manifest.file), error))?;
    Ok((manifest, bytes))
}

/// The files of a model's folder, by their names in it: the manifest last.
pub(super) fn files(manifest: &Manifest) -> Vec<String> {
    let schema = (manifest.rows == RowKind::Table).then(|| schema_file(&manifest.schema_hash));
    let names = [manifest.file.clone(), REPORT.to_owned()].into_iter().chain(schema);
    names.chain([MANIFEST.to_owned()]).collect()
}

/// Opens a model's folder: its manifest, how it reads rows, and the model.
pub(super) fn open(
    folder: &Path,
    index: Option<FeatureIndex>,
) -> Result<(Manifest, ReadOptions, Model), ExitError> {
    let Contents { manifest, options, bytes, meaning, .. } = contents(folder, index)?;
    if let Some(origin) = &manifest.origin {
        let model = outside(folder, &manifest, &options, &bytes, origin)?;
        return Ok((manifest, options, Model::Outside(Box::new(model))));
    }
    let model = if is_frozen(&bytes) {
        Frozen::load(&bytes, meaning).map(|model| Model::Frozen(Box::new(model)))
    } else {
        load(&bytes, meaning).map(Model::Learned)
    };
    let model = model.map_err(|error| refuse(&folder.join(&manifest.file), error))?;
    Ok((manifest, options, model))
}

fn outside(
    folder: &Path,
    manifest: &Manifest,
    options: &ReadOptions,
    bytes: &[u8],
    origin: &Origin,
) -> Result<Outside, ExitError> {
    Outside::load(bytes, manifest.rows, options, origin)
        .map_err(|problem| refuse(&folder.join(&manifest.file), problem))
}

/// A model of the registry as a node asks it.
pub(super) fn guest(id: &str, manifest: &Manifest, bytes: &[u8]) -> Result<Guest, String> {
    let Some(origin) = &manifest.origin else {
        return Guest::load(id, bytes).map_err(|error| error.to_string());
    };
    if manifest.rows != RowKind::Journal {
        return Err("it takes other rows than a node's own".to_owned());
    }
    let model = Outside::load(bytes, manifest.rows, &ReadOptions::default(), origin)?;
    Ok(Guest::outside(id, Box::new(model)))
}

/// The model of a folder, as bids ask it. What it is called says what it is, to the bit.
///
/// # Errors
///
/// There is none, it is damaged, or bids cannot ask it.
pub(crate) fn asked_by_bids(folder: &Path) -> Result<Guest, ExitError> {
    let (manifest, bytes) = verified(folder)?;
    let id = format!("{} {}", folder.display(), checksum(&bytes));
    let found = guest(&id, &manifest, &bytes).map_err(|problem| refuse(folder, problem))?;
    if !found.may_serve() {
        return Err(refuse(folder, "is of another make, so bids cannot go by it"));
    }
    Ok(found)
}

/// How rows are written that a model is asked about: as is said, if rows written so mean what the model's do, else as its own.
pub(super) fn format_of(
    manifest: &Manifest,
    given: Option<Format>,
    own: Option<Format>,
) -> Result<Option<Format>, ExitError> {
    let journal = manifest.rows == RowKind::Journal;
    if given.is_some_and(|format| (format == Format::Haggle) != journal) {
        let problem = if journal {
            "the model was trained on a node's journal, so it is asked about one; leave --format out"
        } else {
            "the model was not trained on a node's journal, so one means nothing to it"
        };
        return Err(ExitError::new(Exit::Usage, problem));
    }
    Ok(given.or(own))
}

/// What a model's folder holds: the manifest, how the model reads rows, its bytes, what its fields and indices mean, and the
/// schema's text.
pub(super) struct Contents {
    pub(super) manifest: Manifest,
    pub(super) options: ReadOptions,
    pub(super) bytes: Vec<u8>,
    pub(super) meaning: u64,
    pub(super) schema: Option<String>,
}

/// Reads a model's folder, as far as it can be read without the model itself.
pub(super) fn contents(folder: &Path, index: Option<FeatureIndex>) -> Result<Contents, ExitError> {
    let manifest = manifest(folder)?;
    let bytes = bytes(folder, &manifest)?;
    let (options, meaning, schema) = read_options(folder, &manifest, index)?;
    Ok(Contents { manifest, options, bytes, meaning, schema })
}

/// How a model reads rows, and what they mean then, which is what they meant when it was trained; and the schema's text.
fn read_options(
    folder: &Path,
    manifest: &Manifest,
    index: Option<FeatureIndex>,
) -> Result<(ReadOptions, u64, Option<String>), ExitError> {
    let mut text = None;
    let mut options = ReadOptions { bits: manifest.bits, index, ..ReadOptions::default() };
    match manifest.rows {
        RowKind::Table => {
            let path = folder.join(schema_file(&manifest.schema_hash));
            let own = String::from_utf8(read(&path)?).map_err(|_| refuse(&path, "is not UTF-8"))?;
            let schema = Schema::read(&path.display().to_string(), &own);
            text = Some(own);
            options.schema = Some(schema.map_err(|errors| ExitError::new(Exit::InputUnusable, errors))?);
        }
        RowKind::LibSvm => {}
        RowKind::Journal => options.format = Some(Format::Haggle),
        RowKind::Vw => options.namespaces.clone_from(&manifest.fields),
    }
    let meaning = meaning(manifest.rows, &options);
    if format!("{meaning:016x}") != manifest.schema_hash {
        let what = match manifest.rows {
            RowKind::Table => {
                "its schema was changed since the model was trained; restore it, or train again"
            }
            RowKind::LibSvm => {
                "the model was trained with another feature index; name that one with --feature-index"
            }
            RowKind::Journal => "the features that nodes score bids with were others then; train again",
            RowKind::Vw => "its fields were changed since the model was trained; train again",
        };
        return Err(refuse(folder, what));
    }
    Ok((options, meaning, text))
}

impl Manifest {
    /// The layout that this program writes.
    pub(super) const FORMAT: u32 = FORMAT;
    /// What it calls a model of another make.
    pub(super) const OUTSIDE: &str = "onnx";

    /// Whether nodes can let it serve, and not only watch it.
    pub(crate) fn may_serve(&self) -> bool {
        self.origin.is_none()
    }
}
