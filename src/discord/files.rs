//! Which files Discord takes with a message, and the reply that is shown where it doesn't. Knows nothing of how they are sent.

use std::borrow::Cow;

use crate::reply::{ATTACHMENT_MAX, Attachment, Reply};

/// The largest request with a message, in bytes, whatever a boosted guild may attach (resources/message, "Create Message": 25 MiB), less
/// what is sent beside the files.
const REQUEST_MAX: usize = 25 * 1024 * 1024 - 64 * 1024;
/// Files of one message (`IncomingWebhookUpdateRequestPartial.attachments`).
const FILES_MAX: usize = 10;

/// The largest file in answer to an interaction whose `attachment_size_limit` is `told`; 0 where it tells nothing.
pub fn attachment_max(told: u32) -> usize {
    let told = usize::try_from(told).unwrap_or(usize::MAX);
    if told == 0 { ATTACHMENT_MAX } else { told.min(REQUEST_MAX) }
}

/// The reply without what Discord would refuse, which would cost the whole answer.
pub fn fitting(reply: &Reply, attachment_max: usize) -> Cow<'_, Reply> {
    let is_too_large = |file: &Attachment| file.bytes.len() > attachment_max;
    let mut fitted = Cow::Borrowed(reply);
    if reply.files.iter().any(is_too_large) {
        let mib = attachment_max as f64 / (1024.0 * 1024.0);
        fitted = Cow::Owned(without(reply, &format!("Discord takes up to {mib:.1} MiB here."), is_too_large));
    }
    let total: usize = fitted.files.iter().map(|file| file.bytes.len()).sum();
    if total > REQUEST_MAX || fitted.files.len() > FILES_MAX {
        let why = "with the others it is more than Discord takes in one message.";
        fitted = Cow::Owned(without(&fitted, why, |_| true));
    }
    fitted
}

/// The reply without the files that `drops` means; it tells why each is missing.
pub fn without(reply: &Reply, why: &str, drops: impl Fn(&Attachment) -> bool) -> Reply {
    let mut reply = reply.clone();
    for file in std::mem::take(&mut reply.files) {
        if !drops(&file) {
            reply.files.push(file);
            continue;
        }
        let body = std::mem::take(&mut reply.body);
        let body = if body.0.is_empty() { body } else { body.line() };
        reply.body = body.plain("The file ").code(file.name).plain(format!(" is missing: {why}"));
    }
    reply
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reply::{Text, Tone};

    fn file(name: &str, size: usize) -> Attachment {
        Attachment { name: name.to_owned(), bytes: vec![0; size], description: String::new(), is_shown: false }
    }

    #[test]
    fn a_file_that_is_too_large_is_told_of_and_the_rest_is_shown() {
        let reply = Reply::new(Tone::Good, "Export").body(Text::of("Done."));
        let reply = reply.file(file("large.csv", 11)).file(file("small.csv", 10));
        assert_eq!(*fitting(&reply, 11), reply);
        let fitted = fitting(&reply, 10).into_owned();
        assert_eq!(fitted.files, reply.files[1..]);
        let told = Text::of("Done.").line().plain("The file ").code("large.csv");
        assert_eq!(fitted.body, told.plain(" is missing: Discord takes up to 0.0 MiB here."));
    }

    #[test]
    fn more_than_one_message_takes_is_not_sent() {
        let eleven = (0..11).map(|n| file(&format!("{n}.txt"), 0)).fold(Reply::new(Tone::Good, "x"), Reply::file);
        assert!(fitting(&eleven, ATTACHMENT_MAX).files.is_empty());
        let large = (0..3).map(|_| file("x", ATTACHMENT_MAX)).fold(Reply::new(Tone::Good, "x"), Reply::file);
        assert!(fitting(&large, ATTACHMENT_MAX).files.is_empty());
    }

    #[test]
    fn the_limit_is_what_discord_tells_and_one_request_takes() {
        assert_eq!([0, 8 << 20, 500 << 20].map(attachment_max), [ATTACHMENT_MAX, 8 << 20, REQUEST_MAX]);
    }
}
