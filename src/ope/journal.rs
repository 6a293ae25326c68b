//! A node's own journal as a log of decisions: which creative a campaign showed, with which probability, and whether
//! it was clicked within the click window.
//!
//! The journal does not say which other creatives an imp could have had. Those of the campaign count as possible that
//! the log shows for imps of the same size; a row whose creative was certain (propensity 1) had no choice and is left
//! out (nor have policies that never draw any), and so is one of a size for which only one creative is known.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use haggle_learning::data::{BadRows, Flaw, LEAST_PROPENSITY};
use haggle_learning::{Batch, Example, archive_fields, push_archived};

use super::log::{Action, Builder, Context, Log};
use crate::exit::{Exit, ExitError};
use crate::model::{Archive, Progress};

/// Rows after which a signal is looked for.
const LOOK_EVERY: u64 = 4_096;

/// Reads the journal of the node with this configuration. It must not be running.
///
/// # Errors
///
/// A configuration or journal that cannot be used, too many impressions without a propensity, or a stop.
pub(super) fn read(config: &Path, bad_rows: u64, progress: &Progress) -> Result<Log, ExitError> {
    let mut archive = Archive::open(config)?.with_propensities();
    let file = config.display().to_string();
    let mut builder = Builder::new(file.clone());
    let mut bad = BadRows { file, by_row: true, ..BadRows::default() };
    let mut shown: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
    let (mut certain, mut number) = (0_u64, 0_u64);
    let size = archive_fields().position(|field| field == "size").unwrap_or_default();
    let mut batch = Batch::default();
    while let Some(shown_once) = archive.next_shown()? {
        number += 1;
        if number.is_multiple_of(LOOK_EVERY) {
            progress.check()?;
        }
        let Some((name, ad)) = archive.ad(&shown_once.example) else { continue };
        let propensity = f64::from(shown_once.propensity);
        if !(LEAST_PROPENSITY..=1.0).contains(&propensity) {
            let problem = format!("{propensity} is no probability from 1e-9 to 1, so it cannot be weighted");
            bad.add(shown_once.record, Flaw { column: Some("propensity".to_owned()), problem });
            if bad.count > bad_rows {
                let problem = format!("{bad}\nmore than {bad_rows} bad rows; allow more with --bad-rows");
                return Err(ExitError::new(Exit::InputUnusable, problem));
            }
            continue;
        }
        if propensity >= 1.0 {
            certain += 1;
            continue;
        }
        let Example { bid, features, label, .. } = &shown_once.example;
        batch.clear();
        push_archived(&mut batch, features, &[], *label);
        let sizes: Vec<String> = batch
            .slots(0)
            .iter()
            .filter(|slot| usize::from(slot.field) == size)
            .map(|slot| slot.index.to_string())
            .collect();
        let group = builder.group(&format!("{} {}", bid.campaign.0, sizes.join(" ")), |_| Vec::new());
        let action = builder.action(&name, || ad);
        shown.entry(group).or_default().insert(action);
        builder.push(Context { group, features: features.clone() }, action, *label, propensity)?;
    }
    let mut log = builder.log;
    log.bad = bad;
    places(&mut log, &shown);
    if certain > 0 {
        log.notes.push(format!(
            "left {certain} impressions out whose creative was certain: no other fitted, or the campaign's policy (greedy, first) \
             draws none"
        ));
    }
    if archive.unknown() > 0 {
        log.notes
            .push(format!("left {} impressions of campaigns out that are not configured", archive.unknown()));
    }
    Ok(log)
}

/// Says what was possible in each group, and turns actions' numbers into places there.
fn places(log: &mut Log, shown: &BTreeMap<u32, BTreeSet<u32>>) {
    for (group, actions) in shown {
        if let Some((_, possible)) = log.groups.get_mut(*group as usize) {
            *possible = actions.iter().copied().collect();
        }
    }
    let (groups, contexts) = (&log.groups, &log.contexts);
    let before = log.rows.len();
    log.rows.retain_mut(|row| {
        let group = contexts.get(row.context as usize).and_then(|it| groups.get(it.group as usize));
        let possible = group.map_or(&[][..], |(_, actions)| actions);
        let place = possible.binary_search(&row.action).ok().filter(|_| possible.len() > 1);
        place.inspect(|place| row.action = *place as u32).is_some()
    });
    let gone = before - log.rows.len();
    if gone > 0 {
        log.notes.push(format!("left {gone} impressions out of whose size the log shows one creative alone"));
    }
    // What tells a creative from all others comes first.
    log.actions.iter_mut().for_each(|Action { name, features }| {
        features.insert(0, super::log::feature("creative", xxhash_rust::xxh3::xxh3_64(name.as_bytes())));
    });
}
