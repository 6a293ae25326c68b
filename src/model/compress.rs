//! `haggle model compress`: smaller forms of a deep model, what they cost and what they lose.

mod report;
mod smaller;

use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering;

use haggle_learning::frozen::{AdPart, Frozen, RequestPart, Side};
use haggle_learning::offline::metrics::{Losses, auc};
use haggle_learning::offline::{Deep, Learner, load_deep};
use haggle_learning::{Batch, archive_sides};

use self::report::{CompressReport, Form};
pub use self::smaller::Method;
use self::smaller::{ALL, Maker};
use super::args::CompressArgs;
use super::folder::{self, Contents, Manifest, RowKind, Saved};
use super::input::{Progress, each_batch, feature_index};
use super::report::left_out;
use super::{THREADS, page, say};
use crate::clock::monotonic;
use crate::exit::{Exit, ExitError};

/// Candidates that are scored at once where their cost is measured, and how often.
const CANDIDATES: usize = 256;
const ROUNDS: u32 = 400;

/// A model in one form, and what is found of it.
struct Judged {
    name: String,
    model: Model,
    file: Vec<u8>,
    losses: Losses,
    predicted: Vec<f32>,
    /// The same of orders, where the model learned them.
    orders: Losses,
    foretold: Vec<f32>,
    seconds: f64,
    candidate_ns: Option<f64>,
}

/// The model as it learned, or one that serves.
enum Model {
    Learned(Deep),
    Frozen(Frozen),
}

impl Judged {
    fn new(name: &str, model: Model, meaning: u64) -> Self {
        let mut file = Vec::new();
        match &model {
            Model::Learned(model) => model.save(meaning, &mut file),
            Model::Frozen(model) => model.save(meaning, &mut file),
        }
        Self {
            name: name.to_owned(),
            model,
            file,
            losses: Losses::default(),
            predicted: Vec::new(),
            orders: Losses::default(),
            foretold: Vec::new(),
            seconds: 0.0,
            candidate_ns: None,
        }
    }

    fn judge(&mut self, batch: &Batch, out: &mut Vec<f32>) {
        let begun = monotonic();
        match &self.model {
            Model::Learned(model) => model.predict(batch, out),
            Model::Frozen(model) => model.predict(batch, out),
        }
        self.seconds += begun.elapsed().as_secs_f64();
        self.losses.add(&Losses::of(out, batch.labels()));
        self.predicted.extend_from_slice(out);
        match &self.model {
            Model::Learned(model) => model.predict_conversions(batch.conversions(), out),
            Model::Frozen(model) => model.predict_conversions(batch.conversions(), out),
        }
        self.orders.add(&Losses::of(out, batch.conversions().labels()));
        self.foretold.extend_from_slice(out);
    }

    /// What a candidate costs: the least of some rounds over ads of these rows, for the request of the first.
    fn measure(&mut self, batch: &Batch) {
        let Model::Frozen(model) = &self.model else { return };
        if !model.sides().contains(&Side::Ad) {
            return;
        }
        let mut request = RequestPart::default();
        model.request_part(batch.slots(0), &mut request);
        let rows = batch.len().max(1);
        let ads: Vec<AdPart> = (0..CANDIDATES).map(|at| model.ad_part(batch.slots(at % rows))).collect();
        let mut scores = Vec::new();
        let mut least = f64::INFINITY;
        for _ in 0..ROUNDS {
            let begun = monotonic();
            model.score_all(&request, &ads, &mut scores);
            least = least.min(begun.elapsed().as_secs_f64());
        }
        self.candidate_ns = Some(least * 1e9 / CANDIDATES as f64);
    }

    /// `labels` are those of impressions, `orders` those of clicks.
    fn form(&self, labels: &[f32], orders: &[f32]) -> Form {
        let (parameters, bytes, ad_bytes) = match &self.model {
            Model::Learned(model) => (model.parameters(), model.bytes(), None),
            Model::Frozen(model) => {
                let ad = model.sides().contains(&Side::Ad).then(|| model.ad_part(&[]).bytes() as u64);
                (model.parameters(), model.bytes(), ad)
            }
        };
        Form {
            method: self.name.clone(),
            file_bytes: self.file.len() as u64,
            bytes: bytes as u64,
            ad_bytes,
            parameters: parameters as u64,
            row_ns: self.seconds * 1e9 / self.losses.rows.max(1) as f64,
            candidate_ns: self.candidate_ns,
            auc: auc(&self.predicted, labels),
            auc_change: None,
            log_loss: self.losses.mean_log_loss(),
            log_loss_change: 0.0,
            calibration: self.losses.calibration(),
            conversion_log_loss: (self.orders.rows > 0).then(|| self.orders.mean_log_loss()),
            conversion_auc: auc(&self.foretold, orders),
        }
    }
}

/// The sides of a model's fields: the ad's are named.
fn sides(names: &[String], manifest: &Manifest, fields: usize) -> Result<Vec<Side>, ExitError> {
    if names.is_empty() && manifest.rows == RowKind::Journal {
        return Ok(archive_sides().to_vec());
    }
    let mut sides = vec![Side::Request; fields];
    for name in names {
        let known = manifest.fields.iter().position(|field| field == name).or_else(|| name.parse().ok());
        let Some(side) = known.and_then(|at| sides.get_mut(at)) else {
            let known = if manifest.fields.is_empty() {
                format!("its fields are numbers below {fields}")
            } else {
                format!("its fields are {}", manifest.fields.join(", "))
            };
            return Err(ExitError::new(Exit::Usage, format!("the model has no field {name}; {known}")));
        };
        *side = Side::Ad;
    }
    Ok(sides)
}

/// Compresses, judges, and writes what was asked for.
pub(super) fn compress(args: &CompressArgs, progress: &Progress) -> Result<CompressReport, ExitError> {
    let Contents { manifest, mut options, bytes, meaning, schema } =
        folder::contents(&args.model, feature_index(args.rows.feature_index.as_deref())?)?;
    options.format = folder::format_of(&manifest, args.rows.format, options.format)?;
    options.bad_rows = args.rows.bad_rows;
    options.clicks.clone_from(&args.clicks);
    let deep = load_deep(&bytes, meaning)
        .map_err(|error| ExitError::new(Exit::InputUnusable, format!("{}: {error}", args.model.display())))?;
    drop(bytes);
    let sides = sides(&args.ad_fields, &manifest, usize::from(deep.settings().fields))?;
    let methods: Vec<Vec<Method>> = if args.method.is_empty() {
        ALL.iter().filter(|it| args.train.is_some() || !smaller::trains(it)).map(|it| it.to_vec()).collect()
    } else {
        vec![args.method.clone()]
    };
    if args.train.is_none() && methods.iter().any(|method| smaller::trains(method)) {
        let problem = "distil trains a smaller model; name the rows to train it on with --train".to_owned();
        return Err(ExitError::new(Exit::Usage, problem));
    }
    let length = |path: &Path| fs::metadata(path).map_or(0, |it| it.len());
    let students = u64::from(methods.iter().any(|method| smaller::trains(method)));
    let training = args.train.as_deref().map_or(0, length) * u64::from(manifest.metrics.passes) * students;
    progress.length.store(training + length(&args.data), Ordering::Relaxed);

    let mut maker = Maker::new(args, &options, &manifest, &sides, progress)?;
    let mut models = vec![Judged::new("full", Model::Frozen(Frozen::new(&deep, &sides)), meaning)];
    for method in &methods {
        progress.check()?;
        let model = maker.make(&deep, method)?;
        models.push(Judged::new(&smaller::name(method), Model::Frozen(model), meaning));
    }
    models.insert(0, Judged::new("learned", Model::Learned(deep), meaning));

    let (mut labels, mut orders, mut out) = (Vec::new(), Vec::new(), Vec::new());
    let mut sample = Batch::default();
    let read = each_batch(&args.data, &options, THREADS, progress, |batch| {
        if sample.is_empty() {
            sample.clone_from(batch);
        }
        labels.extend_from_slice(batch.labels());
        orders.extend_from_slice(batch.conversions().labels());
        models.iter_mut().for_each(|model| model.judge(batch, &mut out));
        Ok(())
    })?;
    say(&left_out(&read));
    if read.rows == 0 {
        let problem = format!("{}: no rows to judge by", args.data.display());
        return Err(ExitError::new(Exit::InputUnusable, problem));
    }
    models.iter_mut().for_each(|model| model.measure(&sample));
    let forms = models.iter().map(|model| model.form(&labels, &orders)).collect();
    let report = CompressReport::new(args, &read, forms);
    if let (Some(folder), Some(model)) = (&args.out, models.last()) {
        progress.check()?;
        write(folder, manifest, model, &report, schema.as_deref())?;
    }
    Ok(report)
}

/// Writes a smaller model as a folder of its own.
fn write(
    folder: &Path,
    manifest: Manifest,
    model: &Judged,
    report: &CompressReport,
    schema: Option<&str>,
) -> Result<(), ExitError> {
    let checksum = folder::checksum(&model.file);
    let mut metrics = manifest.metrics.clone();
    metrics.model = format!("{}-{}", manifest.model, model.name.replace(',', "-"));
    if let Some(form) = report.forms.last() {
        (metrics.parameters, metrics.bytes) = (form.parameters, form.bytes);
        metrics.test = Some(report.data.clone());
        (metrics.test_rows, metrics.test_clicks) = (Some(report.rows), Some(report.clicks));
        metrics.test_bad_rows = Some(report.bad_rows);
        (metrics.test_log_loss, metrics.test_auc) = (Some(form.log_loss), form.auc);
        metrics.test_calibration = form.calibration;
        metrics.test_conversion_log_loss = form.conversion_log_loss;
        metrics.test_conversion_auc = form.conversion_auc;
        metrics.test_curve.clear();
    }
    let page = page::page(&metrics);
    let manifest = Manifest {
        model: metrics.model.clone(),
        file: format!("model-{checksum}.bin"),
        file_bytes: model.file.len() as u64,
        checksum,
        metrics,
        ..manifest
    };
    folder::write(folder, &Saved { manifest, model: &model.file, schema, report: &page })
}
