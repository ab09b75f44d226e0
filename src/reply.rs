//! What is answered, for any chat: text, cards, fields, buttons and forms. Says what a thing is (a name, a person, a time), never
//! how a chat writes it; text from people can only be put in where it will be made harmless.

use std::fmt;

use crate::id::{ChannelId, GuildId, RoleId, UserId};
use crate::permission::Subject;
use crate::time::Timestamp;

/// A piece of text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Words, shown letter by letter whoever wrote them.
    Plain(String),
    /// Words that stand out, shown letter by letter too.
    Strong(String),
    /// A name or a value, shown as typed.
    Code(String),
    /// A person; never pinged.
    User(UserId),
    /// A role; never pinged.
    Role(RoleId),
    /// A channel.
    Channel(ChannelId),
    /// Everyone in the guild; never pinged.
    Everyone,
    /// A point in time, as each reader's clock tells it.
    Time(Timestamp),
    /// A page's address, http or https.
    Link(String),
    /// Lines as a program wrote them, shown letter by letter in type of one width.
    Block(String),
    /// The next line.
    NewLine,
}

/// Text made of pieces.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Text(pub Vec<Piece>);

impl Text {
    /// Text that begins with `words`.
    pub fn of(words: impl Into<String>) -> Self {
        Self::default().plain(words)
    }

    /// Adds words.
    pub fn plain(self, words: impl Into<String>) -> Self {
        self.piece(Piece::Plain(words.into()))
    }

    /// Adds words that stand out.
    pub fn strong(self, words: impl Into<String>) -> Self {
        self.piece(Piece::Strong(words.into()))
    }

    /// Adds a name or value.
    pub fn code(self, value: impl ToString) -> Self {
        self.piece(Piece::Code(value.to_string()))
    }

    /// Adds a time.
    pub fn time(self, time: Timestamp) -> Self {
        self.piece(Piece::Time(time))
    }

    /// Adds the person or role that a rule in `guild` is about.
    pub fn subject(self, subject: Subject, guild: GuildId) -> Self {
        self.piece(match subject {
            subject if subject == Subject::everyone(guild) => Piece::Everyone,
            Subject::User(id) => Piece::User(id),
            Subject::Role(id) => Piece::Role(id),
        })
    }

    /// Adds a line break.
    pub fn line(self) -> Self {
        self.piece(Piece::NewLine)
    }

    /// Adds another text.
    pub fn then(mut self, other: Text) -> Self {
        self.0.extend(other.0);
        self
    }

    /// Adds a piece.
    pub fn piece(mut self, piece: Piece) -> Self {
        self.0.push(piece);
        self
    }

    /// Adds sentences in which backticks set off names and values: `` no `x` here ``. Harmless for any text: what stands
    /// between backticks is shown as typed, the rest letter by letter.
    pub fn sentence(mut self, sentence: &str) -> Self {
        for (index, part) in sentence.split('`').enumerate() {
            if !part.is_empty() {
                self.0.push(if index % 2 == 0 { Piece::Plain(part.to_owned()) } else { Piece::Code(part.to_owned()) });
            }
        }
        self
    }

    /// Several texts, `separator` between them.
    pub fn join(texts: impl IntoIterator<Item = Text>, separator: &Text) -> Text {
        let mut joined = Text::default();
        for text in texts {
            if !joined.0.is_empty() {
                joined.0.extend(separator.0.iter().cloned());
            }
            joined.0.extend(text.0);
        }
        joined
    }
}

/// How an answer feels; chats may colour it, and always say it in words too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// For information.
    Neutral,
    /// Under way.
    Busy,
    /// Done.
    Good,
    /// Refused or failed.
    Bad,
    /// Needs a person to look.
    Warning,
}

/// A labelled value of a card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// The label.
    pub name: &'static str,
    /// The value.
    pub value: Text,
}

/// A button.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Button {
    /// Opens a page: http or https.
    Link { label: &'static str, url: String },
    /// Runs a line of the console's, a listing of other entries: `/repo list page:2`.
    Page { label: &'static str, line: String },
    /// Runs a line of the console's that does something: `/deploys cancel 12`.
    Run { label: String, line: String },
}

/// Words that a person must give before what they pressed can be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form {
    /// What it is for, in at most 45 characters.
    pub title: &'static str,
    /// The console's line that is run with what is given.
    pub line: String,
    /// What is asked for: options of that command.
    pub inputs: Vec<Input>,
}

impl Form {
    /// The form for a chat that has none: what to type.
    pub fn as_line(&self) -> Reply {
        let required = self.inputs.iter().filter(|input| input.required).map(|input| format!(" {}:…", input.name));
        let body = Text::of("Nothing is done yet. Say ").code(format!("{}{}", self.line, required.collect::<String>()));
        Reply::new(Tone::Warning, self.title).body(body.plain("."))
    }
}

/// One field of a form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// The option's name.
    pub name: &'static str,
    /// What is asked, in at most 45 characters.
    pub label: &'static str,
    /// What could stand there, where that isn't plain.
    pub example: &'static str,
    /// Whether it must be given.
    pub required: bool,
}

/// A file that goes with an answer.
#[derive(Clone, PartialEq, Eq)]
pub struct Attachment {
    /// Its name: letters, digits, `-`, `_` and dots, so that it is the same everywhere.
    pub name: String,
    /// What is in it.
    pub bytes: Vec<u8>,
    /// What it shows, for those who can't see it.
    pub description: String,
    /// Whether it is a picture to be shown as part of the answer.
    pub is_shown: bool,
}

impl fmt::Debug for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} bytes", self.name, self.bytes.len())
    }
}

/// The largest file that an answer may have in bytes, where a chat doesn't say otherwise: what Discord takes without a boosted guild
/// (reference, "Uploading Files").
pub const ATTACHMENT_MAX: usize = 10 * 1024 * 1024;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// How it feels.
    pub tone: Tone,
    /// What it is about, in a few words.
    pub title: String,
    /// What it says.
    pub body: Text,
    /// Labelled values, for a card.
    pub fields: Vec<Field>,
    /// What can be pressed.
    pub buttons: Vec<Button>,
    /// The files that go with it.
    pub files: Vec<Attachment>,
}

impl Reply {
    /// An answer with a title and nothing else yet.
    pub fn new(tone: Tone, title: impl Into<String>) -> Self {
        Self {
            tone,
            title: title.into(),
            body: Text::default(),
            fields: Vec::new(),
            buttons: Vec::new(),
            files: Vec::new(),
        }
    }

    /// With one more file.
    pub fn file(mut self, file: Attachment) -> Self {
        self.files.push(file);
        self
    }

    /// With this text.
    pub fn body(mut self, body: Text) -> Self {
        self.body = body;
        self
    }

    /// With one more labelled value.
    pub fn field(mut self, name: &'static str, value: Text) -> Self {
        self.fields.push(Field { name, value });
        self
    }

    /// With a labelled value where there is one.
    pub fn field_if(self, name: &'static str, value: Option<Text>) -> Self {
        match value {
            Some(value) => self.field(name, value),
            None => self,
        }
    }

    /// With one more button.
    pub fn button(mut self, button: Button) -> Self {
        self.buttons.push(button);
        self
    }
}

/// How many entries a list shows at a time.
pub const PAGE: usize = 10;

/// The longest line, in bytes, that fits a button with its page: Discord's `custom_id` has 100 characters.
const PAGE_COMMAND_MAX: usize = 88;

/// One page of a list: the lines that `line` makes of `items`, with buttons to the neighbouring pages.
///
/// `command` is the console's line for the first page.
pub fn page<T>(reply: Reply, items: &[T], page: usize, command: &str, line: impl Fn(&T) -> Text) -> Reply {
    let pages = items.len().div_ceil(PAGE).max(1);
    if page > pages {
        let last = match pages {
            1 => "There is only one page.".to_owned(),
            pages => format!("The last one is page {pages}, of {} in all.", items.len()),
        };
        let line = format!("{command} page:{pages}");
        let reply = reply.body(Text::of(format!("There is no page {page}. {last}")));
        let fits = command.len() <= PAGE_COMMAND_MAX;
        return if fits { reply.button(Button::Page { label: "Last", line }) } else { reply };
    }
    let page = page.max(1);
    let shown = items.iter().skip((page - 1) * PAGE).take(PAGE).map(line);
    let mut body = Text::join(shown, &Text::default().line());
    if pages > 1 {
        body = body.line().plain(format!("Page {page} of {pages}, {} in all.", items.len()));
    }
    if pages > 1 && command.len() > PAGE_COMMAND_MAX {
        let narrow = body.plain(" Ask for fewer at a time to see the others.");
        return reply.body(narrow);
    }
    let mut reply = reply.body(body);
    let mut button =
        |label, number: usize| reply.buttons.push(Button::Page { label, line: format!("{command} page:{number}") });
    if page > 1 {
        button("Newer", page - 1);
    }
    if page < pages {
        button("Older", page + 1);
    }
    reply
}
