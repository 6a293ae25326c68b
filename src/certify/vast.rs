//! VAST documents: read into what the checks need, with what is wrong with their structure (VAST 2.0 to 4.3).
//!
//! So are documents of DAAST, VAST's sibling for audio (IAB, Digital Audio Ad Serving Template 1.0 and 1.1), which has the
//! structure of VAST 3.0, a `Category` that is required (section 3.1.4.1), an optional `AdSystem`, `AdInteractions` in
//! place of `VideoClicks` (3.2.1.6), and `DAASTAdTagURI` (3.3.1.1).

use roxmltree::{Document, Node, ParsingOptions};

/// Nodes of a document; none that a player would load has more.
const MOST_NODES: u32 = 50_000;

/// A media file or an interactive one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Media {
    pub(super) mime: String,
    pub(super) width: Option<i64>,
    pub(super) height: Option<i64>,
    pub(super) api: Option<String>,
}

/// What a document holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Vast {
    /// It is DAAST.
    pub(super) is_daast: bool,
    /// Of the attribute, such as "4.2"; empty where there is none.
    pub(super) version: String,
    /// It has an ad that points to another document.
    pub(super) is_wrapper: bool,
    /// Of the first linear creative.
    pub(super) duration_ms: Option<i64>,
    pub(super) is_linear: bool,
    pub(super) is_non_linear: bool,
    pub(super) media: Vec<Media>,
    /// Frameworks of verification scripts.
    pub(super) verifications: Vec<String>,
    /// URLs that are fetched to show or count the ad, with their element.
    pub(super) assets: Vec<(String, String)>,
    /// URLs that a click leads to, with their element.
    pub(super) links: Vec<(String, String)>,
    /// What is wrong with its structure.
    pub(super) problems: Vec<String>,
}

/// Elements whose text is a URL that a click leads to.
const LINKS: [&str; 4] =
    ["ClickThrough", "CompanionClickThrough", "NonLinearClickThrough", "IconClickThrough"];
/// Elements whose text is a URL that is fetched.
const ASSETS: [&str; 16] = [
    "Impression",
    "Tracking",
    "ClickTracking",
    "CustomClick",
    "Error",
    "MediaFile",
    "Mezzanine",
    "InteractiveCreativeFile",
    "JavaScriptResource",
    "StaticResource",
    "IFrameResource",
    "VASTAdTagURI",
    "DAASTAdTagURI",
    "Viewable",
    "NotViewable",
    "ViewUndetermined",
];

/// Reads a document.
///
/// # Errors
///
/// Where it is no XML, or neither VAST nor DAAST.
pub(super) fn read(text: &str) -> Result<Vast, String> {
    let options = ParsingOptions { nodes_limit: MOST_NODES, ..ParsingOptions::default() };
    let document = Document::parse_with_options(text, options)
        .map_err(|error| format!("adm is no well-formed XML: {error}"))?;
    let root = document.root_element();
    let is_daast = match root.tag_name().name() {
        "VAST" => false,
        "DAAST" => true,
        other => return Err(format!("adm is XML with the root {other}, neither VAST nor DAAST")),
    };
    let version = root.attribute("version").unwrap_or_default().trim().to_owned();
    let mut vast = Vast { is_daast, version, ..Vast::default() };
    if vast.version.is_empty() {
        vast.problem(&format!("{} has no version", vast.template()));
    }
    let ads: Vec<_> = children(root, "Ad").collect();
    if ads.is_empty() {
        vast.problem(&format!("{} has no Ad; bid nothing instead", vast.template()));
    }
    for ad in ads {
        match (child(ad, "InLine"), child(ad, "Wrapper")) {
            (Some(inline), None) => vast.inline(inline),
            (None, Some(wrapper)) => vast.wrapper(wrapper),
            _ => vast.problem("Ad needs one of InLine and Wrapper"),
        }
    }
    for node in root.descendants().filter(Node::is_element) {
        let name = node.tag_name().name();
        let url = || (name.to_owned(), content(node));
        if LINKS.contains(&name) {
            vast.links.push(url());
        } else if ASSETS.contains(&name) && !content(node).is_empty() {
            vast.assets.push(url());
        }
        match name {
            "MediaFile" => vast.media.push(media(node)),
            "InteractiveCreativeFile" => vast.media.push(Media { mime: String::new(), ..media(node) }),
            "Verification" => vast.verifications.extend(
                node.children()
                    .filter(|child| {
                        child.has_tag_name("JavaScriptResource") || child.has_tag_name("ExecutableResource")
                    })
                    .map(|child| child.attribute("apiFramework").unwrap_or_default().to_owned()),
            ),
            _ => {}
        }
    }
    Ok(vast)
}

impl Vast {
    fn problem(&mut self, what: &str) {
        if self.problems.len() < 10 {
            self.problems.push(what.to_owned());
        }
    }

    /// The name of its root.
    pub(super) fn template(&self) -> &'static str {
        if self.is_daast { "DAAST" } else { "VAST" }
    }

    /// Whether it is for audio alone: DAAST, or VAST whose media files are all audio.
    pub(super) fn is_audio(&self) -> bool {
        if self.is_daast {
            return true;
        }
        let mut typed = self.media.iter().filter(|media| !media.mime.is_empty()).peekable();
        typed.peek().is_some() && typed.all(|media| media.mime.to_ascii_lowercase().starts_with("audio/"))
    }

    /// Major and minor version of VAST; none of DAAST.
    pub(super) fn number(&self) -> Option<(u32, u32)> {
        if self.is_daast {
            return None;
        }
        let (major, minor) = self.version.split_once('.').unwrap_or((&self.version, "0"));
        Some((major.parse().ok()?, minor.split('.').next()?.parse().ok()?))
    }

    fn inline(&mut self, inline: Node<'_, '_>) {
        for name in if self.is_daast { ["Category", "AdTitle"] } else { ["AdSystem", "AdTitle"] } {
            if child(inline, name).is_none_or(|node| content(node).is_empty()) {
                self.problem(&format!("InLine has no {name}"));
            }
        }
        if !children(inline, "Impression").any(|node| !content(node).is_empty()) {
            self.problem("InLine has no Impression");
        }
        if self.number() >= Some((4, 1)) && child(inline, "AdServingId").is_none() {
            self.problem("InLine has no AdServingId, which VAST 4.1 and later require");
        }
        let creatives: Vec<_> =
            child(inline, "Creatives").into_iter().flat_map(|all| children(all, "Creative")).collect();
        let mut shown = false;
        for creative in creatives {
            if self.number() >= Some((4, 0)) && children(creative, "UniversalAdId").next().is_none() {
                self.problem("Creative has no UniversalAdId, which VAST 4 requires");
            }
            if let Some(linear) = child(creative, "Linear") {
                shown = true;
                self.linear(linear);
            }
            if !self.is_daast && child(creative, "NonLinearAds").is_some() {
                shown = true;
                self.is_non_linear = true;
            }
        }
        if !shown {
            let ads = if self.is_daast { "Linear" } else { "Linear or NonLinearAds" };
            self.problem(&format!("InLine has no Creative with {ads}"));
        }
    }

    fn linear(&mut self, linear: Node<'_, '_>) {
        self.is_linear = true;
        if self.is_daast && child(linear, "VideoClicks").is_some() {
            self.problem("Linear has VideoClicks, which is VAST's; DAAST's is AdInteractions");
        }
        let duration = child(linear, "Duration").map(content);
        match duration.as_deref().and_then(duration_ms) {
            Some(duration) => {
                self.duration_ms.get_or_insert(duration);
            }
            None => self.problem(&format!("Linear's Duration is {duration:?}, not HH:MM:SS above 0")),
        }
        let files: Vec<_> =
            child(linear, "MediaFiles").into_iter().flat_map(|all| children(all, "MediaFile")).collect();
        if files.is_empty() {
            self.problem("Linear has no MediaFile");
        }
        for file in files {
            let mime = file.attribute("type").unwrap_or_default();
            if mime.is_empty() {
                self.problem("MediaFile has no type");
            }
            if !["progressive", "streaming"].contains(&file.attribute("delivery").unwrap_or_default()) {
                self.problem("MediaFile's delivery is neither progressive nor streaming");
            }
            let Media { width, height, .. } = media(file);
            let has_size = !self.is_daast && !mime.to_ascii_lowercase().starts_with("audio/");
            if has_size && (width.is_none() || height.is_none()) {
                self.problem("MediaFile has no width and height");
            }
            if content(file).is_empty() {
                self.problem("MediaFile is empty");
            }
        }
    }

    fn wrapper(&mut self, wrapper: Node<'_, '_>) {
        self.is_wrapper = true;
        let required: &[_] = if self.is_daast {
            &["DAASTAdTagURI", "Impression"]
        } else {
            &["AdSystem", "VASTAdTagURI", "Impression"]
        };
        for &name in required {
            if !children(wrapper, name).any(|node| !content(node).is_empty()) {
                self.problem(&format!("Wrapper has no {name}"));
            }
        }
    }
}

fn children<'a, 'input>(
    node: Node<'a, 'input>,
    name: &'static str,
) -> impl Iterator<Item = Node<'a, 'input>> {
    node.children().filter(move |child| child.is_element() && child.tag_name().name() == name)
}

fn child<'a, 'input>(node: Node<'a, 'input>, name: &'static str) -> Option<Node<'a, 'input>> {
    children(node, name).next()
}

/// An element's own text, CDATA included.
fn content(node: Node<'_, '_>) -> String {
    let text: String = node.children().filter(Node::is_text).filter_map(|text| text.text()).collect();
    text.trim().to_owned()
}

fn media(node: Node<'_, '_>) -> Media {
    let side = |name| node.attribute(name).and_then(|side| side.trim().parse().ok()).filter(|side| *side > 0);
    Media {
        mime: node.attribute("type").unwrap_or_default().trim().to_owned(),
        width: side("width"),
        height: side("height"),
        api: node.attribute("apiFramework").map(str::to_owned),
    }
}

/// `HH:MM:SS` or `HH:MM:SS.mmm` in milliseconds.
fn duration_ms(text: &str) -> Option<i64> {
    let (clock, millis) = text.split_once('.').unwrap_or((text, "0"));
    let millis = format!("{millis:0<3}");
    let mut parts = clock.split(':').chain(std::iter::once(millis.as_str())).map(|part| {
        (part.len() <= 3 && part.bytes().all(|byte| byte.is_ascii_digit()))
            .then(|| part.parse::<i64>().ok())
            .flatten()
    });
    let (hours, minutes, seconds, millis) = (parts.next()??, parts.next()??, parts.next()??, parts.next()??);
    let total = ((hours * 60 + minutes) * 60 + seconds) * 1000 + millis;
    (parts.next().is_none() && minutes < 60 && seconds < 60 && total > 0).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const INLINE: &str = r#"<?xml version="1.0"?><VAST version="3.0"><Ad id="a"><InLine><AdSystem>s</AdSystem>
<AdTitle>t</AdTitle><Impression><![CDATA[ https://i.example/?a=1&b=2 ]]></Impression><Creatives><Creative><Linear>
<Duration>00:00:15.500</Duration><TrackingEvents><Tracking event="start">https://t.example</Tracking></TrackingEvents>
<VideoClicks><ClickThrough>https://c.example</ClickThrough></VideoClicks><MediaFiles>
<MediaFile type="video/mp4" delivery="progressive" width="640" height="360">https://m.example/a.mp4</MediaFile>
</MediaFiles></Linear></Creative></Creatives></InLine></Ad></VAST>"#;

    #[test]
    fn an_inline_ad_is_read() {
        let vast = read(INLINE).unwrap();
        assert_eq!(vast.problems, Vec::<String>::new());
        assert_eq!((vast.version.as_str(), vast.duration_ms), ("3.0", Some(15_500)));
        assert_eq!(vast.assets[0], ("Impression".to_owned(), "https://i.example/?a=1&b=2".to_owned()));
        assert_eq!(vast.links, [("ClickThrough".to_owned(), "https://c.example".to_owned())]);
        assert_eq!((vast.media[0].width, vast.media[0].mime.as_str()), (Some(640), "video/mp4"));
        assert!(vast.is_linear && !vast.is_wrapper && !vast.is_audio());
    }

    #[test]
    fn what_is_missing_is_named() {
        for (from, to, said) in [
            (" version=\"3.0\"", "", "no version"),
            ("<AdSystem>s</AdSystem>", "", "no AdSystem"),
            ("<AdTitle>t</AdTitle>", "<AdTitle/>", "no AdTitle"),
            ("00:00:15.500", "15", "Duration"),
            ("00:00:15.500", "00:00:00", "Duration"),
            ("00:00:15.500", "00:61:00", "Duration"),
            (" delivery=\"progressive\"", "", "delivery"),
            (" width=\"640\"", "", "width"),
            (" type=\"video/mp4\"", "", "no type"),
            ("https://m.example/a.mp4", "", "MediaFile is empty"),
            ("version=\"3.0\"", "version=\"4.0\"", "UniversalAdId"),
            ("version=\"3.0\"", "version=\"4.2\"", "AdServingId"),
            ("Linear>", "Lineal>", "no Creative with"),
            ("Impression>", "Impresson>", "no Impression"),
            ("InLine>", "Inline>", "one of InLine"),
            ("Ad id=\"a\">", "Add id=\"a\">", "no Ad;"),
        ] {
            let text = INLINE.replacen(from, to, usize::MAX).replace(
                "</Ad></VAST>",
                if from.starts_with("Ad id") { "</Add></VAST>" } else { "</Ad></VAST>" },
            );
            let vast = read(&text).unwrap();
            assert!(
                vast.problems.iter().any(|problem| problem.contains(said)),
                "{said}: {:?}",
                vast.problems
            );
        }
        assert!(read("<VAST").is_err() && read("<VMAP/>").is_err());
        assert!(read("<!DOCTYPE VAST [<!ENTITY a \"b\">]><VAST>&a;</VAST>").is_err());
    }

    #[test]
    fn a_wrapper_is_read() {
        let wrapper = "<VAST version=\"4.2\"><Ad><Wrapper><AdSystem>s</AdSystem><Impression>https://i.example</Impression>\
                       <VASTAdTagURI>https://w.example</VASTAdTagURI><AdVerifications><Verification vendor=\"v\">\
                       <JavaScriptResource apiFramework=\"omid\">https://o.example</JavaScriptResource></Verification>\
                       </AdVerifications></Wrapper></Ad></VAST>";
        let vast = read(wrapper).unwrap();
        assert_eq!(vast.problems, Vec::<String>::new());
        assert!(vast.is_wrapper);
        assert_eq!(vast.verifications, ["omid"]);
        assert_eq!(vast.number(), Some((4, 2)));
        let without = read(&wrapper.replace("VASTAdTagURI>", "VASTAdTagUri>")).unwrap();
        assert!(without.problems[0].contains("VASTAdTagURI"));
    }

    #[test]
    fn daast_is_read() {
        let inline = INLINE
            .replace("VAST version=\"3.0\"", "DAAST version=\"1.0\"")
            .replace("VAST>", "DAAST>")
            .replace("<AdSystem>s</AdSystem>", "<Category>IAB8</Category>")
            .replace("VideoClicks>", "AdInteractions>")
            .replace("video/mp4", "audio/mpeg")
            .replace(" width=\"640\" height=\"360\"", "");
        let daast = read(&inline).unwrap();
        assert_eq!(daast.problems, Vec::<String>::new());
        assert!(daast.is_daast && daast.is_audio() && daast.is_linear);
        assert_eq!((daast.number(), daast.duration_ms), (None, Some(15_500)));
        assert_eq!(daast.links, [("ClickThrough".to_owned(), "https://c.example".to_owned())]);
        for (from, to, said) in [
            ("Category>", "Description>", "no Category"),
            ("AdTitle>", "Title>", "no AdTitle"),
            (" version=\"1.0\"><Ad", "><Ad", "DAAST has no version"),
            ("AdInteractions>", "VideoClicks>", "AdInteractions"),
            ("00:00:15.500", "15", "Duration"),
            ("Linear>", "NonLinearAds>", "no Creative with Linear"),
            ("MediaFiles>", "Files>", "no MediaFile"),
        ] {
            let daast = read(&inline.replace(from, to)).unwrap();
            assert!(
                daast.problems.iter().any(|problem| problem.contains(said)),
                "{said}: {:?}",
                daast.problems
            );
        }
        let wrapper = "<DAAST version=\"1.0\"><Ad><Wrapper><DAASTAdTagURI>https://w.example</DAASTAdTagURI>\
                       <Impression>https://i.example</Impression></Wrapper></Ad></DAAST>";
        let daast = read(wrapper).unwrap();
        assert_eq!((daast.problems.len(), daast.is_wrapper, daast.assets.len()), (0, true, 2));
        let without = read(&wrapper.replace("DAASTAdTagURI", "VASTAdTagURI")).unwrap();
        assert!(without.problems[0].contains("DAASTAdTagURI"));
    }

    #[test]
    fn deep_and_long_documents_are_refused() {
        let deep = format!("<VAST version=\"2.0\">{}", "<a>".repeat(300_000));
        assert!(read(&deep).is_err());
        let deep =
            format!("<VAST version=\"2.0\">{}{}</VAST>", "<a>".repeat(100_000), "</a>".repeat(100_000));
        assert!(read(&deep).is_err());
    }

    proptest! {
        #[test]
        fn nothing_panics(from in 0..INLINE.len(), to in 0..INLINE.len(), by in "[<>/A-Z0-9:.\"ä ]{0,8}") {
            let (from, to) = (from.min(to), from.max(to));
            let _ = read(&format!("{}{by}{}", &INLINE[..from], &INLINE[to..]));
            duration_ms(&by);
        }
    }
}
