//! `haggle certify` against small bidders: a right answer passes, and every planted mistake is caught by its check.

#![allow(
    clippy::needless_pass_by_value,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "in a test, a panic is a failure and values are written where they are used"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use haggle::certify::{CertifyArgs, Check, Flaws, Report, certify};
use haggle::exit::Exit;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::Notify;

/// What a bidder answers to a request id.
#[derive(Clone, Debug)]
struct Reply {
    status: u16,
    content_type: &'static str,
    body: String,
    after: Duration,
}

impl Reply {
    fn json(body: &Value) -> Self {
        Self { status: 200, content_type: "application/json", body: body.to_string(), after: Duration::ZERO }
    }

    fn status(status: u16, body: &str) -> Self {
        Self { status, content_type: "application/json", body: body.to_owned(), after: Duration::ZERO }
    }
}

/// A bidder that knows its answers by the request's id and answers 204 to others, and 400 to what is no JSON.
fn bidder(replies: BTreeMap<String, Reply>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let replies = web::Data::new(replies);
    let server = HttpServer::new(move || {
        App::new()
            .app_data(replies.clone())
            .app_data(web::PayloadConfig::new(64 << 20))
            .default_service(web::to(answer))
    })
    .workers(1)
    .listen(listener)
    .unwrap()
    .run();
    actix_web::rt::spawn(server);
    address
}

async fn answer(
    request: HttpRequest,
    body: web::Bytes,
    replies: web::Data<BTreeMap<String, Reply>>,
) -> HttpResponse {
    let header =
        |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    assert_eq!(header("content-type"), "application/json");
    assert_eq!(header("x-openrtb-version"), "2.6");
    let mut text = Vec::new();
    if header("content-encoding") == "gzip" {
        flate2::read::GzDecoder::new(&body[..]).read_to_end(&mut text).unwrap();
    } else {
        text.extend_from_slice(&body);
    }
    let Ok(request) = serde_json::from_slice::<Value>(&text) else {
        return HttpResponse::BadRequest().finish();
    };
    let Some(reply) = request["id"].as_str().and_then(|id| replies.get(id)) else {
        return HttpResponse::NoContent().finish();
    };
    actix_web::rt::time::sleep(reply.after).await;
    let status = actix_web::http::StatusCode::from_u16(reply.status).unwrap();
    HttpResponse::build(status).content_type(reply.content_type).body(reply.body.clone())
}

/// A file of rows in a folder of its own.
fn file(rows: &[Value]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.jsonl");
    let text: Vec<_> = rows.iter().map(Value::to_string).collect();
    std::fs::write(&path, text.join("\n")).unwrap();
    (folder, path)
}

fn endpoint(address: SocketAddr) -> String {
    format!("http://{address}/bid")
}

/// Certifies a bidder that answers each request so.
async fn run_with(cases: &[(Value, Reply)], change: impl FnOnce(&mut CertifyArgs)) -> Report {
    let replies = cases
        .iter()
        .map(|(request, reply)| (request["id"].as_str().unwrap_or_default().to_owned(), reply.clone()));
    let address = bidder(replies.collect());
    let rows: Vec<_> = cases.iter().map(|(request, _)| request.clone()).collect();
    let (_folder, path) = file(&rows);
    let mut args = CertifyArgs::new(endpoint(address), path);
    change(&mut args);
    certify(&args, std::future::pending()).await.unwrap()
}

/// A request, a right answer's bid, and changes to the bid (by members of a JSON object, null takes a member away)
/// with the check that has to catch each.
struct Case {
    request: Value,
    bid: Value,
    mistakes: Vec<(Check, Value)>,
}

fn patched(object: &Value, patch: &Value) -> Value {
    let mut object = object.clone();
    for (name, value) in patch.as_object().unwrap() {
        if value.is_null() {
            object.as_object_mut().unwrap().remove(name);
        } else {
            object[name] = value.clone();
        }
    }
    object
}

const BANNER: &str =
    "<a href=\"https://c.example/?p=${AUCTION_PRICE:B64}\"><img src=\"https://i.example/1.png\"></a>";

fn banner_bid() -> Value {
    json!({"id": "b", "impid": "1", "price": 2.5, "adomain": ["shop.example"], "crid": "c", "mtype": 1, "w": 300,
        "h": 250, "cat": ["IAB18"], "adm": BANNER, "nurl": "https://n.example/?p=${AUCTION_PRICE}",
        "lurl": "https://n.example/?l=${AUCTION_LOSS}&m=${AUCTION_MIN_TO_WIN}"})
}

fn vast(version: &str, more: &str) -> String {
    format!(
        "<VAST version=\"{version}\"><Ad id=\"1\"><InLine><AdSystem>s</AdSystem><AdTitle>t</AdTitle>\
         <AdServingId>a</AdServingId><Impression><![CDATA[https://i.example/?p=${{AUCTION_PRICE}}]]></Impression>{more}\
         <Creatives><Creative id=\"c\"><UniversalAdId idRegistry=\"unknown\">u</UniversalAdId><Linear>\
         <Duration>00:00:15</Duration><MediaFiles><MediaFile delivery=\"progressive\" type=\"video/mp4\" width=\"640\" \
         height=\"360\">https://m.example/a.mp4</MediaFile></MediaFiles></Linear></Creative></Creatives></InLine></Ad></VAST>"
    )
}

fn video_bid() -> Value {
    json!({"id": "b", "impid": "1", "price": 2.5, "adomain": ["shop.example"], "crid": "c", "mtype": 2, "dur": 15,
        "adm": vast("4.2", "")})
}

fn audio_vast() -> String {
    vast("3.0", "").replace("video/mp4\" width=\"640\" height=\"360\"", "audio/mpeg\"")
}

fn daast() -> String {
    "<DAAST version=\"1.0\"><Ad id=\"1\"><InLine><AdTitle>t</AdTitle><Category>IAB8</Category>\
     <Impression>https://i.example</Impression><Creatives><Creative><Linear><Duration>00:00:15</Duration><MediaFiles>\
     <MediaFile id=\"1\" delivery=\"progressive\" type=\"audio/mpeg\">https://m.example/a.mp3</MediaFile></MediaFiles>\
     <AdInteractions><ClickThrough>https://c.example</ClickThrough></AdInteractions></Linear></Creative></Creatives>\
     </InLine></Ad></DAAST>"
        .to_owned()
}

fn native_bid() -> Value {
    let adm = json!({"native": {"assets": [{"id": 1, "title": {"text": "Boots"}},
        {"id": 2, "img": {"url": "https://i.example/1.png", "w": 120, "h": 60}}], "link": {"url": "https://c.example"},
        "eventtrackers": [{"event": 1, "method": 1, "url": "https://t.example"}]}});
    json!({"id": "b", "impid": "1", "price": 2.5, "adomain": ["shop.example"], "crid": "c", "mtype": 4,
        "adm": adm.to_string()})
}

fn native_adm(change: impl FnOnce(&mut Value)) -> Value {
    let mut adm: Value = serde_json::from_str(native_bid()["adm"].as_str().unwrap()).unwrap();
    change(&mut adm["native"]);
    json!({"adm": adm.to_string()})
}

fn request(imp: Value, more: Value) -> Value {
    let imp = patched(&json!({"id": "1"}), &imp);
    patched(&json!({"imp": [imp], "site": {"domain": "news.example"}}), &more)
}

fn banner_cases() -> Vec<Case> {
    let banner = json!({"format": [{"w": 300, "h": 250}, {"w": 728, "h": 90}]});
    let case = |request: Value, mistakes: Vec<(Check, Value)>| Case { request, bid: banner_bid(), mistakes };
    vec![
        case(
            request(json!({"banner": banner, "bidfloor": 1}), json!({"cur": ["USD"]})),
            vec![
                (Check::Schema, json!({"id": null})),
                (Check::Schema, json!({"id": 5})),
                (Check::Schema, json!({"price": "2.5"})),
                (Check::Schema, json!({"adomain": "shop.example"})),
                (Check::Schema, json!({"mtype": "1"})),
                (Check::Imp, json!({"impid": "2"})),
                (Check::Price, json!({"price": 0})),
                (Check::Price, json!({"price": -3})),
                (Check::Floor, json!({"price": 0.999_999})),
                (Check::Deal, json!({"dealid": "d"})),
                (Check::Advertiser, json!({"adomain": null})),
                (Check::Advertiser, json!({"adomain": ["https://shop.example/"]})),
                (Check::Advertiser, json!({"crid": null})),
                (Check::Format, json!({"mtype": 2})),
                (Check::Format, json!({"mtype": 4})),
                (Check::Size, json!({"w": 320, "h": 50})),
                (Check::Size, json!({"w": null, "h": null})),
                (Check::Markup, json!({"adm": null, "nurl": null})),
                (Check::Markup, json!({"adm": "buy now"})),
                (
                    Check::Markup,
                    json!({"adm": "<a href=\"https://c.example\"><img src=\"https://i.example></a>"}),
                ),
                (Check::Markup, json!({"adm": "<img src=\"/1.png\">"})),
                (
                    Check::Api,
                    json!({"adm": "<script src=\"mraid.js\"></script><img src=\"https://i.example\">"}),
                ),
                (Check::Api, json!({"apis": [7]})),
                (Check::Macros, json!({"nurl": "https://n.example/?p=${AUCTION_PRIZE}"})),
                (Check::Macros, json!({"adm": "<img src=\"https://i.example/?p=${AUCTION_PRICE\">"})),
                (Check::Macros, json!({"burl": "https://n.example/?l=${AUCTION_LOSS}"})),
                (Check::Notices, json!({"lurl": "n.example/loss"})),
            ],
        ),
        case(
            request(
                json!({"banner": {"w": 300, "h": 250, "battr": [1, 3], "btype": [3, 4]}, "secure": 1}),
                json!({"bcat": ["IAB7"], "badv": ["ford.example"], "bapp": ["com.foo.game"]}),
            ),
            vec![
                (Check::Category, json!({"cat": ["IAB7-3"]})),
                (Check::Category, json!({"cat": ["IAB18", "iab7"]})),
                (Check::Advertiser, json!({"adomain": ["Ford.example"]})),
                (Check::Advertiser, json!({"adomain": ["shop.example", "cars.ford.example"]})),
                (Check::App, json!({"bundle": "com.foo.game"})),
                (Check::Attribute, json!({"attr": [3]})),
                (Check::Btype, json!({"adm": "<script src=\"https://s.example\"></script>"})),
                (Check::Btype, json!({"adm": "<iframe src=\"https://s.example\"></iframe>"})),
                (Check::Secure, json!({"adm": "<img src=\"http://i.example/1.png\">"})),
            ],
        ),
        case(
            request(json!({"banner": banner}), json!({"acat": ["IAB18"], "wseat": ["one"]})),
            vec![(Check::Category, json!({"cat": ["IAB7"]})), (Check::Category, json!({"cat": null}))],
        ),
        Case {
            request: request(
                json!({"banner": {"format": [{"wratio": 6, "hratio": 5, "wmin": 200}]}}),
                json!({}),
            ),
            bid: banner_bid(),
            mistakes: vec![
                (Check::Size, json!({"w": 180, "h": 150})),
                (Check::Size, json!({"w": 300, "h": 300})),
                (Check::Size, json!({"w": null, "h": null, "wratio": 1, "hratio": 1})),
            ],
        },
        Case {
            request: request(json!({"banner": {}, "instl": 1}), json!({"device": {"w": 320, "h": 480}})),
            bid: banner_bid(),
            mistakes: vec![(Check::Size, json!({"w": 640, "h": 480}))],
        },
        Case {
            request: request(
                json!({"banner": banner, "bidfloor": 9, "pmp": {"private_auction": 1, "deals": [
                    {"id": "d", "bidfloor": 2, "wseat": ["one"], "wadomain": ["shop.example"]},
                    {"id": "fixed", "bidfloor": "2.25", "at": 3}, {"id": "other", "wseat": ["two"]},
                    {"id": "advertiser", "wadomain": ["else.example"]}]}}),
                json!({}),
            ),
            bid: patched(&banner_bid(), &json!({"dealid": "d"})),
            mistakes: vec![
                (Check::Deal, json!({"dealid": null, "price": 10})),
                (Check::Deal, json!({"dealid": "unknown", "price": 10})),
                (Check::Deal, json!({"dealid": "other", "price": 10})),
                (Check::Deal, json!({"dealid": "advertiser", "price": 10})),
                (Check::Floor, json!({"price": 1.5})),
                (Check::Price, json!({"dealid": "fixed", "price": 3})),
            ],
        },
    ]
}

fn timed_cases() -> Vec<Case> {
    let video = json!({"mimes": ["video/mp4"], "protocols": [13, 14], "minduration": 10, "maxduration": 20, "w": 640,
        "h": 360, "linearity": 1, "battr": [5]});
    let wrapper = "<VAST version=\"4.2\"><Ad><Wrapper><AdSystem>s</AdSystem><Impression>https://i.example</Impression>\
                   <VASTAdTagURI>https://w.example</VASTAdTagURI></Wrapper></Ad></VAST>";
    let omid = "<AdVerifications><Verification vendor=\"v\"><JavaScriptResource apiFramework=\"omid\" browserOptional=\"true\">\
                https://o.example/o.js</JavaScriptResource></Verification></AdVerifications>";
    let adm = |from: &str, to: &str| json!({"adm": vast("4.2", "").replace(from, to)});
    let seconds = |duration: &str| adm("00:00:15", duration);
    let dynamic = json!({"mimes": ["video/mp4"], "poddur": 40, "maxseq": 2, "slotinpod": 1, "podid": "p"});
    vec![
        Case {
            request: request(json!({"video": video, "secure": 1}), json!({})),
            bid: video_bid(),
            mistakes: vec![
                (Check::Format, json!({"mtype": 3})),
                (Check::Format, json!({"adm": BANNER, "mtype": null})),
                (Check::Attribute, json!({"attr": [5]})),
                (Check::Size, json!({"w": 1280, "h": 360})),
                (Check::Size, adm("height=\"360\"", "height=\"361\"")),
                (Check::Duration, json!({"dur": 30, "adm": seconds("00:00:30")["adm"]})),
                (Check::Duration, json!({"dur": 5, "adm": seconds("00:00:05")["adm"]})),
                (Check::Duration, json!({"dur": 12})),
                (Check::Duration, json!({"dur": null, "adm": seconds("00:00:25")["adm"]})),
                (Check::Mimes, adm("video/mp4", "video/webm")),
                (Check::Protocol, json!({"adm": vast("3.0", "")})),
                (Check::Protocol, json!({"protocol": 3})),
                (Check::Protocol, json!({"adm": vast("9.0", "")})),
                (Check::Api, json!({"adm": vast("4.2", omid)})),
                (Check::Api, adm("type=\"video/mp4\"", "type=\"video/mp4\" apiFramework=\"VPAID\"")),
                (Check::Markup, json!({"adm": "<VAST version=\"4.2\"><Ad>"})),
                (Check::Markup, adm("https://m.example/a.mp4", "a.mp4")),
                (Check::Vast, adm("<AdTitle>t</AdTitle>", "")),
                (Check::Vast, json!({"adm": "<VAST version=\"4.2\"></VAST>"})),
                (Check::Vast, adm("Linear>", "NonLinearAds>")),
                (Check::Secure, adm("https://m.example", "http://m.example")),
                (Check::Macros, adm("${AUCTION_PRICE}", "${AUCTION_PRISE}")),
            ],
        },
        Case {
            request: request(json!({"video": patched(&video, &json!({"api": [7]}))}), json!({})),
            bid: patched(&video_bid(), &json!({"adm": vast("4.2", omid)})),
            mistakes: vec![],
        },
        Case {
            request: request(json!({"video": patched(&video, &json!({"protocols": [14]}))}), json!({})),
            bid: patched(&video_bid(), &json!({"adm": wrapper})),
            mistakes: vec![
                (Check::Protocol, json!({"adm": vast("4.2", "")})),
                (Check::Vast, json!({"adm": wrapper.replace("VASTAdTagURI", "Tag")})),
            ],
        },
        Case {
            request: request(
                json!({"bidfloor": 0.5, "video": {"mimes": ["video/mp4"], "rqddurs": [15, 30],
                    "durfloors": [{"maxdur": 15, "bidfloor": 2}, {"mindur": 16, "bidfloor": 4}]}}),
                json!({}),
            ),
            bid: video_bid(),
            mistakes: vec![
                (Check::Duration, json!({"dur": 20, "price": 5, "adm": seconds("00:00:20")["adm"]})),
                (Check::Floor, json!({"dur": 30, "adm": seconds("00:00:30")["adm"]})),
                (Check::Floor, json!({"price": 1.99})),
            ],
        },
        Case {
            request: request(json!({"video": patched(&dynamic, &json!({"mincpmpersec": 0.1}))}), json!({})),
            bid: patched(&video_bid(), &json!({"slotinpod": 1})),
            mistakes: vec![
                (Check::Floor, json!({"price": 1.49})),
                (Check::Pod, json!({"slotinpod": -1})),
                (Check::Pod, json!({"dur": 41, "price": 9, "adm": seconds("00:00:41")["adm"]})),
                (Check::Duration, json!({"dur": null, "adm": wrapper, "price": 9})),
            ],
        },
        Case {
            request: request(
                json!({"audio": {"mimes": ["audio/mpeg"], "maxduration": 30, "protocols": [3]}}),
                json!({}),
            ),
            bid: patched(&video_bid(), &json!({"mtype": 3, "adm": audio_vast()})),
            mistakes: vec![
                (Check::Protocol, json!({"adm": daast()})),
                (Check::Mimes, json!({"adm": audio_vast().replace("audio/mpeg", "audio/ogg")})),
                (Check::Duration, json!({"dur": 45, "adm": audio_vast().replace("00:00:15", "00:00:45")})),
                (Check::Format, json!({"mtype": 2})),
            ],
        },
        Case {
            request: request(
                json!({"audio": {"mimes": "audio/mpeg", "protocols": [9, 10]}, "video": {"mimes": ["audio/mpeg"]}}),
                json!({}),
            ),
            bid: patched(&video_bid(), &json!({"mtype": 3, "protocol": 9, "adm": daast()})),
            mistakes: vec![
                (Check::Protocol, json!({"adm": audio_vast(), "protocol": null})),
                (Check::Protocol, json!({"protocol": 10})),
                (Check::Protocol, json!({"adm": daast().replace("\"1.0\"", "\"3.0\"")})),
                (Check::Vast, json!({"adm": daast().replace("Category>", "Description>")})),
                (Check::Vast, json!({"adm": daast().replace("AdInteractions>", "VideoClicks>")})),
                (Check::Duration, json!({"adm": daast().replace("00:00:15", "00:00:25")})),
                (Check::Mimes, json!({"adm": daast().replace("audio/mpeg", "audio/ogg")})),
                (
                    Check::Markup,
                    json!({"adm": daast().replace("DAAST", "VMAP").replace("<VMAP", "<?xml version=\"1.0\"?><VMAP")}),
                ),
                (Check::Format, json!({"mtype": 2, "protocol": null})),
            ],
        },
    ]
}

fn native_cases() -> Vec<Case> {
    let asked = json!({"ver": "1.2", "eventtrackers": [{"event": 1, "methods": [1]}], "assets": [
        {"id": 1, "required": 1, "title": {"len": 20}}, {"id": 2, "required": 1, "img": {"wmin": 100, "hmin": 50}}]});
    let mistakes = vec![
        (Check::Markup, json!({"adm": "{\"native\":"})),
        (
            Check::Native,
            native_adm(|native| native["assets"] = json!([{"id": 1, "title": {"text": "Boots"}}])),
        ),
        (
            Check::Native,
            native_adm(|native| native["assets"][0]["title"]["text"] = "Boots ".repeat(9).into()),
        ),
        (Check::Native, native_adm(|native| native["assets"][1]["img"]["w"] = 50.into())),
        (Check::Native, native_adm(|native| native["assets"][1]["id"] = 7.into())),
        (Check::Native, native_adm(|native| native["link"] = json!({}))),
        (Check::Native, native_adm(|native| native["eventtrackers"][0]["method"] = 2.into())),
        (Check::Markup, native_adm(|native| native["link"]["url"] = "app://shop".into())),
        (Check::Secure, native_adm(|native| native["assets"][1]["img"]["url"] = "http://i.example".into())),
        (Check::Format, json!({"mtype": 1})),
    ];
    let imp = |asked: Value| json!({"native": {"request": asked}, "secure": 1});
    vec![
        Case { request: request(imp(asked.to_string().into()), json!({})), bid: native_bid(), mistakes },
        Case {
            request: request(json!({"native": {"request_native": asked}}), json!({})),
            bid: native_bid(),
            mistakes: vec![(Check::Native, native_adm(|native| native["assets"][1]["id"] = 7.into()))],
        },
        Case { request: request(imp(asked), json!({})), bid: native_bid(), mistakes: vec![] },
    ]
}

#[actix_web::test]
async fn every_planted_mistake_is_caught_by_its_check_and_right_answers_pass() {
    let mut sent = Vec::new();
    let mut expected = BTreeMap::<usize, (Check, Value)>::new();
    let mut good = 0;
    for case in [banner_cases(), timed_cases(), native_cases()].into_iter().flatten() {
        let right = std::iter::once((None, case.bid.clone()));
        let wrong = case
            .mistakes
            .into_iter()
            .map(|(check, patch)| (Some((check, patch.clone())), patched(&case.bid, &patch)));
        for (mistake, bid) in right.chain(wrong) {
            let id = format!("request-{}", sent.len());
            let request = patched(&case.request, &json!({"id": id}));
            let response = json!({"id": id, "seatbid": [{"seat": "one", "bid": [bid]}]});
            sent.push((request, Reply::json(&response)));
            match mistake {
                Some(mistake) => {
                    expected.insert(sent.len(), mistake);
                }
                None => good += 1,
            }
        }
    }
    let report = run_with(&sent, |args| args.concurrency = 4).await;
    assert_eq!((report.requests, report.complete), (sent.len() as u64, true));
    assert_eq!(report.status, BTreeMap::from([(200, sent.len() as u64)]));
    assert_eq!(report.bids, sent.len() as u64);
    let mut found = BTreeMap::<usize, BTreeSet<&str>>::new();
    for failure in &report.failures {
        found.entry(failure.place.line).or_default().insert(failure.check.as_str());
    }
    for line in 1..=sent.len() {
        let checks = found.get(&line).cloned().unwrap_or_default();
        let (request, reply) = &sent[line - 1];
        match expected.get(&line) {
            None => assert_eq!(checks, BTreeSet::new(), "{request} {}: {:?}", reply.body, report.failures),
            Some((check, patch)) => {
                assert!(
                    checks.contains(check.as_str()),
                    "{} was to catch {patch}, found {checks:?}",
                    check.as_str()
                );
            }
        }
    }
    assert!(good >= 14 && expected.len() > 80);
    assert!(report.bids_by_format.banner > 0 && report.bids_by_format.audio > 0);
    assert!(!report.passed());
}

/// Whole answers: status, headers, and what all bids of one come to.
#[actix_web::test]
async fn answers_as_a_whole_are_checked() {
    let imp = json!({"banner": {"w": 300, "h": 250}});
    let pod = json!({"video": {"mimes": ["video/mp4"], "poddur": 40, "maxseq": 2}});
    let bid = |id: &str| patched(&banner_bid(), &json!({"id": id}));
    let spot = |id: &str| patched(&video_bid(), &json!({"id": id}));
    let bids = |bids: &[Value]| json!({"seatbid": [{"seat": "one", "bid": bids}]});
    let reply = |status, content_type, body: &str| Reply { content_type, ..Reply::status(status, body) };
    let cases: Vec<(Value, Result<Value, Reply>, Option<Check>)> = vec![
        (request(imp.clone(), json!({})), Ok(bids(&[bid("a")])), None),
        (request(imp.clone(), json!({})), Ok(json!({"nbr": 2})), None),
        (request(imp.clone(), json!({})), Err(Reply::status(204, "")), None),
        (request(imp.clone(), json!({})), Ok(json!({})), Some(Check::Schema)),
        (request(imp.clone(), json!({})), Ok(json!({"id": "another", "nbr": 2})), Some(Check::Schema)),
        (request(imp.clone(), json!({})), Err(Reply::status(400, "no")), Some(Check::Status)),
        (request(imp.clone(), json!({})), Err(Reply::status(500, "")), Some(Check::Status)),
        (request(imp.clone(), json!({})), Err(reply(200, "text/html", "{}")), Some(Check::Status)),
        (request(imp.clone(), json!({})), Err(Reply::status(200, "")), Some(Check::Schema)),
        (request(imp.clone(), json!({})), Err(Reply::status(200, "[]")), Some(Check::Schema)),
        (request(imp.clone(), json!({})), Ok(bids(&[bid("a"), bid("a")])), Some(Check::Schema)),
        (request(imp.clone(), json!({})), Ok(bids(&[bid("a"), bid("b")])), Some(Check::Imp)),
        (request(pod.clone(), json!({})), Ok(bids(&[spot("a"), spot("b")])), None),
        (request(pod.clone(), json!({})), Ok(bids(&[spot("a"), spot("b"), spot("c")])), Some(Check::Pod)),
        (request(imp.clone(), json!({"cur": ["EUR"]})), Ok(bids(&[bid("a")])), Some(Check::Currency)),
        (request(imp.clone(), json!({"wseat": ["two"]})), Ok(bids(&[bid("a")])), Some(Check::Seat)),
        (request(imp.clone(), json!({"bseat": ["one"]})), Ok(bids(&[bid("a")])), Some(Check::Seat)),
        (request(imp.clone(), json!({"wseat": ["one"]})), Ok(bids(&[bid("a")])), None),
        // Flawed imps of valid rows get no bid, and are answered nevertheless.
        (request(json!({"banner": {"w": 300}}), json!({})), Ok(bids(&[bid("a")])), Some(Check::Flaw)),
        (request(imp.clone(), json!({"app": {}})), Ok(bids(&[bid("a")])), Some(Check::Flaw)),
        (request(imp.clone(), json!({"app": {}})), Err(Reply::status(400, "")), Some(Check::Status)),
        (request(imp.clone(), json!({"app": {}})), Err(Reply::status(204, "")), None),
        (request(json!({"banner": {"w": 300}}), json!({})), Err(Reply::status(400, "")), Some(Check::Status)),
        // Privacy.
        (
            request(imp.clone(), json!({"regs": {"coppa": 1}, "user": {"id": "someone-123"}})),
            Ok(bids(&[patched(&bid("a"), &json!({"burl": "https://n.example/?u=someone-123"}))])),
            Some(Check::Privacy),
        ),
        (
            request(imp.clone(), json!({"user": {"id": "someone-123"}})),
            Ok(bids(&[patched(&bid("a"), &json!({"burl": "https://n.example/?u=someone-123"}))])),
            None,
        ),
        (request(imp, json!({"device": {"dnt": 1, "ifa": "0a0b0c0d-1111"}})), Ok(bids(&[bid("a")])), None),
    ];
    let mut sent = Vec::new();
    for (index, (request, answer, _)) in cases.iter().enumerate() {
        let id = format!("whole-{index}");
        let reply = match answer {
            Ok(body) if body.get("id").is_some() => Reply::json(body),
            Ok(body) => Reply::json(&patched(body, &json!({"id": id}))),
            Err(reply) => reply.clone(),
        };
        sent.push((patched(request, &json!({"id": id})), reply));
    }
    let report = run_with(&sent, |_| ()).await;
    for (index, (request, answer, check)) in cases.iter().enumerate() {
        let found: BTreeSet<_> = report
            .failures
            .iter()
            .filter(|failure| failure.place.line == index + 1)
            .map(|failure| failure.check)
            .collect();
        match check {
            None => assert_eq!(found, BTreeSet::new(), "{request} {answer:?} {:?}", report.failures),
            Some(check) => assert!(found.contains(check), "{request} {answer:?}: {found:?}"),
        }
    }
}

#[actix_web::test]
async fn an_answer_that_is_no_http_fails_and_the_run_goes_on() {
    // Written by hand; it closes its connections, too.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        for answer in [
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}",
            "oops\r\n\r\n",
        ] {
            let (mut stream, _) = listener.accept().unwrap();
            let mut bytes = [0; 4096];
            let _ = stream.read(&mut bytes).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    let row = json!({"id": "1", "imp": [{"id": "1", "banner": {"w": 1, "h": 1}}]});
    let (_folder, path) = file(&[row.clone(), row]);
    let mut args = CertifyArgs::new(endpoint(address), path);
    args.timeout = 2_000;
    let report = certify(&args, std::future::pending()).await.unwrap();
    server.join().unwrap();
    assert!(report.complete);
    assert_eq!(
        report.failures.iter().map(|failure| failure.place.line).collect::<BTreeSet<_>>(),
        BTreeSet::from([1, 2])
    );
    let last = report.failures.last().unwrap();
    assert!(last.check == Check::Status && last.detail.starts_with("no answer"), "{last:?}");
}

#[actix_web::test]
async fn floors_in_another_currency_are_checked_with_rates_alone() {
    let folder = tempfile::tempdir().unwrap();
    let rates = folder.path().join("rates.toml");
    std::fs::write(&rates, "[rates]\nEUR = \"1.25\"\n").unwrap();
    let request = request(
        json!({"banner": {"w": 300, "h": 250}, "bidfloor": 2.01, "bidfloorcur": "EUR"}),
        json!({"id": "r"}),
    );
    let response = json!({"id": "r", "seatbid": [{"bid": [banner_bid()]}]});
    let cases = [(request, Reply::json(&response))];
    let without = run_with(&cases, |_| ()).await;
    assert!(without.passed());
    assert_eq!(without.checks["floor"].not_applicable, 1);
    let with = run_with(&cases, |args| args.rates = Some(rates)).await;
    assert_eq!(with.failures.iter().map(|failure| failure.check).collect::<Vec<_>>(), [Check::Floor]);
}

#[actix_web::test]
async fn late_answers_are_warned_of_and_failed_on_demand() {
    let request = request(json!({"banner": {"w": 300, "h": 250}}), json!({"id": "r", "tmax": 5}));
    let reply = Reply { after: Duration::from_millis(50), ..Reply::json(&json!({"id": "r", "nbr": 2})) };
    let quick = patched(&request, &json!({"id": "q", "tmax": 60_000}));
    let cases = [(request, reply), (quick, Reply::json(&json!({"id": "q", "nbr": 2})))];
    let report = run_with(&cases, |_| ()).await;
    assert!(report.passed());
    assert_eq!(
        report.warnings.iter().map(|warning| (warning.place.line, warning.check)).collect::<Vec<_>>(),
        [(1, Check::Latency)]
    );
    let report = run_with(&cases, |args| args.enforce_tmax = true).await;
    assert_eq!(
        report.failures.iter().map(|failure| (failure.place.line, failure.check)).collect::<Vec<_>>(),
        [(1, Check::Latency)]
    );
    assert!(report.latency_ms.max >= 50.0);
}

#[actix_web::test]
async fn invalid_rows_are_refused_or_get_no_bid_on_what_is_flawed() {
    let flawed = json!({"id": "flawed", "imp": [{"id": "1", "banner": {"h": 250}}, {"id": "2", "banner": {"w": 300, "h": 250}}]});
    let mut other = banner_bid();
    other["impid"] = "2".into();
    let rows = [
        json!({"request": patched(&flawed, &json!({"id": "refused"})), "violation": "no width", "source": "s"}),
        json!({"request": patched(&flawed, &json!({"id": "other-imp"}))}),
        json!({"request": patched(&flawed, &json!({"id": "bid"}))}),
        json!({"request": patched(&flawed, &json!({"id": "odd"}))}),
        json!({"request": "{\"id\":", "source": "no JSON"}),
        json!({"request": {"id": "strict", "imp": [{"id": "1", "banner": {"w": 300, "h": 250}}], "ext": {"prebid": {}}}}),
    ];
    let answered =
        |id: &str, bid: Value| (id.to_owned(), Reply::json(&json!({"id": id, "seatbid": [{"bid": [bid]}]})));
    let replies = BTreeMap::from([
        ("valid".to_owned(), Reply::status(204, "")),
        ("refused".to_owned(), Reply::status(400, "no width")),
        answered("other-imp", other),
        answered("bid", banner_bid()),
        ("odd".to_owned(), Reply::status(500, "")),
        ("strict".to_owned(), Reply::status(400, "")),
    ]);
    let (_valid, valid) = file(&[json!({"id": "valid", "imp": [{"id": "1", "banner": {"w": 1, "h": 1}}]})]);
    let (_invalid, invalid) = file(&rows);
    for gzip in [false, true] {
        let mut args = CertifyArgs::new(endpoint(bidder(replies.clone())), &valid);
        args.invalid = Some(invalid.clone());
        args.gzip = gzip;
        let report = certify(&args, std::future::pending()).await.unwrap();
        let found: Vec<_> =
            report.failures.iter().map(|failure| (failure.place.line, failure.check)).collect();
        assert_eq!(
            found,
            [(3, Check::Flaw), (4, Check::Status), (6, Check::Status)],
            "{:?}",
            report.failures
        );
        assert!(report.failures.iter().all(|failure| failure.place.file == "invalid"));
        let stricter: Vec<_> = report.stricter_than_specification.iter().map(|place| place.line).collect();
        assert_eq!(stricter, [6]);
        assert_eq!(report.requests, 7);
    }
}

#[actix_web::test]
async fn a_run_that_is_stopped_reports_what_is_done() {
    // The sixth request is answered only after the run was told to stop, and still counts.
    let (asked, stopped) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let shared = web::Data::new((AtomicUsize::new(0), Arc::clone(&asked), Arc::clone(&stopped)));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answer = async |shared: web::Data<(AtomicUsize, Arc<Notify>, Arc<Notify>)>| {
        let (count, asked, stopped) = &**shared;
        if count.fetch_add(1, Ordering::SeqCst) == 5 {
            asked.notify_one();
            stopped.notified().await;
        }
        HttpResponse::NoContent().finish()
    };
    let server =
        HttpServer::new(move || App::new().app_data(shared.clone()).default_service(web::to(answer)));
    actix_web::rt::spawn(server.workers(1).listen(listener).unwrap().run());
    let row = request(json!({"banner": {"w": 1, "h": 1}}), json!({"id": "r"}));
    let (_folder, path) = file(&vec![row; 50]);
    let args = CertifyArgs::new(endpoint(address), path);
    let stop = async {
        asked.notified().await;
        stopped.notify_one();
    };
    let report = certify(&args, stop).await.unwrap();
    assert_eq!((report.requests, report.complete, report.passed()), (6, false, false));
    assert!(report.failures.is_empty());
}

#[actix_web::test]
async fn what_cannot_be_used_is_said_before_anything_is_sent() {
    let never = Rc::new(TcpListener::bind("127.0.0.1:0").unwrap());
    let url = endpoint(never.local_addr().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let bad = folder.path().join("bad.jsonl");
    std::fs::write(&bad, "{\"id\":\"1\"}\n[]\nnonsense\n").unwrap();
    let run = |args: CertifyArgs| async move { certify(&args, std::future::pending()).await.unwrap_err() };
    let error = run(CertifyArgs::new(&url, &bad)).await;
    assert_eq!(error.exit, Exit::InputUnusable);
    assert!(error.message.contains("bad.jsonl:2: ") && error.message.contains("bad.jsonl:3: "), "{error}");
    let error = run(CertifyArgs::new(&url, folder.path().join("none"))).await;
    assert_eq!(error.exit, Exit::InputUnusable);
    std::fs::write(&bad, "{\"id\":\"1\",\"imp\":[]}").unwrap();
    for wrong in ["127.0.0.1:1", "ftp://h/x", "https://bidder.example/bid", "http://"] {
        assert_eq!(run(CertifyArgs::new(wrong, &bad)).await.exit, Exit::Usage, "{wrong}");
    }
    let mut with_rates = CertifyArgs::new(&url, &bad);
    with_rates.rates = Some(bad.clone());
    assert_eq!(run(with_rates).await.exit, Exit::InputUnusable);
    never.set_nonblocking(true).unwrap();
    assert!(never.accept().is_err(), "something was sent");
    drop(never);
    let error = run(CertifyArgs::new(&url, &bad)).await;
    assert_eq!(error.exit, Exit::EndpointUnreachable, "{error}");
}

/// The program: the table or the JSON on standard output, and its exit code.
#[actix_web::test]
async fn the_program_prints_and_exits() {
    let good = request(json!({"banner": {"w": 300, "h": 250}}), json!({"id": "good"}));
    let bad = patched(&good, &json!({"id": "bad"}));
    let replies = BTreeMap::from([
        ("good".to_owned(), Reply::json(&json!({"id": "good", "seatbid": [{"bid": [banner_bid()]}]}))),
        (
            "bad".to_owned(),
            Reply::json(
                &json!({"id": "bad", "seatbid": [{"bid": [patched(&banner_bid(), &json!({"w": 1}))]}]}),
            ),
        ),
    ]);
    let url = endpoint(bidder(replies));
    let run = async |rows: &[Value], more: &[&str]| {
        let (_folder, path) = file(rows);
        let mut command = Command::new(env!("CARGO_BIN_EXE_haggle"));
        command.args(["certify", "--endpoint", &url, "--requests"]).arg(path).args(more);
        command.stdin(Stdio::null()).current_dir(_folder.path());
        let output = web::block(move || command.output()).await.unwrap().unwrap();
        (
            output.status.code().unwrap(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (code, table, _) = run(std::slice::from_ref(&good), &[]).await;
    assert_eq!(code, 0, "{table}");
    assert!(table.contains("check") && table.contains("1 requests (200: 1), 1 bids: 1 banner"), "{table}");
    let (code, table, message) = run(&[good.clone(), json!({"request": bad, "source": "here"})], &[]).await;
    assert_eq!(code, 1);
    assert!(table.contains("requests:2 (here): size: "), "{table}");
    assert_eq!(message, "haggle: 1 failures\n");
    let (code, json, _) = run(&[good, bad], &["--json"]).await;
    assert_eq!(code, 1);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&json["requests"], &json["status"], &json["bids"]),
        (&json!(2), &json!({"200": 2}), &json!(2))
    );
    assert_eq!(json["bids_by_format"], json!({"banner": 2, "video": 0, "audio": 0, "native": 0}));
    let failure = &json["failures"][0];
    assert_eq!((&failure["line"], &failure["check"]), (&json!(2), &json!("size")));
    assert!(failure["detail"].as_str().unwrap().contains("1x250"));
    let (code, out, message) = run(&[json!([])], &[]).await;
    assert_eq!((code, out.as_str()), (66, ""));
    assert!(message.contains("rows.jsonl:1: "), "{message}");
}

/// The flaws of the recorded bodies, decided by the specification; the table in docs/certify.md explains them.
#[test]
fn recorded_bodies_have_the_flaws_that_the_documentation_names() {
    let folder = std::env::var_os("HAGGLE_TEST_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"), PathBuf::from);
    let Ok(text) = std::fs::read_to_string(folder.join("openrtb/invalid.jsonl")) else {
        println!("skipped: no openrtb/invalid.jsonl in {}; set HAGGLE_TEST_DATA", folder.display());
        return;
    };
    let flawed: BTreeSet<String> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|row| Flaws::of(&row["request"]).any())
        .map(|row| {
            row["source"].as_str().unwrap().rsplit('/').next().unwrap().trim_end_matches(".json").to_owned()
        })
        .collect();
    let expected = [
        "banner-h-only",
        "banner-hmax",
        "banner-hmin",
        "banner-no-size",
        "banner-w-only",
        "banner-wmax",
        "banner-wmin",
        "format-empty-array",
        "interstitial-empty",
        "metric-empty-object",
        "regs-ext-malformed",
    ];
    assert_eq!(flawed, expected.map(str::to_owned).into());
}
