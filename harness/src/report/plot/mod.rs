//! Plots as SVG that stands in a page. The page's style sheet swaps the colours for those of a dark page, by the
//! colours themselves: so each plot also stands alone, and no text of it is rewritten.

pub(super) mod run;
pub(super) mod sweep;

use std::fmt::Write as _;

use plotters::coord::Shift;
use plotters::element::Text;
use plotters::prelude::{DrawingArea, RGBColor, SVGBackend};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontFamily, IntoFont as _, TextStyle};

use super::group::OutcomeGroup;

/// Why there is no plot: the library refused to draw.
#[derive(Debug, thiserror::Error)]
#[error("a plot cannot be drawn: {0}")]
pub struct PlotError(String);

fn failed(error: impl std::error::Error) -> PlotError {
    PlotError(error.to_string())
}

/// Drawn on by all plots.
type Canvas<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// A colour on a light page, and the one that takes its place on a dark one. Each light one is used for one
/// thing only, so that it can be told by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ink {
    light: RGBColor,
    dark: RGBColor,
}

impl Ink {
    const fn new(light: (u8, u8, u8), dark: (u8, u8, u8)) -> Self {
        Self {
            light: RGBColor(light.0, light.1, light.2),
            dark: RGBColor(dark.0, dark.1, dark.2),
        }
    }
}

const LABEL: Ink = Ink::new((0x52, 0x60, 0x6d), (0xa9, 0xb6, 0xc1));
const GRID: Ink = Ink::new((0xdd, 0xe3, 0xe8), (0x33, 0x40, 0x4a));
const FAULT: Ink = Ink::new((0xd9, 0x8b, 0x2b), (0xe0, 0xa0, 0x4e));
const FAULT_LABEL: Ink = Ink::new((0x85, 0x4d, 0x0b), (0xf0, 0xc0, 0x84));
const SIGNED_IN: Ink = Ink::new((0x1f, 0x6f, 0xb2), (0x6d, 0xb3, 0xf2));
const REFUSED: Ink = Ink::new((0x72, 0x64, 0xa8), (0xb6, 0xab, 0xe8));
const ACCOUNT_STATE: Ink = Ink::new((0x1b, 0x80, 0x72), (0x5c, 0xcf, 0xbf));
const HELD_BACK: Ink = Ink::new((0xa8, 0x74, 0x00), (0xf0, 0xbe, 0x4a));
const UNAVAILABLE: Ink = Ink::new((0xc4, 0x31, 0x28), (0xff, 0x8a, 0x80));
const UNANSWERED: Ink = Ink::new((0x7b, 0x1e, 0x5b), (0xf0, 0x8c, 0xc8));

const INKS: [Ink; 10] = [
    LABEL,
    GRID,
    FAULT,
    FAULT_LABEL,
    SIGNED_IN,
    REFUSED,
    ACCOUNT_STATE,
    HELD_BACK,
    UNAVAILABLE,
    UNANSWERED,
];

/// Colours of lines that stand for values of a parameter. More lines than that share them.
const LINES: [Ink; 6] = [
    SIGNED_IN,
    UNAVAILABLE,
    ACCOUNT_STATE,
    HELD_BACK,
    REFUSED,
    UNANSWERED,
];

/// Of an outcome's group; its shape tells it too.
fn ink(group: OutcomeGroup) -> Ink {
    match group {
        OutcomeGroup::SignedIn => SIGNED_IN,
        OutcomeGroup::Refused => REFUSED,
        OutcomeGroup::AccountState => ACCOUNT_STATE,
        OutcomeGroup::HeldBack => HELD_BACK,
        OutcomeGroup::Unavailable => UNAVAILABLE,
        OutcomeGroup::Unanswered => UNANSWERED,
    }
}

/// The rules that turn plots into those of a dark page.
pub(super) fn dark_rules() -> String {
    let mut rules = String::new();
    for ink in INKS {
        let (light, dark) = (hex(ink.light), hex(ink.dark));
        for property in ["fill", "stroke"] {
            // Writing to a string does not fail.
            let _ = writeln!(rules, "  svg [{property}=\"{light}\"] {{ {property}: {dark}; }}");
        }
    }
    rules
}

/// As the library writes it.
fn hex(RGBColor(red, green, blue): RGBColor) -> String {
    format!("#{red:02X}{green:02X}{blue:02X}")
}

/// Draws onto a canvas of a size; what came of it, as an SVG element.
fn drawn(
    size: (u32, u32),
    draw: impl FnOnce(&Canvas<'_>) -> Result<(), PlotError>,
) -> Result<String, PlotError> {
    use plotters::prelude::IntoDrawingArea as _;
    let mut svg = String::new();
    {
        let canvas = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        draw(&canvas)?;
        canvas.present().map_err(failed)?;
    }
    Ok(svg)
}

/// The library's sizes are 1.24 times those of a browser.
fn font(ink: &'static Ink, size: f64, horizontal: HPos, vertical: VPos) -> TextStyle<'static> {
    let style = TextStyle::from((FontFamily::SansSerif, size * 1.24).into_font());
    style.color(&ink.light).pos(Pos::new(horizontal, vertical))
}

fn write(canvas: &Canvas<'_>, text: &str, at: (i32, i32), style: TextStyle<'_>) -> Result<(), PlotError> {
    canvas
        .draw(&Text::new(text.to_owned(), at, style))
        .map_err(failed)
}
