//! Files that come with a message (reference, "Uploading Files"): read from a form, and checked as Discord checks them. It must not
//! know what a message shows.

use serde_json::Value;

use super::interaction::ATTACHMENT_SIZE_LIMIT;
use super::rest::{Answer, Request};
use super::world::World;

/// A file that the bot sent.
#[derive(Clone, PartialEq)]
pub struct File {
    /// The number in its part's name, `files[0]`.
    pub id: u64,
    pub name: String,
    /// What it shows, for those who can't see it.
    pub description: String,
    pub bytes: Vec<u8>,
}

impl std::fmt::Debug for File {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {} bytes", self.name, self.bytes.len())
    }
}

/// The message and the files of a form; nothing when it is none, or one that can't be read.
pub async fn read(content_type: &str, bytes: &[u8]) -> Option<(Vec<u8>, Vec<File>)> {
    let boundary = multer::parse_boundary(content_type).ok()?;
    let body = bytes.to_vec();
    let stream = futures_util::stream::once(async move { Ok::<_, std::io::Error>(body) });
    let mut form = multer::Multipart::new(stream, boundary);
    let (mut payload, mut files) = (None, Vec::new());
    while let Some(part) = form.next_field().await.ok()? {
        let name = part.name()?.to_owned();
        if name == "payload_json" {
            payload = Some(part.bytes().await.ok()?.to_vec());
            continue;
        }
        let id = name.strip_prefix("files[")?.strip_suffix(']')?.parse().ok()?;
        let name = part.file_name()?.to_owned();
        files.push(File { id, name, description: String::new(), bytes: part.bytes().await.ok()?.to_vec() });
    }
    let payload = payload?;
    let message: Value = serde_json::from_slice(&payload).unwrap_or_default();
    for file in &mut files {
        let mut attachments = message["attachments"].as_array().into_iter().flatten();
        let described = attachments.find(|attachment| attachment["id"] == file.id);
        file.description =
            described.and_then(|described| described["description"].as_str()).unwrap_or_default().to_owned();
    }
    Some((payload, files))
}

/// What Discord says to files that it doesn't take.
pub fn refuse(world: &mut World, request: &Request) -> Option<Answer> {
    let attachments = request.body["attachments"].as_array().cloned().unwrap_or_default();
    if request.files.iter().any(|file| file.bytes.len() as u64 > ATTACHMENT_SIZE_LIMIT) {
        world.violation("sent a file larger than the interaction's attachment_size_limit");
        return Some(Answer::refused(413, 40005, "Request entity too large"));
    }
    let describes =
        |attachment: &Value, file: &File| attachment["id"] == file.id && attachment["filename"] == file.name.as_str();
    let all_there = attachments.iter().all(|attachment| request.files.iter().any(|file| describes(attachment, file)));
    let described = request.files.iter().all(|file| attachments.iter().any(|attachment| describes(attachment, file)));
    let long = |attachment: &Value| attachment["description"].as_str().unwrap_or("").encode_utf16().count() > 1_024;
    if !all_there || !described || attachments.len() > 10 || attachments.iter().any(long) {
        world.violation(format!("sent attachments that fit no files: {attachments:?}, {:?}", request.files));
        return Some(Answer::refused(400, 50035, "Invalid Form Body"));
    }
    let shown =
        request.body["embeds"].as_array().into_iter().flatten().filter_map(|embed| embed["image"]["url"].as_str());
    for name in shown.filter_map(|url| url.strip_prefix("attachment://")) {
        if !request.files.iter().any(|file| file.name == name) {
            world.violation(format!("shows the picture {name}, which is not attached"));
        }
    }
    None
}
