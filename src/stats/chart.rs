//! A picture of the deploys of each day, as a PNG: a panel of its own that reads the same on Discord's dark and light themes, twice as
//! wide as Discord shows it, so that it is sharp. Pure.

use std::sync::Once;

use jiff::civil::Date;
use plotters::backend::BitMapBackend;
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, DrawingAreaErrorKind, IntoDrawingArea};
use plotters::element::{PathElement, Rectangle, Text};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontStyle, IntoFont, IntoTextStyle, RGBColor, ShapeStyle, register_font};

use super::measure::{Day, Figures};

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
#[error("The chart can't be drawn: {0}.")]
pub struct NoChart(String);

const WIDTH: i32 = 960;
const HEIGHT: i32 = 440;
/// Where the bars stand.
const LEFT: i32 = 76;
const RIGHT: i32 = WIDTH - 44;
const TOP: i32 = 112;
const BOTTOM: i32 = HEIGHT - 56;
/// The widest bar, where there are few days.
const BAR_MAX: i32 = 56;
const NARROW: i32 = 5;
/// The most dates below the bars, and lines behind them.
const DATES_MAX: usize = 7;
const LINES_MAX: usize = 5;
/// The most days that have a bar of their own.
const DAYS_MAX: usize = 92;
/// The longest title, in characters.
const TITLE_MAX: usize = 60;

/// DejaVu Sans with the characters of Latin 1.
static FONT: &[u8] = include_bytes!("../../assets/DejaVuSans-subset.ttf");

// On the panel the text has a contrast of at least 7 : 1, and the bars of 4.5 : 1 (WCAG 2.2, 1.4.6 and 1.4.11 ask for 7 and 3); a test
// computes them. The bars differ in brightness too, and stand in the same order as the words that explain them.
const PANEL: RGBColor = RGBColor(0x23, 0x24, 0x28);
const FRAME: RGBColor = RGBColor(0x6d, 0x6f, 0x78);
const TEXT: RGBColor = RGBColor(0xf2, 0xf3, 0xf5);
const FAINT_TEXT: RGBColor = RGBColor(0xb8, 0xbb, 0xc1);
const LINE: RGBColor = RGBColor(0x3f, 0x41, 0x47);
const SUCCEEDED: RGBColor = RGBColor(0x2f, 0xb1, 0x70);
const FAILED: RGBColor = RGBColor(0xff, 0x9b, 0x8f);

type Panel<'a> = DrawingArea<BitMapBackend<'a>, Shift>;
type Drawn = Result<(), DrawingAreaErrorKind<<BitMapBackend<'static> as plotters::backend::DrawingBackend>::ErrorType>>;

/// Whether so many days are shown by their weeks.
fn is_weekly(days: &[Day]) -> bool {
    days.len() > DAYS_MAX
}

/// What each bar shows: a day, or seven, under the first one's date.
fn bars(days: &[Day]) -> Vec<Day> {
    let together = |days: &[Day]| {
        let first = days.first()?.day;
        let count = |of: fn(&Day) -> usize| days.iter().map(of).sum();
        Some(Day { day: first, succeeded: count(|day| day.succeeded), failed: count(|day| day.failed) })
    };
    if is_weekly(days) { days.chunks(7).filter_map(together).collect() } else { days.to_vec() }
}

/// The picture of these numbers; `what` says of what they are.
pub fn png(figures: &Figures, what: &str) -> Result<Vec<u8>, NoChart> {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| {
        // It is a font: a test draws with it.
        let _ = register_font("sans-serif", FontStyle::Normal, FONT);
    });
    let mut pixels = vec![0; (WIDTH * HEIGHT * 3).unsigned_abs() as usize];
    {
        let backend = BitMapBackend::with_buffer(&mut pixels, (WIDTH.unsigned_abs(), HEIGHT.unsigned_abs()));
        let panel = backend.into_drawing_area();
        draw(&panel, figures, what).map_err(|error| NoChart(error.to_string()))?;
    }
    encode(&pixels).map_err(|error| NoChart(error.to_string()))
}

/// What the picture shows, for those who can't see it.
pub fn description(figures: &Figures, what: &str) -> String {
    let (first, last) = (figures.days.first(), figures.days.last());
    let span = first.zip(last).map(|(first, last)| format!(" from {} to {}", first.day, last.day)).unwrap_or_default();
    let busiest = figures.days.iter().max_by_key(|day| day.succeeded + day.failed);
    let busiest = busiest.filter(|day| day.succeeded + day.failed > 0);
    let busiest = busiest
        .map(|day| format!(" The most on one day were {}, on {}.", day.succeeded + day.failed, day.day))
        .unwrap_or_default();
    format!(
        "Bars of the deploys a {} of {what}{span}: {} succeeded and {} failed.{busiest}",
        if is_weekly(&figures.days) { "week" } else { "day" },
        figures.succeeded,
        figures.failed
    )
}

fn draw(panel: &Panel<'_>, figures: &Figures, what: &str) -> Drawn {
    panel.fill(&PANEL)?;
    panel.draw(&Rectangle::new([(0, 0), (WIDTH - 1, HEIGHT - 1)], ShapeStyle::from(FRAME).stroke_width(2)))?;
    let style = ("sans-serif", 30).into_font().into_text_style(panel);
    let mut title = title(&figures.days, what);
    while panel.estimate_text_size(&title, &style)?.0 > (WIDTH - 48).unsigned_abs() {
        title.truncate(title.trim_end_matches('…').char_indices().next_back().map_or(0, |(last, _)| last));
        title.push('…');
    }
    text(panel, &title, (24, 20), 30, TEXT, HPos::Left)?;
    legend(panel, figures)?;
    let bars = bars(&figures.days);
    let highest = bars.iter().map(|bar| bar.succeeded + bar.failed).max().unwrap_or(0);
    let step = step(highest);
    let top = highest.div_ceil(step).max(1) * step;
    let y = |count: usize| BOTTOM - (i64::from(BOTTOM - TOP) * count as i64 / top as i64) as i32;
    for count in (0..=top).step_by(step) {
        panel.draw(&PathElement::new([(LEFT, y(count)), (RIGHT, y(count))], ShapeStyle::from(LINE).stroke_width(2)))?;
        text(panel, &short(count), (LEFT - 12, y(count) - 8), 20, FAINT_TEXT, HPos::Right)?;
    }
    let count = bars.len().max(1) as i64;
    let edge = |index: usize| LEFT + (i64::from(RIGHT - LEFT) * index as i64 / count) as i32;
    for (index, Day { succeeded, failed, .. }) in bars.iter().enumerate() {
        let (left, right) = (edge(index), edge(index + 1));
        // Bars that are narrow touch each other.
        let gap = if right - left < NARROW { 0 } else { ((right - left) / 5).max((right - left - BAR_MAX) / 2) };
        let (left, right) = (left + gap, (right - 1 - gap).max(left + gap));
        let bar = |from: usize, to: usize, colour: RGBColor| {
            Rectangle::new([(left, y(to)), (right, y(from) - 1)], colour.filled())
        };
        if *succeeded > 0 {
            panel.draw(&bar(0, *succeeded, SUCCEEDED))?;
        }
        if *failed > 0 {
            panel.draw(&bar(*succeeded, succeeded + failed, FAILED))?;
        }
    }
    for index in dates(bars.len()) {
        let middle = (edge(index) + edge(index + 1)) / 2;
        text(panel, &date(bars[index].day), (middle, BOTTOM + 14), 20, FAINT_TEXT, HPos::Center)?;
    }
    if highest == 0 {
        let (x, y) = ((LEFT + RIGHT) / 2, (TOP + BOTTOM) / 2 - 14);
        text(panel, "no deploy came to its end in this time", (x, y), 24, TEXT, HPos::Center)?;
    }
    panel.present()
}

fn legend(panel: &Panel<'_>, figures: &Figures) -> Drawn {
    let mut left = 24;
    for (words, count, colour) in [("succeeded", figures.succeeded, SUCCEEDED), ("failed", figures.failed, FAILED)] {
        panel.draw(&Rectangle::new([(left, 66), (left + 17, 83)], colour.filled()))?;
        let words = format!("{count} {words}");
        text(panel, &words, (left + 28, 67), 22, TEXT, HPos::Left)?;
        left += 28 + 13 * words.len() as i32 + 24;
    }
    Ok(())
}

fn text(panel: &Panel<'_>, words: &str, at: (i32, i32), size: i32, colour: RGBColor, side: HPos) -> Drawn {
    let style = ("sans-serif", size).into_font().into_text_style(panel).color(&colour).pos(Pos::new(side, VPos::Top));
    panel.draw(&Text::new(words.to_owned(), at, style))
}

/// A title in characters that the font has.
fn title(days: &[Day], what: &str) -> String {
    let shown: String =
        what.chars().map(|c| if matches!(c, ' '..='~' | '\u{a1}'..='\u{ff}') { c } else { '?' }).collect();
    let title = format!("Deploys a {} · {shown}", if is_weekly(days) { "week" } else { "day" });
    match title.char_indices().nth(TITLE_MAX) {
        Some((end, _)) => format!("{}…", &title[..end]),
        None => title,
    }
}

/// A number as it stands beside a line: `150k`.
fn short(count: usize) -> String {
    if count >= 10_000 && count.is_multiple_of(1_000) { format!("{}k", count / 1_000) } else { count.to_string() }
}

/// The least of 1, 2, 5, 10, 20, 50 … with which few lines are enough.
fn step(highest: usize) -> usize {
    let mut step = 1;
    loop {
        for factor in [1, 2, 5] {
            if highest.div_ceil(step * factor) <= LINES_MAX {
                return step * factor;
            }
        }
        step *= 10;
    }
}

/// Under which bars their date stands.
fn dates(days: usize) -> Vec<usize> {
    let every = days.div_ceil(DATES_MAX).max(1);
    (0..days).rev().step_by(every).collect()
}

fn date(day: Date) -> String {
    day.strftime("%-d %b").to_string()
}

fn encode(pixels: &[u8]) -> Result<Vec<u8>, png::EncodingError> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, WIDTH.unsigned_abs(), HEIGHT.unsigned_abs());
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.write_header()?.write_image_data(pixels)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(days: usize, each: impl Fn(usize) -> (usize, usize)) -> Figures {
        let mut day = Date::constant(2026, 1, 1);
        let days: Vec<Day> = (0..days)
            .map(|index| {
                let (succeeded, failed) = each(index);
                let this = Day { day, succeeded, failed };
                day = day.tomorrow().unwrap();
                this
            })
            .collect();
        let (succeeded, failed) = days.iter().fold((0, 0), |(ok, bad), day| (ok + day.succeeded, bad + day.failed));
        Figures { days, succeeded, failed, rolled_back: 0, lead: None, recovery: None, unrecovered: 0 }
    }

    /// How bright a colour is (WCAG 2.2, "relative luminance").
    fn luminance(colour: RGBColor) -> f64 {
        let part = |value: u8| {
            let value = f64::from(value) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * part(colour.0) + 0.7152 * part(colour.1) + 0.0722 * part(colour.2)
    }

    fn contrast(one: RGBColor, other: RGBColor) -> f64 {
        let (one, other) = (luminance(one) + 0.05, luminance(other) + 0.05);
        (one / other).max(other / one)
    }

    #[test]
    fn everything_stands_out_from_the_panel_and_the_panel_from_both_themes() {
        for colour in [TEXT, FAINT_TEXT] {
            assert!(contrast(colour, PANEL) >= 7.0, "{colour:?}: {}", contrast(colour, PANEL));
        }
        for colour in [SUCCEEDED, FAILED] {
            assert!(contrast(colour, PANEL) >= 4.5, "{colour:?}: {}", contrast(colour, PANEL));
        }
        assert!(contrast(SUCCEEDED, FAILED) >= 1.3, "{}", contrast(SUCCEEDED, FAILED));
        let themes = [RGBColor(0x31, 0x33, 0x38), RGBColor(0xff, 0xff, 0xff)];
        for theme in themes {
            assert!(contrast(FRAME, theme) >= 2.4, "{}", contrast(FRAME, theme));
        }
    }

    #[test]
    fn a_picture_is_drawn_whatever_there_is_to_show() {
        for (name, figures, what) in [
            ("none", figures(30, |_| (0, 0)), "everything"),
            ("one", figures(1, |_| (3, 1)), "acme/web"),
            ("month", figures(31, |day| (day * 7 % 11, day % 4 / 3 * 2)), "acme/web, production"),
            (
                "year",
                figures(365, |day| (day * 31 % 90, day % 13)),
                "\u{202e}@everyone <script> 漢字 and a name of a hundred characters or more than that",
            ),
            ("wide", figures(7, |_| (1, 1)), &*"W".repeat(60)),
            ("many", figures(7, |_| (123_456, 7)), "x"),
            ("empty", figures(0, |_| (0, 0)), ""),
        ] {
            let picture = png(&figures, what).unwrap();
            let decoded = png::Decoder::new(std::io::Cursor::new(&picture)).read_info().unwrap();
            assert_eq!((decoded.info().width, decoded.info().height), (960, 440));
            assert!(picture.len() < 100_000, "{name}: {} bytes", picture.len());
        }
    }

    #[test]
    fn lines_and_dates_are_few_and_whole_numbers() {
        let year = bars(&figures(365, |_| (2, 1)).days);
        assert_eq!((year.len(), year[0].succeeded, year[52].failed), (53, 14, 1));
        assert_eq!([short(9_000), short(150_000)], ["9000", "150k"]);
        assert_eq!([0, 1, 5, 6, 12, 40, 100, 101].map(step), [1, 1, 1, 2, 5, 10, 20, 50]);
        assert_eq!(dates(3), [2, 1, 0]);
        assert_eq!(dates(31), [30, 25, 20, 15, 10, 5, 0]);
        assert_eq!((dates(0).len(), dates(365).len()), (0, 7));
    }
}
