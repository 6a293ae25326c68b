//! Room for banners, videos and audio.

use haggle_domain::{BannerSlot, Codes, DurationFloor, NoBidReason, Pod, Size, StreamSlot};
use smallvec::SmallVec;

use super::price::Prices;
use super::{tag, tags};
use crate::request::{Banner, Device, DurFloor, Ints, Stream};

/// How many sizes, durations or floors of one imp are looked at.
pub(super) const MOST: usize = 64;

/// A banner's room. Without a size there is none, but for an interstitial on a screen of known size.
///
/// # Errors
///
/// A size is half said or impossible, or none is said.
pub(super) fn banner(
    banner: &Banner<'_>,
    interstitial: bool,
    device: &Device<'_>,
) -> Result<BannerSlot, NoBidReason> {
    let mut sizes: SmallVec<[Size; 8]> = SmallVec::new();
    // Few are ever sent, and a bid of a later one is not wrong to leave out.
    for format in banner.format.iter().take(MOST) {
        if let Some(size) = size(format.w, format.h)? {
            sizes.push(size);
        }
    }
    if sizes.is_empty() {
        sizes.extend(size(banner.w, banner.h)?);
    }
    let at_most = sizes.is_empty() && interstitial;
    if at_most {
        sizes.extend(size(device.w, device.h).ok().flatten());
    }
    if sizes.is_empty() {
        // No size, or proportions alone: a size of ours would be a guess.
        return Err(NoBidReason::UnsupportedFormat);
    }
    Ok(BannerSlot {
        sizes,
        at_most,
        blocked_attributes: codes(&banner.battr),
        blocked_types: codes(&banner.btype),
        mimes: tags(&banner.mimes, tag),
        apis: codes(&banner.api),
    })
}

/// A size takes two numbers; zeros are what software sends that cannot leave a number out.
fn size(width: Option<i64>, height: Option<i64>) -> Result<Option<Size>, NoBidReason> {
    let said = |length: Option<i64>| length.filter(|&length| length != 0);
    match (said(width), said(height)) {
        (None, None) => Ok(None),
        (Some(width), Some(height)) => match (u16::try_from(width), u16::try_from(height)) {
            (Ok(width), Ok(height)) => Ok(Some(Size { width, height })),
            _ => Err(NoBidReason::InvalidImp),
        },
        _ => Err(NoBidReason::InvalidImp),
    }
}

/// A video's or audio's room. `imp_id` tells the pod of one imp alone from others'.
///
/// # Errors
///
/// No media types are named, which the specification asks for, or what is said contradicts itself.
pub(super) fn stream(
    stream: &Stream<'_>,
    audio: bool,
    imp_id: &str,
    prices: &Prices<'_>,
) -> Result<StreamSlot, NoBidReason> {
    let shortest = seconds(stream.minduration, 0)?;
    let longest = seconds(stream.maxduration.filter(|&seconds| seconds != 0), u32::MAX)?;
    // The specification rules out both ranges and single durations at once, and sizes below nothing.
    let twice = !stream.rqddurs.is_empty() && (shortest > 0 || longest < u32::MAX);
    let shrunk = [stream.w, stream.h].into_iter().flatten().any(|length| length < 0);
    if stream.mimes.is_empty() || shortest > longest || twice || shrunk {
        return Err(NoBidReason::InvalidImp);
    }
    let player = |length: Option<i64>| length.and_then(|length| u16::try_from(length).ok()).unwrap_or(0);
    let (width, height) = (player(stream.w), player(stream.h));
    let known = width > 0 && height > 0;
    Ok(StreamSlot {
        audio,
        mimes: tags(&stream.mimes, tag),
        shortest,
        longest,
        exactly: stream
            .rqddurs
            .iter()
            .take(MOST)
            .filter_map(|&seconds| u32::try_from(seconds).ok())
            .collect(),
        protocols: stream.protocols.iter().copied().chain(stream.protocol).collect(),
        size: if known { Size { width, height } } else { Size::default() },
        linearity: stream.linearity.and_then(|linearity| u8::try_from(linearity).ok()).unwrap_or(0),
        blocked_attributes: codes(&stream.battr),
        apis: codes(&stream.api),
        skippable: stream.skip.map(|skip| skip != 0),
        least_bitrate: seconds(stream.minbitrate, 0)?,
        most_bitrate: seconds(stream.maxbitrate.filter(|&rate| rate != 0), u32::MAX)?,
        duration_floors: duration_floors(&stream.durfloors, prices)?,
        floor_per_second: prices.read(stream.mincpmpersec)?,
        pod: pod(stream, imp_id)?,
    })
}

/// The pod that a stream is part of (`podid`), or is itself (`poddur`).
fn pod(stream: &Stream<'_>, imp_id: &str) -> Result<Option<Pod>, NoBidReason> {
    let duration = seconds(stream.poddur, 0)?;
    if stream.podid.is_empty() && duration == 0 {
        return Ok(None);
    }
    let most = if duration == 0 { 1 } else { seconds(stream.maxseq.filter(|&most| most != 0), u32::MAX)? };
    Ok(Some(Pod {
        id: tag(if stream.podid.is_empty() { imp_id } else { &stream.podid }),
        duration,
        most,
        slot: stream
            .slotinpod
            .and_then(|slot| i8::try_from(slot).ok())
            .filter(|slot| (-1..=2).contains(slot))
            .unwrap_or(0),
    }))
}

/// Floors by duration, in the account's currency.
pub(super) fn duration_floors(
    floors: &[DurFloor],
    prices: &Prices<'_>,
) -> Result<SmallVec<[DurationFloor; 2]>, NoBidReason> {
    let read = |range: &DurFloor| {
        Ok(DurationFloor {
            shortest: seconds(range.mindur, 0)?,
            longest: seconds(range.maxdur.filter(|&seconds| seconds != 0), u32::MAX)?,
            floor: prices.read(range.bidfloor)?,
        })
    };
    // None of them can be left out.
    if floors.len() > MOST { Err(NoBidReason::InvalidImp) } else { floors.iter().map(read).collect() }
}

/// A number that cannot be negative; as much as fits.
fn seconds(number: Option<i64>, absent: u32) -> Result<u32, NoBidReason> {
    match number {
        None => Ok(absent),
        Some(number) if number < 0 => Err(NoBidReason::InvalidImp),
        Some(number) => Ok(u32::try_from(number).unwrap_or(u32::MAX)),
    }
}

pub(super) fn codes(list: &Ints) -> Codes {
    list.iter().copied().collect()
}

#[cfg(test)]
mod tests {
    use crate::Asker;
    use haggle_domain::fit::{stream_fits, template};
    use haggle_domain::{ExchangeKey, Media, MediaFile, Rates, Size, Stream, Template};

    #[test]
    fn audio_that_is_offered_for_daast_alone_has_room_and_video_has_none() {
        let body = br#"{"id": "r", "imp": [{"id": "1",
            "audio": {"mimes": ["audio/mp4"], "minbitrate": 300, "maxbitrate": 1500, "protocols": [9, 10]},
            "video": {"mimes": ["audio/mp4"], "protocols": [9, 10]}}]}"#;
        let request = crate::parse(body).unwrap();
        let rates = Rates { account: "USD".to_owned(), pairs: Vec::new() };
        let asker = Asker { exchange: ExchangeKey::of("test"), seat: "haggle", user_ids: &[], rates: &rates };
        let opportunity = request.opportunity(&request.imps[0], &asker).unwrap();
        let file = |bitrate| MediaFile {
            url: "https://cdn.test/a.m4a".to_owned(),
            mime: "audio/mp4".to_owned(),
            size: Size::default(),
            bitrate,
        };
        let sound =
            |bitrate| Stream { duration: 15, skip_after: None, media: Media::Files(vec![file(bitrate)]) };
        let (audio, video) = (opportunity.audio.unwrap(), opportunity.video.unwrap());
        assert_eq!(template(&audio, &sound(320)), Some(Template::Daast));
        assert!(stream_fits(&audio, &sound(320)) && !stream_fits(&audio, &sound(128)));
        assert!(!stream_fits(&video, &sound(320)));
    }
}
