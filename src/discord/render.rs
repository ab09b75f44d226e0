//! A reply as a Discord message: serenity's builders, within Discord's limits, every text made harmless.

use serenity::builder::{
    CreateActionRow, CreateButton, CreateEmbed, CreateInputText, CreateModal, EditInteractionResponse,
};
use serenity::model::Colour;
use serenity::model::application::{ButtonStyle, InputTextStyle};

use crate::deploy::reason::REASON_CHARS_MAX;
use crate::reply::{Button, Form, Input, Piece, Reply, Text, Tone};
use crate::text;

/// Discord's limits, in UTF-16 units: resources/message, "Embed Limits", and components/reference, "Button".
const TITLE_MAX: usize = 256;
const DESCRIPTION_MAX: usize = 4_096;
/// With fields beside it: title, description and ten fields stay under 6,000 in all.
const DESCRIPTION_BESIDE_FIELDS_MAX: usize = 1_500;
const FIELD_VALUE_MAX: usize = 1_024;
const URL_MAX: usize = 512;
const CUSTOM_ID_MAX: usize = 100;
const LABEL_MAX: usize = 80;
/// What fits a form's short field; ours.
const SHORT_INPUT_MAX: usize = 50;
/// Titles, descriptions, field names and values of one message.
const EMBEDS_MAX: usize = 6_000;

/// The message that shows `reply` in place of whatever the answer showed before.
pub fn message(reply: &Reply) -> EditInteractionResponse {
    EditInteractionResponse::new().embed(embed(reply)).components(rows(reply))
}

/// The embed of `reply`.
pub fn embed(reply: &Reply) -> CreateEmbed {
    let title = text::clip(&text::discord(&reply.title), TITLE_MAX).into_owned();
    let description_max = if reply.fields.is_empty() { DESCRIPTION_MAX } else { DESCRIPTION_BESIDE_FIELDS_MAX };
    let description = render(&reply.body, description_max);
    let mut left = EMBEDS_MAX.saturating_sub(units(&title) + units(&description));
    let mut embed = CreateEmbed::new().title(title).colour(colour(reply.tone));
    if !description.is_empty() {
        embed = embed.description(description);
    }
    for field in &reply.fields {
        let room = left.saturating_sub(units(field.name)).min(FIELD_VALUE_MAX);
        let value = render(&field.value, room);
        if value.is_empty() {
            continue;
        }
        left -= units(field.name) + units(&value);
        let short = units(&value) <= 60;
        embed = embed.field(field.name, value, short);
    }
    match reply.files.iter().find(|file| file.is_shown) {
        Some(picture) => embed.attachment(&picture.name),
        None => embed,
    }
}

/// The rows of buttons of `reply`.
pub fn rows(reply: &Reply) -> Vec<CreateActionRow> {
    let buttons: Vec<CreateButton> = reply
        .buttons
        .iter()
        .filter_map(|button| match button {
            Button::Link { label, url } => {
                (units(url) <= URL_MAX && is_page(url)).then(|| CreateButton::new_link(url).label(*label))
            }
            Button::Page { label, line } => {
                (units(line) <= CUSTOM_ID_MAX).then(|| CreateButton::new(line).label(*label))
            }
            Button::Run { label, line } => (units(line) <= CUSTOM_ID_MAX)
                .then(|| CreateButton::new(line).label(text::clip(label, LABEL_MAX)).style(ButtonStyle::Secondary)),
        })
        .take(5)
        .collect();
    if buttons.is_empty() { Vec::new() } else { vec![CreateActionRow::Buttons(buttons)] }
}

/// The modal that shows `form`. Text inputs in action rows: what is typed into the newer labels, serenity loses.
pub fn modal(form: &Form) -> CreateModal {
    let input = |input: &Input| {
        let style = if input.name == "reason" { InputTextStyle::Paragraph } else { InputTextStyle::Short };
        let text = CreateInputText::new(style, input.label, input.name).required(input.required);
        let max = if input.name == "reason" { REASON_CHARS_MAX } else { SHORT_INPUT_MAX };
        let text = text.max_length(u16::try_from(max).unwrap_or(u16::MAX));
        CreateActionRow::InputText(if input.example.is_empty() { text } else { text.placeholder(input.example) })
    };
    CreateModal::new(form.line.as_str(), form.title).components(form.inputs.iter().map(input).collect())
}

/// A text as the content of a message, in at most `max` units.
pub fn text(text: &Text, max: usize) -> String {
    render(text, max)
}

/// The text in at most `max` units: what doesn't fit is cut between two pieces, or inside plain words.
fn render(text: &Text, max: usize) -> String {
    let mut rendered = String::new();
    for piece in &text.0 {
        let shown = show(piece);
        if units(&rendered) + units(&shown) <= max {
            rendered.push_str(&shown);
            continue;
        }
        if let Piece::Plain(words) = piece {
            let room = max.saturating_sub(units(&rendered));
            // Escapes make words longer by an unknown amount, so the words are cut until they fit.
            let mut length = words.encode_utf16().count().min(room);
            while length > 1 {
                let shown = text::discord(&text::clip(words, length));
                if units(&shown) <= room {
                    rendered.push_str(&shown);
                    return rendered;
                }
                length = length * 3 / 4;
            }
        }
        if let Piece::Block(lines) = piece {
            // The end of what a program wrote tells most.
            let mut rest = lines.as_str();
            while let Some((_, shorter)) = rest.split_once('\n') {
                rest = shorter;
                let shown = text::discord_block(rest);
                if units(&rendered) + units(&shown) <= max {
                    rendered.push_str(&shown);
                    return rendered;
                }
            }
        }
        if units(&rendered) < max {
            rendered.push('…');
        }
        return rendered;
    }
    rendered
}

fn show(piece: &Piece) -> String {
    match piece {
        Piece::Plain(words) => text::discord(words),
        Piece::Strong(words) => format!("**{}**", text::discord(words)),
        Piece::Code(value) => text::discord_code(value),
        Piece::User(id) => format!("<@{id}>"),
        Piece::Role(id) => format!("<@&{id}>"),
        Piece::Channel(id) => format!("<#{id}>"),
        Piece::Everyone => "everyone".to_owned(),
        Piece::Time(time) => format!("<t:{0}:f> (<t:{0}:R>)", time.seconds()),
        Piece::Link(url) if is_page(url) => format!("<{url}>"),
        Piece::Link(_) => "(a link that can't be shown)".to_owned(),
        Piece::Block(lines) => text::discord_block(lines),
        Piece::NewLine => "\n".to_owned(),
    }
}

/// Whether `url` is http or https and has no character that could end a link.
fn is_page(url: &str) -> bool {
    (url.starts_with("https://") || url.starts_with("http://"))
        && url.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>\"`\\".contains(&byte))
}

fn units(text: &str) -> usize {
    text.encode_utf16().count()
}

fn colour(tone: Tone) -> Colour {
    Colour::new(match tone {
        Tone::Neutral => 0x5a_64_77,
        Tone::Busy => 0x3b_82_f6,
        Tone::Good => 0x2d_a4_4e,
        Tone::Bad => 0xcf_22_2e,
        Tone::Warning => 0xd2_99_22,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn embed_of(reply: &Reply) -> Value {
        serde_json::to_value(message(reply)).unwrap()["embeds"][0].clone()
    }

    fn total(embed: &Value) -> usize {
        let text = |value: &Value| value.as_str().map_or(0, units);
        let fields =
            embed["fields"].as_array().into_iter().flatten().map(|field| text(&field["name"]) + text(&field["value"]));
        text(&embed["title"]) + text(&embed["description"]) + fields.sum::<usize>()
    }

    #[test]
    fn text_is_cut_where_it_stays_whole() {
        assert_eq!(render(&Text::of("****"), 5), "\\*\\*…");
        assert_eq!(render(&Text::of("ab").code("cdefgh"), 5), "ab…");
        assert_eq!(render(&Text::of("ab").code("c"), 5), "ab`c`");
        let output = Text::default().piece(Piece::Block("first\n@@@\nlast".into()));
        assert_eq!(render(&output, 14), "```\nlast\n```");
    }

    #[test]
    fn a_button_that_discord_would_refuse_is_left_out() {
        let reply = Reply::new(Tone::Neutral, "x")
            .button(Button::Link { label: "Build", url: "javascript:alert(1)".into() })
            .button(Button::Page { label: "Older", line: "x".repeat(101) });
        assert!(rows(&reply).is_empty());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn every_reply_fits_discords_limits(title in ".{0,300}", body in "(.|[*_`@])*{0,30}", fields in prop::collection::vec("[*a@é😀`]{0,1200}", 0..10)) {
            let mut reply = Reply::new(Tone::Neutral, title).body(Text::of(body));
            for field in fields {
                reply = reply.field("Field", Text::of(field));
            }
            let embed = embed_of(&reply);
            prop_assert!(total(&embed) <= EMBEDS_MAX);
            prop_assert!(units(embed["title"].as_str().unwrap()) <= TITLE_MAX);
            prop_assert!(units(embed["description"].as_str().unwrap_or("")) <= DESCRIPTION_MAX);
            for field in embed["fields"].as_array().into_iter().flatten() {
                let value = units(field["value"].as_str().unwrap());
                prop_assert!((1..=FIELD_VALUE_MAX).contains(&value));
            }
        }
    }
}
