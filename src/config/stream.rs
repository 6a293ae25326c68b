//! The content of video and audio creatives: files of one's own, or somebody else's VAST.

use haggle_domain::{Format, Media, MediaFile, Size, Stream};

use super::address::https_url;
use super::creative::format_name;
use super::document::{Node, Table};
use super::duration;
use super::words::media_type;

/// More than these are a slip.
const MOST_FILES: usize = 16;
/// An hour, in seconds.
const LONGEST: u16 = 3_600;
/// In kilobits per second.
const HIGHEST_BITRATE: i64 = 1_000_000;

/// Manifests that may stand for a film or for sound: HLS (RFC 8216, section 4, and the name in use before it) and
/// MPEG-DASH.
const MANIFESTS: [&str; 3] =
    ["application/vnd.apple.mpegurl", "application/x-mpegurl", "application/dash+xml"];

/// `width` and `height`, in pixels; `examples` are what is proposed where they are missing.
pub(super) fn size(table: &mut Table<'_>, examples: (&str, &str)) -> Option<Size> {
    let mut side = |key, example| table.need(key, example).and_then(|node| node.integer(1..=10_000));
    let (width, height) = (side("width", examples.0), side("height", examples.1));
    Some(Size { width: u16::try_from(width?).ok()?, height: u16::try_from(height?).ok()? })
}

/// Reads a creative's keys of [`Format::Video`] or [`Format::Audio`].
pub(super) fn read(table: &mut Table<'_>, format: Format) -> Option<Stream> {
    let duration = table.need("duration", "\"15s\"").and_then(|node| node.read(seconds));
    let skip_node = table.get("skip_after");
    let skip_after = skip_node.as_ref().map_or(Some(None), |node| node.read(seconds).map(Some));
    let media = match (table.get("files"), table.get("wrapper")) {
        (Some(node), None) => files(&node, format).map(Media::Files),
        (None, Some(node)) => wrapper(&node, format),
        (None, None) => {
            table.fail(format!(
                "has neither files nor wrapper; add files = [{}]",
                match format {
                    Format::Audio => "{ url = \"https://…\", type = \"audio/mpeg\" }",
                    _ => "{ url = \"https://…\", type = \"video/mp4\", width = 640, height = 360 }",
                }
            ));
            None
        }
        (Some(_), Some(node)) => {
            node.fail("stands beside files; keep one of the two");
            None
        }
    };
    let (duration, skip_after) = (duration?, skip_after?);
    if skip_after.is_some_and(|skip_after| skip_after >= duration) {
        skip_node?.fail("is not before the end; make it shorter than duration, or leave it out");
        return None;
    }
    Some(Stream { duration, skip_after, media: media? })
}

/// A duration as VAST and requests count it: in whole seconds.
fn seconds(text: &str) -> Result<u16, String> {
    let span = duration::parse(text)?;
    u16::try_from(span.as_secs())
        .ok()
        .filter(|seconds| (1..=LONGEST).contains(seconds) && span.subsec_nanos() == 0)
        .ok_or_else(|| format!("{text:?} is not a whole number of seconds from 1s to {LONGEST}s"))
}

fn files(node: &Node<'_>, format: Format) -> Option<Vec<MediaFile>> {
    let list = node.list()?;
    if list.is_empty() || list.len() > MOST_FILES {
        node.fail(format!("has {} files, must have 1 to {MOST_FILES}", list.len()));
        return None;
    }
    let read: Vec<_> = list.iter().map(|node| file(node, format)).collect();
    read.into_iter().collect()
}

fn file(node: &Node<'_>, format: Format) -> Option<MediaFile> {
    let mut table = node.table()?;
    let url =
        table.need("url", "\"https://cdn.shop.example/trail.mp4\"").and_then(|node| node.read(https_url));
    let mime = table.need("type", &format!("{:?}", example(format))).and_then(|node| mime(&node, format));
    let size = picture(&mut table, format);
    let bitrate = table.get("bitrate").map_or(Some(0), |node| node.integer(1..=HIGHEST_BITRATE));
    table.finish();
    Some(MediaFile { url: url?, mime: mime?, size: size?, bitrate: u32::try_from(bitrate?).ok()? })
}

fn wrapper(node: &Node<'_>, format: Format) -> Option<Media> {
    let mut table = node.table()?;
    let tag = table.need("tag", "\"https://vast.example/tag\"").and_then(|node| node.read(https_url));
    let mimes = table.need("types", &format!("[{:?}]", example(format))).and_then(|node| {
        let list = node.list()?;
        if list.is_empty() || list.len() > MOST_FILES {
            node.fail(format!("has {} types, must have 1 to {MOST_FILES}", list.len()));
            return None;
        }
        let read: Vec<_> = list.iter().map(|node| mime(node, format)).collect();
        read.into_iter().collect::<Option<Vec<_>>>()
    });
    let size = picture(&mut table, format);
    table.finish();
    Some(Media::Wrapper { tag: tag?, mimes: mimes?, size: size? })
}

/// The size of a video's picture; sound has none.
fn picture(table: &mut Table<'_>, format: Format) -> Option<Size> {
    if format == Format::Video {
        return size(table, ("640", "360"));
    }
    let mut silent = true;
    for key in ["width", "height"] {
        if let Some(node) = table.get_unlisted(key) {
            node.fail(format!(
                "belongs to format = \"video\", and this creative's is {:?}; sound has no size, remove it",
                format_name(format)
            ));
            silent = false;
        }
    }
    silent.then(Size::default)
}

const fn example(format: Format) -> &'static str {
    match format {
        Format::Audio => "audio/mpeg",
        _ => "video/mp4",
    }
}

fn mime(node: &Node<'_>, format: Format) -> Option<String> {
    let family = if format == Format::Audio { "audio/" } else { "video/" };
    let allowed = [&[family], &MANIFESTS[..]].concat();
    node.read(|text| media_type(text, &allowed, example(format)))
}
