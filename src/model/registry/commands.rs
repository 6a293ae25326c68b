//! The commands on a registry, for a person and as JSON.

use std::fmt::Write;

use haggle_domain::{Clock, Timestamp};
use serde_json::{Value, json};

use super::{Registry, State};
use crate::cli::print;
use crate::clock::WallClock;
use crate::exit::{Exit, ExitError};
use crate::model::args::{
    IdArgs, ListArgs, PromoteArgs, RegisterArgs, RegistryArgs, RollbackArgs, ShadowArgs,
};
use crate::model::folder::{self, Manifest};
use crate::model::{compare, say, to_json};

/// Changes that `list` shows a person.
const SHOWN: usize = 5;

fn open(args: &RegistryArgs) -> Result<Registry, ExitError> {
    Registry::open(args.folder())
}

fn now() -> Timestamp {
    WallClock::new().now()
}

/// Copies a model in and prints its id.
pub(in crate::model) fn register(args: &RegisterArgs) -> Result<(), ExitError> {
    // What a folder is called is only known of its real path: `.` has no name.
    let real = args.folder.canonicalize().unwrap_or_else(|_| args.folder.clone());
    let own = real.file_name().unwrap_or_default().to_string_lossy();
    let name = args.name.as_deref().unwrap_or(&own);
    print(open(&args.registry)?.add(now(), &args.folder, name, args.parent.as_deref())?)
}

/// Removes a model.
pub(in crate::model) fn remove(args: &IdArgs) -> Result<(), ExitError> {
    open(&args.registry)?.remove(now(), &args.id)?;
    print(format!("removed {}", args.id))
}

/// Prints models, their roles and the last changes.
pub(in crate::model) fn list(args: &ListArgs) -> Result<(), ExitError> {
    let registry = open(&args.registry)?;
    let (state, models) = (registry.state()?, registry.models()?);
    let models: Vec<Value> = models
        .into_iter()
        .map(|entry| match entry.known {
            Ok((manifest, registered)) => json!({
                "id": entry.id,
                "role": state.use_of(&entry.id),
                "model": manifest.model,
                "bytes": manifest.file_bytes,
                "schema_hash": manifest.schema_hash,
                "test_log_loss": manifest.metrics.test_log_loss,
                "test_auc": manifest.metrics.test_auc,
                "parent": registered.parent,
                "registered": registered.at.to_string(),
            }),
            Err(error) => {
                json!({ "id": entry.id, "role": state.use_of(&entry.id), "problem": error.message })
            }
        })
        .collect();
    if args.json {
        return print(to_json(&json!({ "models": models, "state": state }))?);
    }
    print(table(&models, &state))
}

fn table(models: &[Value], state: &State) -> String {
    if models.is_empty() {
        return "no models; `haggle model register FOLDER` adds one".to_owned();
    }
    let text = |model: &Value, key: &str| model[key].as_str().unwrap_or("-").to_owned();
    let number =
        |model: &Value, key: &str| model[key].as_f64().map_or("-".to_owned(), |it| format!("{it:.6}"));
    let mut rows =
        vec![["id", "role", "model", "bytes", "log loss", "AUC", "parent", "registered"].map(str::to_owned)];
    rows.extend(models.iter().map(|model| {
        let day = text(model, "registered").chars().take(16).collect::<String>();
        [
            text(model, "id"),
            text(model, "role"),
            text(model, "model"),
            model["bytes"].as_u64().map_or("-".to_owned(), |it| it.to_string()),
            number(model, "test_log_loss"),
            number(model, "test_auc"),
            text(model, "parent"),
            day,
        ]
    }));
    let widths: [usize; 8] =
        std::array::from_fn(|at| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0));
    let mut out = String::new();
    for row in &rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        let _ = writeln!(out, "{}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
    for model in models.iter().filter(|model| model["problem"].is_string()) {
        let _ = writeln!(out, "unusable: {}", text(model, "problem"));
    }
    let shown = state.history.iter().rev().take(SHOWN);
    for change in shown {
        let _ = writeln!(out, "{}  version {}: {}", change.at, change.version, change.reason);
    }
    if state.roles.serving.is_none() {
        out += "no model of the registry serves all users; the bidder's own does\n";
    }
    out
}

/// Lets a model serve.
pub(in crate::model) fn promote(args: &PromoteArgs) -> Result<(), ExitError> {
    let registry = open(&args.registry)?;
    // Whatever is wrong with its files is better said before it serves than after.
    let loaded = registry.load(&args.id)?;
    if !loaded.0.may_serve() {
        let problem = format!(
            "{} is of another make: it cannot be asked by parts, so bids would wait for it; `haggle model shadow` watches it",
            args.id
        );
        return Err(ExitError::new(Exit::Usage, problem));
    }
    warn_of(&args.id, &loaded);
    let mut beaten = None;
    let mut found = String::new();
    if let Some(data) = &args.if_better {
        let Some(serving) = registry.state()?.roles.serving else {
            let problem =
                "no model of the registry serves, so there is none to be better than; leave --if-better out";
            return Err(ExitError::new(Exit::Usage, problem));
        };
        if serving == args.id {
            return Err(ExitError::new(Exit::Usage, format!("{serving} serves already")));
        }
        let report = compare::compare_folders(
            registry.path(&args.id)?,
            registry.path(&serving)?,
            data.clone(),
            args.rows.clone(),
            args.json,
        )?;
        if !report.is_better() {
            let problem =
                format!("not promoted, because {} is not shown to be better:\n{}", args.id, report.text());
            return Err(ExitError::new(Exit::CheckFailed, problem));
        }
        found = format!(", better than {serving} on {}", data.display());
        beaten = Some(serving);
    }
    let what = match args.canary {
        Some(share) => format!("promoted {} to {}% of the users", args.id, f64::from(share) / 10.0),
        None => format!("promoted {}", args.id),
    };
    let reason = args.reason.clone().unwrap_or_else(|| format!("{what}{found}"));
    let state = registry.change(now(), &reason, |state| {
        if let Some(beaten) = beaten.filter(|it| state.roles.serving.as_ref() != Some(it)) {
            let problem = format!("{beaten} does not serve any more, which was compared with; try again");
            return Err(super::Refusal(problem));
        }
        match args.canary {
            Some(share) => state.promote_canary(&args.id, share),
            None => state.promote(&args.id),
        }
    })?;
    done(&what, &state, args.json)
}

/// Goes back to before the last promotion.
pub(in crate::model) fn rollback(args: &RollbackArgs) -> Result<(), ExitError> {
    let reason = args.reason.as_deref().unwrap_or("rolled back by hand");
    let state = open(&args.registry)?.change(now(), reason, State::rollback)?;
    done("rolled back", &state, args.json)
}

/// Scores a model beside those that serve, or no longer.
pub(in crate::model) fn shadow(args: &ShadowArgs) -> Result<(), ExitError> {
    let registry = open(&args.registry)?;
    let what = if args.off {
        format!("{} is no longer scored beside", args.id)
    } else {
        warn_of(&args.id, &registry.load(&args.id)?);
        format!("{} is scored beside", args.id)
    };
    let state = registry.change(now(), &what, |state| state.shadow(&args.id, !args.off))?;
    done(&what, &state, args.json)
}

/// Says of a model that nodes cannot ask that they cannot.
fn warn_of(id: &str, (manifest, bytes): &(Manifest, Vec<u8>)) {
    if let Err(problem) = folder::guest(id, manifest, bytes) {
        say(&format!(
            "nodes cannot ask {id}: {problem}; they ask deep models that were trained with --format haggle, and watch others imported with it"
        ));
    }
}

/// Prints what was done, and who does what now.
fn done(what: &str, state: &State, json: bool) -> Result<(), ExitError> {
    if json {
        return print(to_json(state)?);
    }
    let roles = &state.roles;
    let mut out =
        format!("{what}\nserving  {}\n", roles.serving.as_deref().unwrap_or("the bidder's own model"));
    if let Some(canary) = &roles.canary {
        let _ = writeln!(out, "canary   {} ({})", canary.id, canary.percent());
    }
    for id in &roles.shadow {
        let _ = writeln!(out, "shadow   {id}");
    }
    print(out)
}
