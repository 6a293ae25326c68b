//! Native answers against native requests (OpenRTB Native 1.0 to 1.2).

use serde_json::Value;

use super::check::{Check, Findings};
use super::flaws::native_request;
use super::markup::Urls;
use super::offer::Offer;
use super::value::{flag, list, member, text, whole_at, wholes};
use super::vast;

/// The kinds of assets.
const KINDS: [&str; 4] = ["title", "img", "video", "data"];

/// Checks an answer; gives the URLs in it.
pub(super) fn check(offer: &Offer<'_>, answer: &Value, findings: &mut Findings) -> Urls {
    let name = &offer.name;
    let answer = member(answer, "native").unwrap_or(answer);
    let mut urls = Urls::default();
    // Without a readable request the imp is flawed, which is said elsewhere.
    let Some(request) = offer.slot().and_then(native_request) else { return urls };
    findings.applies(Check::Native);
    let mut fail = |what: String| findings.fail(Check::Native, format!("{name}: {what}"));
    let (asked, given) = (list(&request, "assets"), list(answer, "assets"));
    if given.is_empty() && text(answer, "assetsurl").is_none() {
        fail("no assets".to_owned());
    }
    for wanted in asked.iter().filter(|wanted| flag(wanted, &["required"])) {
        let id = whole_at(wanted, "id");
        if !given.is_empty() && !given.iter().any(|asset| whole_at(asset, "id") == id) {
            fail(format!("the required asset {} is not answered", id.unwrap_or_default()));
        }
    }
    let mut seen = Vec::new();
    for asset in given {
        let Some(id) = whole_at(asset, "id") else {
            fail("an asset without id".to_owned());
            continue;
        };
        if seen.contains(&id) {
            fail(format!("asset {id} twice"));
        }
        seen.push(id);
        match asked.iter().find(|wanted| whole_at(wanted, "id") == Some(id)) {
            Some(wanted) => asset_fits(id, wanted, asset, &mut fail),
            None => fail(format!("asset {id} was not asked for")),
        }
        for kind in ["img", "data"] {
            if let Some(url) = member(asset, kind).and_then(|asset| text(asset, "url")) {
                urls.assets.push((format!("asset {id}"), url.to_owned()));
            }
        }
        if let Some(Ok(vast)) = video_of(asset).map(vast::read) {
            urls.assets.extend(vast.assets);
            urls.links.extend(vast.links);
        }
        link(member(asset, "link"), &format!("link of asset {id}"), &mut urls);
    }
    if member(answer, "link").and_then(|link| text(link, "url")).is_none() {
        fail("no link.url".to_owned());
    }
    link(member(answer, "link"), "link", &mut urls);
    trackers(&request, answer, &mut urls, &mut fail);
    urls
}

fn link(link: Option<&Value>, place: &str, urls: &mut Urls) {
    let Some(link) = link else { return };
    urls.links.extend(text(link, "url").map(|url| (format!("{place}.url"), url.to_owned())));
    let clicks = list(link, "clicktrackers").iter().filter_map(Value::as_str);
    urls.assets.extend(clicks.map(|url| (format!("{place}.clicktrackers"), url.to_owned())));
}

fn video_of(asset: &Value) -> Option<&str> {
    text(member(asset, "video")?, "vasttag")
}

fn asset_fits(id: i64, wanted: &Value, asset: &Value, fail: &mut dyn FnMut(String)) {
    let kind = |object: &Value| KINDS.into_iter().find(|kind| member(object, kind).is_some());
    let (Some(asked), given) = (kind(wanted), kind(asset)) else { return };
    if given != Some(asked) {
        fail(format!("asset {id} is {}, asked was {asked}", given.unwrap_or("empty")));
        return;
    }
    let (wanted, asset) = (&wanted[asked], &asset[asked]);
    let mut fits = |text: Option<&str>, what: &str| match text {
        None => fail(format!("asset {id} has no {what}")),
        Some(text) => {
            let length = text.chars().count();
            if whole_at(wanted, "len")
                .is_some_and(|most| most > 0 && usize::try_from(most).is_ok_and(|most| length > most))
            {
                fail(format!("asset {id}: {what} has {length} characters, len is {}", wanted["len"]));
            }
        }
    };
    match asked {
        "title" => fits(text(asset, "text"), "title.text"),
        "data" => fits(text(asset, "value"), "data.value"),
        "img" => {
            if text(asset, "url").is_none() {
                fail(format!("asset {id} has no img.url"));
            }
            for (exact, least) in [("w", "wmin"), ("h", "hmin")] {
                let Some(side) = whole_at(asset, exact) else { continue };
                let low = whole_at(wanted, least).is_some_and(|least| side < least);
                // Where a least side is given, the exact one is a preference.
                let other = member(wanted, least).is_none()
                    && whole_at(wanted, exact).is_some_and(|exact| exact > 0 && side != exact);
                if low || other {
                    fail(format!("asset {id}: img.{exact} is {side}, asked was {wanted}"));
                }
            }
        }
        _ => match text(asset, "vasttag").map(vast::read) {
            None => fail(format!("asset {id} has no video.vasttag")),
            Some(Err(problem)) => fail(format!("asset {id}: {problem}")),
            Some(Ok(vast)) if vast.is_daast => fail(format!("asset {id}: video.vasttag is DAAST, not VAST")),
            Some(Ok(vast)) => vast.problems.iter().for_each(|problem| fail(format!("asset {id}: {problem}"))),
        },
    }
}

/// Trackers of events may only be of the events and methods that the request names.
fn trackers(request: &Value, answer: &Value, urls: &mut Urls, fail: &mut dyn FnMut(String)) {
    for tracker in list(answer, "eventtrackers") {
        let (event, method) = (whole_at(tracker, "event"), whole_at(tracker, "method"));
        let supported = list(request, "eventtrackers").iter().any(|asked| {
            whole_at(asked, "event") == event
                && method.is_some_and(|method| wholes(asked, "methods").contains(&method))
        });
        if !supported {
            fail(format!(
                "eventtrackers has event {} by method {}, which the request does not support",
                event.unwrap_or_default(),
                method.unwrap_or_default()
            ));
        }
        urls.assets.extend(text(tracker, "url").map(|url| ("eventtrackers".to_owned(), url.to_owned())));
    }
    let pixels = list(answer, "imptrackers").iter().filter_map(Value::as_str);
    urls.assets.extend(pixels.map(|url| ("imptrackers".to_owned(), url.to_owned())));
    urls.links.extend(text(answer, "privacy").map(|url| ("privacy".to_owned(), url.to_owned())));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[allow(clippy::needless_pass_by_value, reason = "values are written where it is called")]
    fn failures(answer: Value) -> Vec<String> {
        let request = json!({"eventtrackers": [{"event": 1, "methods": [1]}], "assets": [
            {"id": 1, "required": 1, "title": {"len": 5}}, {"id": 2, "img": {"wmin": 100, "h": 50}},
            {"id": 3, "data": {"type": 2, "len": 3}}, {"id": 4, "video": {}}]});
        let imp = json!({"id": "1", "native": {"request": request.to_string()}});
        let bid = json!({"id": "b", "mtype": 4});
        let mut findings = Findings::default();
        check(&Offer::new(&Value::Null, &imp, &bid, None, "USD"), &answer, &mut findings);
        findings.failures.into_iter().map(|(_, detail)| detail).collect()
    }

    #[test]
    fn assets_links_and_trackers_are_what_was_asked_for() {
        let title = json!({"id": 1, "title": {"text": "Boots"}});
        let link = json!({"url": "https://c.example"});
        let good = json!({"assets": [title, {"id": 2, "img": {"url": "https://i.example", "w": 100, "h": 50}}],
            "link": link, "eventtrackers": [{"event": 1, "method": 1, "url": "https://t.example"}]});
        assert_eq!(failures(good.clone()), Vec::<String>::new());
        assert_eq!(failures(json!({"native": good})), Vec::<String>::new());
        let with = |asset: Value| json!({"assets": [title, asset], "link": link});
        for (answer, said) in [
            (json!({"link": link}), "no assets"),
            (json!({"assets": [{"id": 3, "data": {"value": "a"}}], "link": link}), "required asset 1"),
            (json!({"assets": [title]}), "no link.url"),
            (json!({"assets": [{"id": 1, "title": {"text": "Sandals"}}], "link": link}), "7 characters"),
            (json!({"assets": [{"id": 1, "title": {}}], "link": link}), "no title.text"),
            (with(json!({"id": 9, "title": {"text": "x"}})), "not asked for"),
            (with(json!({"title": {"text": "x"}})), "without id"),
            (with(title.clone()), "twice"),
            (with(json!({"id": 2, "title": {"text": "x"}})), "asked was img"),
            (with(json!({"id": 2, "img": {"url": "https://i.example", "w": 99}})), "img.w is 99"),
            (with(json!({"id": 2, "img": {"url": "https://i.example", "h": 51}})), "img.h is 51"),
            (with(json!({"id": 2, "img": {"w": 100}})), "no img.url"),
            (with(json!({"id": 3, "data": {"value": "long"}})), "4 characters"),
            (with(json!({"id": 4, "video": {"vasttag": "<VAST/>"}})), "VAST has no"),
            (with(json!({"id": 4, "video": {"vasttag": "<DAAST version=\"1.0\"/>"}})), "is DAAST"),
            (
                json!({"assets": [title], "link": link, "eventtrackers": [{"event": 1, "method": 2}]}),
                "does not support",
            ),
        ] {
            let found = failures(answer.clone());
            assert!(found.iter().any(|failure| failure.contains(said)), "{answer}: {found:?}");
        }
    }
}
