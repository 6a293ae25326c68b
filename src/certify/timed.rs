//! Video and audio: durations, pods, media types, protocols.

use std::collections::BTreeMap;

use serde_json::Value;

use super::check::{Check, Findings};
use super::format::Format;
use super::html;
use super::offer::{Markup, Offer};
use super::value::{member, strings, whole_at, wholes};
use super::vast::{Media, Vast};

/// How far a rounded `dur` may be from the document's duration, in milliseconds.
const ROUNDING_MS: i64 = 1000;

/// Checks one bid, if it is of video or audio.
pub(super) fn check(offer: &Offer<'_>, findings: &mut Findings) {
    let Some(slot) = offer.slot().filter(|_| offer.format.is_some_and(Format::is_timed)) else { return };
    duration(offer, slot, findings);
    slot_in_pod(offer, slot, findings);
    media(offer, slot, findings);
    protocol(offer, slot, findings);
    let name = &offer.name;
    if let Some(vast) = offer.vast().filter(|vast| !vast.is_wrapper) {
        let linearity = whole_at(slot, "linearity");
        findings.require(Check::Vast, linearity != Some(1) || vast.is_linear, || {
            format!("{name}: the slot takes linear ads only (linearity 1)")
        });
        findings.require(Check::Vast, linearity != Some(2) || vast.is_non_linear, || {
            format!("{name}: the slot takes non-linear ads only (linearity 2)")
        });
    }
}

fn seconds(ms: i64) -> String {
    format!("{}.{:03} s", ms / 1000, ms % 1000)
}

fn duration(offer: &Offer<'_>, slot: &Value, findings: &mut Findings) {
    let name = &offer.name;
    let (exact, pod) = (wholes(slot, "rqddurs"), whole_at(slot, "poddur").filter(|pod| *pod > 0));
    let Some(duration) = offer.duration_ms() else {
        findings.require(Check::Duration, exact.is_empty() && pod.is_none(), || {
            format!(
                "{name}: neither dur nor markup gives a duration, which the slot's rqddurs or poddur needs"
            )
        });
        return;
    };
    findings.applies(Check::Duration);
    if let (Some(dur), Some(read)) =
        (whole_at(offer.bid, "dur"), offer.vast().and_then(|vast| vast.duration_ms))
    {
        let apart = dur.saturating_mul(1000).saturating_sub(read).saturating_abs();
        findings.require(Check::Duration, apart <= ROUNDING_MS, || {
            format!("{name}: dur is {dur}, the markup's Duration {}", seconds(read))
        });
    }
    let whole = (duration + ROUNDING_MS / 2) / ROUNDING_MS;
    findings.require(Check::Duration, exact.is_empty() || exact.contains(&whole), || {
        format!("{name}: {} is none of rqddurs {exact:?}", seconds(duration))
    });
    if let Some(least) = whole_at(slot, "minduration") {
        findings.require(Check::Duration, duration >= least.saturating_mul(1000), || {
            format!("{name}: {} is below minduration {least}", seconds(duration))
        });
    }
    let extension = whole_at(slot, "maxextended").unwrap_or(0);
    if let Some(most) = whole_at(slot, "maxduration").filter(|most| *most > 0 && extension >= 0) {
        let most = most.saturating_add(extension);
        findings.require(Check::Duration, duration <= most.saturating_mul(1000), || {
            format!("{name}: {} is above maxduration {most}", seconds(duration))
        });
    }
}

/// `slotinpod` belongs to dynamic pods, and only where the seller guarantees the place: 1 the first, -1 the last,
/// 2 either.
fn slot_in_pod(offer: &Offer<'_>, slot: &Value, findings: &mut Findings) {
    let Some(place) = whole_at(offer.bid, "slotinpod").filter(|place| *place != 0) else { return };
    let guaranteed = whole_at(slot, "slotinpod").unwrap_or(0);
    let dynamic = whole_at(slot, "poddur").is_some_and(|pod| pod > 0);
    let fits = match (place, guaranteed) {
        (place, guaranteed) if place == guaranteed => [-1, 1, 2].contains(&place),
        (1 | -1, 2) => dynamic,
        _ => false,
    };
    findings.require(Check::Pod, fits, || {
        format!("{}: slotinpod {place}, but the slot guarantees {guaranteed}", offer.name)
    });
}

/// One media file that the player can play is enough; a wrapper has none.
fn media(offer: &Offer<'_>, slot: &Value, findings: &mut Findings) {
    let Some(vast) = offer.vast() else { return };
    let mimes = strings(slot, "mimes");
    let files: Vec<_> = vast.media.iter().filter(|media| !media.mime.is_empty()).collect();
    if files.is_empty() || mimes.is_empty() {
        return;
    }
    let plays = |mime: &str| mimes.iter().any(|allowed| allowed.trim().eq_ignore_ascii_case(mime));
    findings.require(Check::Mimes, files.iter().any(|media| plays(&media.mime)), || {
        let types: Vec<_> = files.iter().map(|media| media.mime.as_str()).collect();
        format!("{}: media of {types:?}, the slot plays {mimes:?}", offer.name)
    });
}

/// The AdCOM creative subtypes of a document: inline and wrapper. That of DAAST 1.1, which corrects the text of 1.0, is
/// 1.0's.
fn subtypes(vast: &Vast) -> Option<(i64, i64)> {
    if vast.is_daast {
        return ["1.0", "1.1"].contains(&vast.version.as_str()).then_some((9, 10));
    }
    match vast.number()? {
        (1, _) => Some((1, 4)),
        (2, _) => Some((2, 5)),
        (3, _) => Some((3, 6)),
        (4, 0) => Some((7, 8)),
        (4, 1) => Some((11, 12)),
        (4, 2) => Some((13, 14)),
        (4, 3) => Some((15, 16)),
        _ => None,
    }
}

fn protocol(offer: &Offer<'_>, slot: &Value, findings: &mut Findings) {
    let name = &offer.name;
    let allowed = wholes(slot, "protocols");
    let stated = whole_at(offer.bid, "protocol");
    if let Some(stated) = stated.filter(|_| !allowed.is_empty()) {
        findings.require(Check::Protocol, allowed.contains(&stated), || {
            format!("{name}: protocol {stated} is none of {allowed:?}")
        });
    }
    let Some(vast) = offer.vast().filter(|_| stated.is_some() || !allowed.is_empty()) else { return };
    let Some((inline, wrapper)) = subtypes(vast) else {
        findings.fail(
            Check::Protocol,
            format!("{name}: {} version {:?} is none that is known", vast.template(), vast.version),
        );
        return;
    };
    let found = if vast.is_wrapper { wrapper } else { inline };
    findings.require(Check::Protocol, allowed.is_empty() || allowed.contains(&found), || {
        let kind = if vast.is_wrapper { "wrapper" } else { "inline" };
        format!(
            "{name}: {} {} {kind} is protocol {found}, none of {allowed:?}",
            vast.template(),
            vast.version
        )
    });
    findings.require(Check::Protocol, stated.is_none_or(|stated| stated == found), || {
        format!("{name}: protocol says {}, the markup is {found}", stated.unwrap_or_default())
    });
}

/// Checks what all bids of one seat on one imp come to: without a pod there is one; a pod takes `maxseq` ads and
/// `poddur` seconds.
pub(super) fn check_together(offers: &[Offer<'_>], findings: &mut Findings) {
    let mut groups = BTreeMap::<(&str, &str), Vec<&Offer<'_>>>::new();
    for offer in offers {
        let id = offer.imp.get("id").and_then(Value::as_str).unwrap_or_default();
        groups.entry((id, offer.seat.unwrap_or_default())).or_default().push(offer);
    }
    for ((imp, seat), group) in groups {
        let pod = group
            .iter()
            .filter_map(|offer| offer.slot().filter(|_| offer.format.is_some_and(Format::is_timed)))
            .find(|slot| {
                ["poddur", "maxseq"].iter().any(|name| whole_at(slot, name).is_some_and(|value| value > 0))
            });
        let place = format!("{} bids of seat {seat:?} on imp {imp}", group.len());
        let Some(pod) = pod else {
            findings.require(Check::Imp, group.len() <= 1, || {
                format!("{place}; it takes one and is no dynamic pod")
            });
            continue;
        };
        findings.applies(Check::Pod);
        if let Some(most) = whole_at(pod, "maxseq").filter(|most| *most > 0) {
            let fits = i64::try_from(group.len()).is_ok_and(|bids| bids <= most);
            findings.require(Check::Pod, fits, || format!("{place}; maxseq is {most}"));
        }
        if let Some(most) = whole_at(pod, "poddur").filter(|most| *most > 0) {
            let sum = group.iter().filter_map(|offer| offer.duration_ms()).fold(0i64, i64::saturating_add);
            findings.require(Check::Pod, sum <= most.saturating_mul(1000), || {
                format!("{place} last {} together; poddur is {most}", seconds(sum))
            });
        }
    }
}

/// Frameworks of a bid by AdCOM's list, with a word for each: what the markup needs, and any of which is enough.
fn frameworks(offer: &Offer<'_>) -> Vec<(&'static [i64], &'static str)> {
    let mut needs: Vec<(&[i64], &str)> = Vec::new();
    if let Some(vast) = offer.vast() {
        let has = |word: &str| {
            vast.media
                .iter()
                .filter_map(|media| media.api.as_deref())
                .any(|api| api.to_ascii_lowercase().contains(word))
        };
        if has("vpaid") {
            needs.push((&[1, 2], "VPAID"));
        }
        if has("simid") {
            needs.push((&[8, 9], "SIMID"));
        }
        if has("mraid") {
            needs.push((&[3, 5, 6], "MRAID"));
        }
        if vast.verifications.iter().any(|api| api.eq_ignore_ascii_case("omid")) {
            needs.push((&[7], "OMID"));
        }
    }
    if let Markup::Html(html) = &offer.markup
        && html::scan(html).is_mraid
    {
        needs.push((&[3, 5, 6], "MRAID"));
    }
    needs
}

/// Checks the frameworks that the markup needs, and those that the bid names, against the slot's `api`.
pub(super) fn check_api(offer: &Offer<'_>, findings: &mut Findings) {
    let Some(slot) = offer.slot() else { return };
    let allowed = wholes(slot, "api");
    let name = &offer.name;
    for (any_of, word) in frameworks(offer) {
        findings.require(Check::Api, any_of.iter().any(|api| allowed.contains(api)), || {
            format!("{name}: the markup needs {word} (api {any_of:?}), the slot supports {allowed:?}")
        });
    }
    let mut named = wholes(offer.bid, "apis");
    named.extend(whole_at(offer.bid, "api"));
    for api in named {
        findings.require(Check::Api, allowed.contains(&api), || {
            format!("{name}: api {api} is none that the slot supports: {allowed:?}")
        });
    }
}

/// Checks the player's size for a video: `w` and `h`, or the smallest media file.
pub(super) fn check_size(offer: &Offer<'_>, slot: &Value, findings: &mut Findings) {
    let side = |name: &str, of: fn(&Media) -> Option<i64>| {
        let media = offer.vast().into_iter().flat_map(|vast| vast.media.iter().filter_map(of)).min();
        whole_at(offer.bid, name).filter(|side| *side > 0).or(media)
    };
    for (name, found) in [("w", side("w", |media| media.width)), ("h", side("h", |media| media.height))] {
        let most = member(slot, name).and_then(super::value::whole).filter(|most| *most > 0);
        if let (Some(found), Some(most)) = (found, most) {
            findings.require(Check::Size, found <= most, || {
                format!("{}: {name} {found} is larger than the player's {most}", offer.name)
            });
        }
    }
}
