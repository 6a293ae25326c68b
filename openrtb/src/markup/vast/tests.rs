//! Each version against the order of elements in its schema, and exact documents.

use super::*;
use crate::markup::test_support::{read, verification};
use haggle_domain::{MediaFile, Tag};
use proptest::prelude::*;
use roxmltree::{Document, Node};

const TEMPLATES: [Template; 6] =
    [Template::Vast2, Template::Vast3, Template::Daast, Template::Vast40, Template::Vast41, Template::Vast42];

fn player() -> StreamSlot {
    StreamSlot {
        mimes: ["video/mp4", "audio/mp3", "application/x-mpegURL"].map(Tag::of).into_iter().collect(),
        longest: u32::MAX,
        most_bitrate: u32::MAX,
        size: Size { width: 640, height: 480 },
        ..StreamSlot::default()
    }
}

fn speaker() -> StreamSlot {
    StreamSlot { audio: true, ..player() }
}

fn file(url: &str, mime: &str, size: Size, bitrate: u32) -> MediaFile {
    MediaFile { url: url.to_owned(), mime: mime.to_owned(), size, bitrate }
}

fn film() -> Stream {
    let size = Size { width: 640, height: 360 };
    Stream {
        duration: 3_661,
        skip_after: Some(5),
        media: Media::Files(vec![
            file("https://cdn.test/a.mp4?a=1&b=2", "video/mp4", size, 800),
            file("https://cdn.test/large.mp4", "video/mp4", Size { width: 1280, height: 720 }, 0),
            file("https://cdn.test/a.m3u8", "application/x-mpegURL", size, 0),
        ]),
    }
}

fn sound() -> Stream {
    let media = Media::Files(vec![file("https://cdn.test/a.mp3", "audio/mpeg", Size::default(), 128)]);
    Stream { duration: 30, skip_after: None, media }
}

fn wrapped() -> Stream {
    let media = Media::Wrapper {
        tag: "https://vast.test/?a=1&b=2".to_owned(),
        mimes: vec!["video/mp4".to_owned()],
        size: Size { width: 640, height: 360 },
    };
    Stream { duration: 15, skip_after: None, media }
}

fn markup<'a>(slot: &'a StreamSlot, stream: &'a Stream) -> VastMarkup<'a> {
    VastMarkup {
        template: Template::Vast42,
        slot,
        stream,
        ad_id: "bid-1",
        creative_id: "film-1",
        title: "Tom's \"big\" <sale>",
        category: "IAB8-5",
        advertiser: "shop.test",
        click_url: "https://click.test/?a=1&b=2",
        impression_url: "https://track.test/i?p=${AUCTION_PRICE}",
        error_url: "https://track.test/e?code=[ERRORCODE]",
        verification: None,
    }
}

fn child<'a, 'x>(node: Node<'a, 'x>, name: &str) -> Node<'a, 'x> {
    let mut found = node.children().filter(|child| child.tag_name().name() == name);
    let child = found.next().unwrap_or_else(|| panic!("no {name} in {node:?}"));
    assert!(found.next().is_none(), "more than one {name}");
    child
}

fn at<'a, 'x>(node: Node<'a, 'x>, path: &str) -> Node<'a, 'x> {
    path.split('/').fold(node, child)
}

fn text(node: Node<'_, '_>, path: &str) -> String {
    at(node, path).descendants().filter(Node::is_text).filter_map(|node| node.text()).collect()
}

fn names<'a>(node: Node<'a, '_>) -> Vec<&'a str> {
    node.children().map(|child| child.tag_name().name()).collect()
}

/// What the schema of a template has in `InLine` or `Wrapper`, in its order, of what we send.
fn order(template: Template, wrapper: bool) -> &'static [&'static str] {
    use Template::{Daast, Vast2, Vast3, Vast40, Vast41, Vast42};
    match (template, wrapper) {
        (Vast2, false) => &["AdSystem", "AdTitle", "Error", "Impression", "Creatives", "Extensions"],
        (Vast3, false) => {
            &["AdSystem", "AdTitle", "Advertiser", "Error", "Impression", "Creatives", "Extensions"]
        }
        (Daast, false) => &[
            "AdSystem",
            "AdTitle",
            "Advertiser",
            "Category",
            "Error",
            "Impression",
            "Creatives",
            "Extensions",
        ],
        (Vast40, false) => {
            &["AdSystem", "Error", "Extensions", "Impression", "AdTitle", "Advertiser", "Creatives"]
        }
        (Vast41 | Vast42, false) => &[
            "AdSystem",
            "Error",
            "Impression",
            "AdServingId",
            "AdTitle",
            "AdVerifications",
            "Advertiser",
            "Creatives",
        ],
        (Vast2 | Vast3, true) => {
            &["AdSystem", "VASTAdTagURI", "Error", "Impression", "Creatives", "Extensions"]
        }
        (Daast, true) => &["AdSystem", "DAASTAdTagURI", "Error", "Impression", "Creatives", "Extensions"],
        (Vast40, true) => &["AdSystem", "Error", "Extensions", "Impression", "Creatives", "VASTAdTagURI"],
        (Vast41 | Vast42, true) => {
            &["AdSystem", "Error", "Impression", "AdVerifications", "Creatives", "VASTAdTagURI"]
        }
    }
}

#[test]
fn each_template_has_the_elements_of_its_schema_in_their_order() {
    let verification = verification();
    for template in TEMPLATES {
        for (stream, audio) in [(film(), false), (sound(), true), (wrapped(), false), (wrapped(), true)] {
            if template == Template::Daast && !audio {
                continue;
            }
            let verification = Some(&verification);
            let slot = StreamSlot { audio, ..player() };
            let markup = VastMarkup { template, verification, ..markup(&slot, &stream) };
            let xml = read(|out| markup.write(out));
            let document = Document::parse(&xml).unwrap();
            let root = document.root_element();
            assert_eq!(root.tag_name().name(), if template == Template::Daast { "DAAST" } else { "VAST" });
            assert_eq!(root.attribute("version"), Some(template.version()));
            let namespace = (template >= Template::Vast40).then_some("http://www.iab.com/VAST");
            assert_eq!(root.tag_name().namespace(), namespace);
            let ad = child(root, "Ad");
            assert_eq!(ad.attribute("id"), Some("bid-1"));
            assert_eq!(ad.attribute("adType"), (audio && template >= Template::Vast41).then_some("audio"));
            let wrapper = markup.is_wrapper();
            let body = child(ad, if wrapper { "Wrapper" } else { "InLine" });
            assert_eq!(names(body), order(template, wrapper), "{template:?} wrapper {wrapper}");
            assert_eq!(text(body, "Impression"), "https://track.test/i?p=${AUCTION_PRICE}");
            assert_eq!(text(body, "Error"), "https://track.test/e?code=[ERRORCODE]");
            let verifications = if template >= Template::Vast41 {
                child(body, "AdVerifications")
            } else {
                assert_eq!(at(body, "Extensions/Extension").attribute("type"), Some("AdVerifications"));
                at(body, "Extensions/Extension/AdVerifications")
            };
            assert_eq!(child(verifications, "Verification").attribute("vendor"), Some("vendor.test-omid"));
            assert_eq!(
                text(verifications, "Verification/JavaScriptResource"),
                "https://vendor.test/omid.js?a=1&b=2"
            );
            assert_eq!(text(verifications, "Verification/VerificationParameters"), r#"{"key":"]]>"}"#);
            if wrapper {
                let (tag, clicks) = match template {
                    Template::Daast => ("DAASTAdTagURI", "AdInteractions"),
                    _ => ("VASTAdTagURI", "VideoClicks"),
                };
                assert_eq!(text(body, tag), "https://vast.test/?a=1&b=2");
                let click = format!("Creatives/Creative/Linear/{clicks}/ClickTracking");
                assert_eq!(text(body, &click), "https://click.test/?a=1&b=2");
            }
        }
    }
}

#[test]
fn a_linear_ad_says_how_long_it_is_which_files_it_has_and_where_a_click_leads() {
    let (slot, stream) = (player(), film());
    for template in TEMPLATES.into_iter().filter(|&template| template != Template::Daast) {
        let xml = read(|out| VastMarkup { template, ..markup(&slot, &stream) }.write(out));
        let document = Document::parse(&xml).unwrap();
        let creative = at(document.root_element(), "Ad/InLine/Creatives/Creative");
        let linear = child(creative, "Linear");
        let skip = (template >= Template::Vast3).then_some("00:00:05");
        assert_eq!(linear.attribute("skipoffset"), skip, "2.0 does not know it");
        assert_eq!(text(linear, "Duration"), "01:01:01");
        assert_eq!(text(linear, "VideoClicks/ClickThrough"), "https://click.test/?a=1&b=2");
        if template < Template::Vast40 {
            assert_eq!(names(linear), ["Duration", "VideoClicks", "MediaFiles"]);
            assert_eq!(names(creative), ["Linear"]);
        } else {
            assert_eq!(names(linear), ["Duration", "MediaFiles", "VideoClicks"]);
            assert_eq!(names(creative), ["Linear", "UniversalAdId"]);
            let id = child(creative, "UniversalAdId");
            assert_eq!((id.attribute("idRegistry"), id.text()), (Some("shop.test"), Some("film-1")));
            assert_eq!(id.attribute("idValue"), (template == Template::Vast40).then_some("film-1"));
        }
        let files: Vec<_> = child(linear, "MediaFiles")
            .children()
            .map(|file| {
                let said = ["delivery", "type", "width", "height", "bitrate"];
                (said.map(|name| file.attribute(name).unwrap_or("-")), file.text().unwrap())
            })
            .collect();
        assert_eq!(
            files,
            [
                (["progressive", "video/mp4", "640", "360", "800"], "https://cdn.test/a.mp4?a=1&b=2"),
                (["streaming", "application/x-mpegURL", "640", "360", "-"], "https://cdn.test/a.m3u8"),
            ]
        );
    }
}

#[test]
fn what_there_is_none_of_is_left_out() {
    let (slot, stream) = (speaker(), sound());
    let markup = VastMarkup { error_url: "", advertiser: "", ..markup(&slot, &stream) };
    let expected = concat!(
        r#"<VAST version="4.2" xmlns="http://www.iab.com/VAST"><Ad id="bid-1" adType="audio"><InLine>"#,
        "<AdSystem>Haggle</AdSystem>",
        "<Impression><![CDATA[https://track.test/i?p=${AUCTION_PRICE}]]></Impression>",
        "<AdServingId>bid-1</AdServingId><AdTitle>Tom&#39;s &quot;big&quot; &lt;sale&gt;</AdTitle>",
        r#"<Creatives><Creative id="film-1"><Linear><Duration>00:00:30</Duration><MediaFiles>"#,
        r#"<MediaFile delivery="progressive" type="audio/mp3" width="0" height="0" bitrate="128">"#,
        "<![CDATA[https://cdn.test/a.mp3]]></MediaFile></MediaFiles><VideoClicks>",
        "<ClickThrough><![CDATA[https://click.test/?a=1&b=2]]></ClickThrough></VideoClicks></Linear>",
        r#"<UniversalAdId idRegistry="unknown">film-1</UniversalAdId></Creative></Creatives>"#,
        "</InLine></Ad></VAST>"
    );
    assert_eq!(read(|out| markup.write(out)), expected);
    assert_eq!(markup.size(), Size::default());
}

#[test]
fn daast_says_what_the_sound_is_about_and_not_how_large_it_is() {
    let (slot, stream) = (speaker(), Stream { skip_after: Some(5), ..sound() });
    let markup = VastMarkup {
        template: Template::Daast,
        error_url: "",
        advertiser: "",
        title: "Shoes",
        ..markup(&slot, &stream)
    };
    let expected = concat!(
        r#"<DAAST version="1.0"><Ad id="bid-1"><InLine><AdSystem>Haggle</AdSystem><AdTitle>Shoes</AdTitle>"#,
        r#"<Category authority="https://iabtechlab.com">IAB8-5</Category>"#,
        "<Impression><![CDATA[https://track.test/i?p=${AUCTION_PRICE}]]></Impression>",
        r#"<Creatives><Creative id="film-1"><Linear skipoffset="00:00:05"><Duration>00:00:30</Duration>"#,
        "<AdInteractions><ClickThrough><![CDATA[https://click.test/?a=1&b=2]]></ClickThrough>",
        "</AdInteractions><MediaFiles>",
        r#"<MediaFile id="1" delivery="progressive" type="audio/mp3" bitrate="128">"#,
        "<![CDATA[https://cdn.test/a.mp3]]></MediaFile></MediaFiles></Linear></Creative></Creatives>",
        "</InLine></Ad></DAAST>"
    );
    assert_eq!(read(|out| markup.write(out)), expected);
    let unknown = read(|out| VastMarkup { category: "", ..markup }.write(out));
    assert_eq!(unknown, expected.replace("IAB8-5", "IAB24"), "it has to have one");
}

#[test]
fn a_wrapper_is_short() {
    let (slot, stream) = (player(), wrapped());
    let markup = VastMarkup { template: Template::Vast3, error_url: "", ..markup(&slot, &stream) };
    let expected = concat!(
        r#"<VAST version="3.0"><Ad id="bid-1"><Wrapper><AdSystem>Haggle</AdSystem>"#,
        "<VASTAdTagURI><![CDATA[https://vast.test/?a=1&b=2]]></VASTAdTagURI>",
        "<Impression><![CDATA[https://track.test/i?p=${AUCTION_PRICE}]]></Impression>",
        "<Creatives><Creative><Linear><VideoClicks>",
        "<ClickTracking><![CDATA[https://click.test/?a=1&b=2]]></ClickTracking>",
        "</VideoClicks></Linear></Creative></Creatives></Wrapper></Ad></VAST>"
    );
    assert_eq!(read(|out| markup.write(out)), expected);
}

proptest! {
    #[test]
    fn any_text_reads_back(
        text in "[\\]>\\[<!&;\"'\\\\a\u{e9}\u{2028}\u{1f600}]{1,30}",
        template in prop::sample::select(&TEMPLATES),
    ) {
        let (slot, mut stream) = (player(), film());
        stream.media = Media::Files(vec![file(&text, "video/mp4", Size::default(), 0)]);
        let markup = VastMarkup {
            template,
            ad_id: &text,
            creative_id: &text,
            title: &text,
            category: &text,
            advertiser: &text,
            click_url: &text,
            impression_url: &text,
            error_url: &text,
            ..markup(&slot, &stream)
        };
        let xml = read(|out| markup.write(out));
        let document = Document::parse(&xml).unwrap();
        let body = at(document.root_element(), "Ad/InLine");
        prop_assert_eq!(at(document.root_element(), "Ad").attribute("id"), Some(&*text));
        let linear = "Creatives/Creative/Linear";
        let clicks = if template == Template::Daast { "AdInteractions" } else { "VideoClicks" };
        for path in [
            "AdTitle",
            "Impression",
            "Error",
            &format!("{linear}/{clicks}/ClickThrough"),
            &format!("{linear}/MediaFiles/MediaFile"),
        ] {
            prop_assert_eq!(self::text(body, path), &*text, "{}", path);
        }
    }
}
