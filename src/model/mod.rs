//! `haggle model`: trains models on archives of rows, judges them, and asks them.

mod ablate;
mod archive;
mod args;
mod asked;
mod compare;
mod compress;
mod folder;
mod further;
mod input;
mod output;
mod outside;
mod page;
pub mod registry;
mod report;
mod train;

use std::fs;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use haggle_learning::data::{Format, ReadOptions, ReadReport, Schema};
use haggle_learning::offline::{HoldOut, Learner, Negatives, Passes, Sample};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

pub use self::args::{
    AblateArgs, CompareArgs, CompressArgs, EncodeArgs, EvaluateArgs, Freeze, IdArgs, ImportArgs, ListArgs,
    ModelCommand, ModelKind, PredictArgs, PromoteArgs, RegisterArgs, RegistryArgs, RollbackArgs, RowArgs,
    ShadowArgs, TrainArgs,
};
pub use self::folder::Manifest;
pub(crate) use self::folder::asked_by_bids;

pub(crate) use self::archive::{Archive, open_journal};
pub(crate) use self::asked::Asked;
pub(crate) use self::input::Progress;

use self::folder::{RowKind, Saved, meaning};
use self::input::{each_batch, feature_index, fields};
use self::output::Output;
use self::report::{EvaluateReport, TrainReport, left_out, rate_log_loss};
use self::train::{Pass, judge, judge_held, kind_of, pass, settings};
use crate::cli::{print, signals};
use crate::clock::monotonic;
use crate::exit::{Exit, ExitError};

/// How often the bar moves.
const BAR_EVERY: Duration = Duration::from_millis(100);
/// Threads that judge: one reads, one predicts.
const THREADS: u32 = 2;

/// Runs the command.
///
/// # Errors
///
/// Files that cannot be read, understood or written, settings out of range, a model that does not fit; or a signal.
pub fn run(command: ModelCommand) -> Result<(), ExitError> {
    match command {
        ModelCommand::Train(args) => {
            let json = args.json;
            let report = watched(json, move |progress| train(&args, progress))?;
            print(if json { to_json(&report)? } else { report.text() })
        }
        ModelCommand::Evaluate(args) => {
            let json = args.json;
            let report = watched(json, move |progress| evaluate(&args, progress))?;
            print(if json { to_json(&report)? } else { report.text() })
        }
        ModelCommand::Compress(args) => {
            let json = args.json;
            let report = watched(json, move |progress| compress::compress(&args, progress))?;
            print(if json { to_json(&report)? } else { report.text() })
        }
        ModelCommand::Predict(args) => watched(false, move |progress| predict(&args, progress)),
        ModelCommand::Import(args) => print(outside::import(&args)?),
        ModelCommand::Encode(args) => watched(false, move |progress| outside::encode(&args, progress)),
        ModelCommand::Compare(args) => compare::run(args),
        ModelCommand::Ablate(args) => {
            let json = args.json;
            let report = watched(json, move |progress| ablate::ablate(&args, progress))?;
            print(if json { to_json(&report)? } else { report.text() })
        }
        ModelCommand::Register(args) => registry::register(&args),
        ModelCommand::List(args) => registry::list(&args),
        ModelCommand::Remove(args) => registry::remove(&args),
        ModelCommand::Promote(args) => registry::promote(&args),
        ModelCommand::Rollback(args) => registry::rollback(&args),
        ModelCommand::Shadow(args) => registry::shadow(&args),
    }
}

pub(crate) fn to_json(report: &impl serde::Serialize) -> Result<String, ExitError> {
    serde_json::to_string(report)
        .map_err(|error| ExitError::new(Exit::Internal, format!("cannot write the report: {error}")))
}

/// A schema's text, and what it says.
fn read_schema(path: &Path) -> Result<(String, Schema), ExitError> {
    let shown = path.display().to_string();
    let text = fs::read_to_string(path)
        .map_err(|error| ExitError::new(Exit::IoFailed, format!("{shown} cannot be read: {error}")))?;
    let schema = Schema::read(&shown, &text).map_err(|errors| ExitError::new(Exit::Configuration, errors))?;
    Ok((text, schema))
}

/// How rows are read, what decides what they mean, and the schema's text.
fn options(
    data: &Path,
    schema: Option<&Path>,
    rows: &RowArgs,
    clicks: Option<&Path>,
    bits: Option<u8>,
) -> Result<(ReadOptions, RowKind, Option<String>), ExitError> {
    let format = rows.format.or_else(|| Format::of(data));
    let (mut text, mut schema) = match schema {
        Some(path) => read_schema(path).map(|(text, schema)| (Some(text), Some(schema)))?,
        None => (None, None),
    };
    let kind = match format {
        Some(Format::LibSvm) => RowKind::LibSvm,
        Some(Format::Vw) => RowKind::Vw,
        Some(Format::Haggle) => RowKind::Journal,
        _ => RowKind::Table,
    };
    if format == Some(Format::Ipinyou) && schema.is_none() {
        text = Some(Schema::IPINYOU.to_owned());
        let own = Schema::read("ipinyou.toml", Schema::IPINYOU);
        schema = Some(own.map_err(|errors| ExitError::new(Exit::Internal, errors))?);
    }
    let own = ReadOptions::default();
    let options = ReadOptions {
        format: rows.format,
        schema,
        index: feature_index(rows.feature_index.as_deref())?,
        clicks: clicks.map(Path::to_owned),
        bits: bits.map_or(own.bits, u32::from),
        bad_rows: rows.bad_rows,
        ..own
    };
    Ok((options, kind, text))
}

fn train(args: &TrainArgs, progress: &Progress) -> Result<TrainReport, ExitError> {
    let parent = further::parent(args)?;
    let mut read =
        options(&args.data, args.schema.as_deref(), &args.rows, args.clicks.as_deref(), args.bits)?;
    let further = args.from.as_deref().zip(parent.as_ref());
    if let Some((folder, parent)) = further {
        further::adopt(folder, parent, args, &mut read)?;
    }
    let (mut options, kind, schema) = read;
    let (mut names, count) = fields(&args.data, &options)?;
    if let Some(parent) = &parent {
        names.clone_from(&parent.manifest.fields);
    }
    if kind == RowKind::Vw {
        options.namespaces.clone_from(&names);
    }
    let meaning = meaning(kind, &options);
    let mut model = match further {
        Some((folder, parent)) => {
            further::check_rows(folder, parent, meaning, args)?;
            further::learner(folder, parent, args, if kind == RowKind::Vw { names.len() } else { count })?
        }
        None => {
            let bits = options.schema.as_ref().map_or(options.bits, Schema::bits);
            let settings = settings(args, count, bits)?;
            settings.build().map_err(|error| ExitError::new(Exit::Usage, error))?
        }
    };
    let test_options = ReadOptions { clicks: args.test_clicks.clone(), ..options.clone() };
    if let Some(test) = &args.test {
        // What is wrong with it is better said before an hour of training than after.
        input::check(test, &test_options)?;
    }
    let part = |per_mille: u16| f64::from(per_mille) / 1000.0;
    let usage = |error| ExitError::new(Exit::Usage, error);
    let hold_out = args.hold_out.map(|it| HoldOut::new(part(it), args.seed)).transpose().map_err(usage)?;
    let negatives =
        args.negatives.map(|it| Negatives::new(part(it), args.seed)).transpose().map_err(usage)?;
    let mut sample = Sample::new(hold_out, negatives);
    let mut best = Passes::new(meaning, args.patience.unwrap_or(1));
    let length = |path: &Path| fs::metadata(path).map_or(0, |it| it.len());
    let readings = 1 + u64::from(hold_out.is_some());
    let a_pass = length(&args.data) * readings + args.test.as_deref().map_or(0, length);
    progress.length.store(a_pass * u64::from(args.passes), Ordering::Relaxed);

    let mut report = TrainReport {
        model: kind_of(&model.settings()).name().to_owned(),
        from: args.from.as_ref().map(|path| path.display().to_string()),
        frozen_vectors: args.freeze == Some(Freeze::Vectors),
        data: args.data.display().to_string(),
        test: args.test.as_ref().map(|path| path.display().to_string()),
        threads: args.threads.min(THREADS),
        held_out: args.hold_out.map(part),
        negatives: args.negatives.map(part),
        ..TrainReport::default()
    };
    let (mut rows, mut gone, mut seconds, mut judged_orders) = (0, 0, 0.0, None);
    for number in 1..=args.passes {
        let options = ReadOptions { collisions: args.collisions && number == 1, ..options.clone() };
        if number > 1 || parent.is_some() {
            // Learned from such rows, it would say of them that clicks are more frequent.
            negatives.iter().for_each(|negatives| model.shift(-negatives.shift()));
        }
        let begun = monotonic();
        let Pass { read, learned, curve } =
            pass(&mut *model, &mut sample, &args.data, &options, args.threads, gone, progress)?;
        seconds += begun.elapsed().as_secs_f64();
        rows += read.rows;
        gone += learned.losses.rows;
        if number == 1 {
            say(&left_out(&read));
            report.collisions = read.collisions.map(Into::into);
            say(&passed_over(&*model, &read));
            if learned.rows == 0 {
                let problem = format!("{}: no rows to learn from", args.data.display());
                return Err(ExitError::new(Exit::InputUnusable, problem));
            }
        }
        report.passes = number;
        (report.rows, report.clicks, report.learned_rows) = (read.rows, read.clicks, Some(learned.rows));
        (report.bad_rows, report.repeated_rows) = (read.bad.count, read.repeated);
        if model.learns_conversions() {
            (report.conversion_rows, report.conversions) = (read.conversion_rows, read.conversions);
        }
        report.curve.extend(curve);
        // From here on the model speaks of all rows, as it does when it is kept.
        negatives.iter().for_each(|negatives| model.shift(negatives.shift()));
        let mut worthwhile = true;
        if let Some(hold_out) = &hold_out {
            let options = ReadOptions { collisions: false, ..options };
            let held = judge_held(&*model, hold_out, &args.data, &options, args.threads, progress)?;
            if held.rows == 0 {
                let problem = format!("{}: no row is held out; hold out a larger share", args.data.display());
                return Err(ExitError::new(Exit::InputUnusable, problem));
            }
            worthwhile = best.judge(&*model, &held);
            report.held_out_curve.push(report::Point { rows: gone, log_loss: held.mean_log_loss() });
            (report.held_out_rows, report.held_out_clicks) = (Some(held.rows), Some(held.positives));
            report.held_out_log_loss = Some(best.best_loss());
        }
        let kept = hold_out.is_none() || best.is_best();
        if kept {
            report.kept_pass = Some(number);
            report.train_log_loss = learned.losses.mean_log_loss();
        }
        if let Some(test) = &args.test {
            let worth = judge(
                |batch, out| {
                    model.predict(batch, out);
                    Ok(())
                },
                |clicks, out| model.predict_conversions(clicks, out),
                test,
                &test_options,
                args.threads,
                progress,
            )?;
            if number == 1 {
                say(&left_out(&worth.read));
            }
            report.test_curve.push(report::Point { rows: gone, log_loss: worth.losses.mean_log_loss() });
            if kept {
                report.note_test(&worth.losses, worth.auc, worth.read.bad.count);
                report.note_test_orders(&worth.orders, worth.order_auc);
                judged_orders = Some(worth.orders).filter(|orders| orders.rows > 0);
            }
        }
        if !worthwhile {
            report.stopped_early = number < args.passes;
            break;
        }
    }
    let held_out = report.held_out_rows.zip(report.held_out_clicks);
    let judged_on =
        report.test_rows.zip(report.test_clicks).or(held_out).unwrap_or((report.rows, report.clicks));
    report.baseline_log_loss = baseline(&report, judged_on);
    let judged_on = judged_orders.map(|orders| (orders.rows, orders.positives));
    report.baseline_conversion_log_loss =
        order_baseline(&report, judged_on.unwrap_or((report.conversion_rows, report.conversions)));
    (report.seconds, report.rows_per_second) = (seconds, rows as f64 / seconds.max(1e-9));
    (report.parameters, report.bytes) = (model.parameters() as u64, model.bytes() as u64);

    let mut bytes = best.into_saved();
    if bytes.is_empty() {
        model.save(meaning, &mut bytes);
    }
    let checksum = folder::checksum(&bytes);
    let manifest = Manifest {
        format: Manifest::FORMAT,
        model: report.model.clone(),
        file: format!("model-{checksum}.bin"),
        file_bytes: bytes.len() as u64,
        checksum,
        schema_hash: format!("{meaning:016x}"),
        rows: kind,
        fields: names,
        bits: options.bits,
        parent: parent.map(|it| it.manifest.checksum),
        metrics: report.clone(),
        origin: None,
    };
    let page = page::page(&report);
    folder::write(&args.out, &Saved { manifest, model: &bytes, schema: schema.as_deref(), report: &page })?;
    Ok(report)
}

/// What predicting the training data's click rate would have cost on so many rows with so many clicks; where nothing is known of
/// that, their own click rate.
fn baseline(report: &TrainReport, (rows, clicks): (u64, u64)) -> f64 {
    let (of, known) = if report.rows > 0 { (report.rows, report.clicks) } else { (rows, clicks) };
    rate_log_loss(known as f64 / of.max(1) as f64, rows, clicks)
}

/// The same of orders; none where there are no clicks to learn them from.
fn order_baseline(report: &TrainReport, (rows, orders): (u64, u64)) -> Option<f64> {
    let rate = report.conversions as f64 / report.conversion_rows as f64;
    (report.conversion_rows > 0).then(|| rate_log_loss(rate, rows, orders))
}

/// What to say of rows of orders that a model does not learn.
fn passed_over(model: &dyn Learner, read: &ReadReport) -> String {
    if model.learns_conversions() || read.conversion_rows == 0 {
        return String::new();
    }
    format!("passed {} clicks' orders over; only deep models learn them", read.conversion_rows)
}

fn evaluate(args: &EvaluateArgs, progress: &Progress) -> Result<EvaluateReport, ExitError> {
    let index = feature_index(args.rows.feature_index.as_deref())?;
    let (manifest, mut options, model) = folder::open(&args.model, index)?;
    options.format = folder::format_of(&manifest, args.rows.format, options.format)?;
    options.bad_rows = args.rows.bad_rows;
    options.clicks.clone_from(&args.clicks);
    progress.length.store(fs::metadata(&args.data).map_or(0, |it| it.len()), Ordering::Relaxed);
    let begun = monotonic();
    let worth = judge(
        |batch, out| model.predict(batch, out),
        |clicks, out| model.predict_conversions(clicks, out),
        &args.data,
        &options,
        THREADS,
        progress,
    )?;
    let seconds = begun.elapsed().as_secs_f64();
    say(&left_out(&worth.read));
    let orders = &worth.orders;
    Ok(EvaluateReport {
        model: manifest.model,
        data: args.data.display().to_string(),
        rows: worth.losses.rows,
        clicks: worth.losses.positives,
        bad_rows: worth.read.bad.count,
        repeated_rows: worth.read.repeated,
        seconds,
        rows_per_second: worth.losses.rows as f64 / seconds.max(1e-9),
        log_loss: worth.losses.mean_log_loss(),
        auc: worth.auc,
        calibration: worth.losses.calibration(),
        own_rate: manifest.metrics.rows == 0,
        baseline_log_loss: baseline(&manifest.metrics, (worth.losses.rows, worth.losses.positives)),
        conversion_rows: orders.rows,
        conversions: orders.positives,
        conversion_log_loss: (orders.rows > 0).then(|| orders.mean_log_loss()),
        conversion_auc: worth.order_auc,
        baseline_conversion_log_loss: order_baseline(&manifest.metrics, (orders.rows, orders.positives))
            .filter(|_| orders.rows > 0),
    })
}

fn predict(args: &PredictArgs, progress: &Progress) -> Result<(), ExitError> {
    let (manifest, mut options, model) =
        folder::open(&args.model, feature_index(args.feature_index.as_deref())?)?;
    options.format = folder::format_of(&manifest, args.format, options.format)?;
    // Each row has its line in the output.
    (options.bad_rows, options.labels, options.repeats) = (0, false, true);
    progress.length.store(fs::metadata(&args.data).map_or(0, |it| it.len()), Ordering::Relaxed);
    let shown = args.out.as_ref().map_or("standard output".to_owned(), |path| path.display().to_string());
    let failed =
        |error: std::io::Error| ExitError::new(Exit::IoFailed, format!("{shown} cannot be written: {error}"));
    let mut out = args.out.as_deref().map_or_else(|| Ok(Output::standard()), Output::create)?;
    let mut predicted = Vec::new();
    let mut gone = false;
    let result = each_batch(&args.data, &options, THREADS, progress, |batch| {
        model.predict(batch, &mut predicted)?;
        let written = predicted.iter().try_for_each(|probability| writeln!(out, "{probability}"));
        match written {
            // A reader that has gone (`| head`) has all it wants.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {
                gone = true;
                Err(failed(error))
            }
            result => result.map_err(failed),
        }
    });
    if gone {
        return Ok(());
    }
    result?;
    match out.finish() {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(failed(error)),
        _ => Ok(()),
    }
}

/// Tells something beside the result, on standard error.
pub(crate) fn say(text: &str) {
    if !text.is_empty() {
        // On a terminal the bar may be in the way.
        let start = if std::io::stderr().is_terminal() { "\r\x1b[K" } else { "" };
        // Nowhere is left to report that standard error cannot be written.
        let _ = writeln!(std::io::stderr().lock(), "{start}{text}");
    }
}

/// Runs work with a bar, until its end; a signal asks it to end early.
pub(crate) fn watched<T: Send + 'static>(
    quiet: bool,
    work: impl FnOnce(&Progress) -> Result<T, ExitError> + Send + 'static,
) -> Result<T, ExitError> {
    let bar = bar(quiet);
    let progress = Arc::new(Progress::default());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| ExitError::new(Exit::Internal, format!("cannot start: {error}")))?;
    let result = runtime.block_on(async {
        let mut stop = std::pin::pin!(signals()?);
        let shared = Arc::clone(&progress);
        let mut run = tokio::task::spawn_blocking(move || work(&shared));
        let begun = monotonic();
        let mut stopping = false;
        loop {
            tokio::select! {
                ended = &mut run => {
                    return ended
                        .map_err(|error| ExitError::new(Exit::Internal, format!("the work ended early: {error}")))?;
                }
                () = &mut stop, if !stopping => {
                    stopping = true;
                    progress.stop.store(true, Ordering::Relaxed);
                }
                () = tokio::time::sleep(BAR_EVERY) => {
                    bar.set_length(progress.length.load(Ordering::Relaxed));
                    bar.set_position(progress.read.load(Ordering::Relaxed));
                    let rows = progress.rows.load(Ordering::Relaxed) as f64;
                    bar.set_message(format!("{:.0}", rows / begun.elapsed().as_secs_f64()));
                }
            }
        }
    });
    bar.finish_and_clear();
    result
}

/// A progress bar on a terminal's standard error; elsewhere nothing.
fn bar(quiet: bool) -> ProgressBar {
    if quiet || !std::io::stderr().is_terminal() {
        return ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
    }
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
    // A template that cannot be read leaves the bar's own look.
    match ProgressStyle::with_template("{bar:40} {percent} %  {msg} rows/s  {eta} left") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
