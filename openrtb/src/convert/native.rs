//! Room for native ads (OpenRTB Native 1.2).

use haggle_domain::{NativeAsset, NativeKind, NativeSlot, NoBidReason, Size};
use smallvec::SmallVec;

use super::slots::{MOST, codes};
use crate::request::{Asset, Image, Native};

/// A native ad's room.
///
/// # Errors
///
/// There is no request that could be read, it asks for nothing, or for a part without a number to answer to.
pub(super) fn slot(native: &Native) -> Result<NativeSlot, NoBidReason> {
    let request = native.request().filter(|request| request.readable).ok_or(NoBidReason::InvalidImp)?;
    let mut assets: SmallVec<[NativeAsset; 8]> = SmallVec::new();
    for asset in &request.assets {
        match asset.id {
            Some(id) => assets.push(NativeAsset { id, required: asset.required, kind: kind(asset) }),
            // What is merely welcome can be left out.
            None if asset.required => return Err(NoBidReason::InvalidImp),
            None => {}
        }
    }
    if assets.is_empty() || assets.len() > MOST {
        return Err(NoBidReason::InvalidImp);
    }
    let asked = request.eventtrackers.as_deref().unwrap_or_default();
    // Event 1 is the impression; methods are 1 an image and 2 a script.
    let may = |method: i64| {
        asked.iter().any(|tracker| tracker.event == Some(1) && tracker.methods.contains(&method))
    };
    Ok(NativeSlot {
        assets,
        blocked_attributes: codes(&native.battr),
        apis: codes(&native.api),
        image_tracker: asked.is_empty() || may(1),
        script_tracker: may(2),
        // Only version 1.2 knows them.
        event_trackers: !asked.is_empty(),
        wrapped: request.wrapped,
    })
}

fn kind(asset: &Asset) -> NativeKind {
    let length = |len: Option<i64>| len.and_then(|len| u32::try_from(len).ok()).unwrap_or(0);
    if let Some(title) = &asset.title {
        return NativeKind::Title { longest: length(title.len) };
    }
    if let Some(image) = &asset.img {
        return picture(image);
    }
    if let Some(data) = &asset.data {
        return NativeKind::Data { kind: code(data.kind), longest: length(data.len) };
    }
    if asset.video.0 { NativeKind::Video } else { NativeKind::Unknown }
}

fn picture(image: &Image) -> NativeKind {
    let size = |width, height| Size { width: code(width), height: code(height) };
    NativeKind::Image {
        kind: code(image.kind),
        size: size(image.w, image.h),
        least: size(image.wmin, image.hmin),
        mimes: image.mimes.clone(),
    }
}

fn code(number: Option<i64>) -> u16 {
    number.and_then(|number| u16::try_from(number).ok()).unwrap_or(0)
}
