//! `POST /backup`: a running node writes a backup of itself into the folder that it was told.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix_web::{HttpResponse, web};
use haggle_actors::journal::{EmbeddedJournal, Journal};
use haggle_domain::Clock;
use serde_json::json;

use crate::backup;
use crate::exit::ExitError;
use crate::model::Progress;

/// What a node needs to make backups.
pub(super) struct Backups {
    pub(super) journal: Arc<EmbeddedJournal>,
    pub(super) data: PathBuf,
    /// Where they go; without it none are made.
    pub(super) folder: Option<PathBuf>,
    pub(super) clock: Arc<dyn Clock>,
    /// One is being made.
    pub(super) busy: AtomicBool,
}

impl Backups {
    /// The folder is named after the time and the end of what is in it; never with the token keys.
    fn make(&self, folder: &Path) -> Result<(backup::Manifest, PathBuf), ExitError> {
        let at = self.clock.now();
        let name: String = at.to_string().split('.').next().unwrap_or_default().replace(':', "-");
        let to = folder.join(format!("{}-{}", name.trim_end_matches('Z'), self.journal.durable_end()));
        let manifest = backup::make(&self.journal, &self.data, false, &to, at, &Progress::default())?;
        Ok((manifest, to))
    }
}

pub(super) async fn post(backups: web::Data<Backups>) -> HttpResponse {
    let Some(folder) = backups.folder.clone() else {
        let message = "this node has no folder for backups; set `backups`";
        return HttpResponse::Conflict().json(json!({ "error": "no_folder", "message": message }));
    };
    if backups.busy.swap(true, Ordering::AcqRel) {
        let message = "a backup is being made; ask again when it is done";
        return HttpResponse::Conflict().json(json!({ "error": "busy", "message": message }));
    }
    let at_work = backups.clone();
    let made = web::block(move || {
        let made = at_work.make(&folder);
        at_work.busy.store(false, Ordering::Release);
        made
    });
    match made.await {
        Ok(Ok((manifest, to))) => {
            tracing::info!(folder = %to.display(), end = manifest.end, "made a backup");
            HttpResponse::Ok().json(json!({
                "folder": to,
                "start": manifest.start,
                "end": manifest.end,
                "files": manifest.files.len(),
                "bytes": manifest.bytes(),
            }))
        }
        Ok(Err(error)) => {
            tracing::error!(%error, "a backup failed");
            HttpResponse::InternalServerError().json(json!({ "error": "failed", "message": error.message }))
        }
        Err(error) => {
            let message = error.to_string();
            HttpResponse::InternalServerError().json(json!({ "error": "stopped", "message": message }))
        }
    }
}
