//! Drawings that a camera reads, for what people would have to type.

use qrcode::{EcLevel, QrCode, render::unicode::Dense1x2};

/// Draws a text with half blocks, two rows a line, with the light margin that readers look for.
/// `None` if it is longer than a QR code holds.
///
/// The colours are set, so that it is dark on light whatever the terminal's are, unless `is_plain`:
/// what is light is drawn then, as for a dark terminal.
pub(crate) fn drawing(text: &str, is_plain: bool) -> Option<String> {
    let code = QrCode::with_error_correction_level(text, EcLevel::M).ok()?;
    let mut renderer = code.render::<Dense1x2>();
    // A block shows the colour of the text, an empty place that of the terminal.
    let drawn = renderer.dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build();
    if is_plain {
        return Some(drawn);
    }
    let lines: Vec<String> =
        drawn.lines().map(|line| format!("{WHITE_ON_BLACK}{line}{USUAL}")).collect();
    Some(lines.join("\n"))
}

/// SGR of [ECMA-48](https://ecma-international.org/publications-and-standards/standards/ecma-48/),
/// section 8.3.117, with the bright white that terminals added.
const WHITE_ON_BLACK: &str = "\u{1b}[97;40m";
const USUAL: &str = "\u{1b}[0m";

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether each place of the drawing is dark, without the margin.
    fn modules(drawn: &str) -> Vec<Vec<bool>> {
        let mut rows = Vec::new();
        for line in drawn.lines() {
            for is_upper in [true, false] {
                let is_light = |c: char| match c {
                    '\u{2588}' => true,
                    '\u{2580}' => is_upper,
                    '\u{2584}' => !is_upper,
                    ' ' => false,
                    other => panic!("{other:?}"),
                };
                rows.push(line.chars().map(|c| !is_light(c)).collect::<Vec<_>>());
            }
        }
        let width = rows[0].len();
        assert!(rows[..MARGIN].iter().flatten().all(|is_dark| !is_dark), "light around it");
        rows[MARGIN..width - MARGIN]
            .iter()
            .map(|row| row[MARGIN..width - MARGIN].to_vec())
            .collect()
    }

    #[test]
    fn a_code_fits_the_smallest_drawing_and_has_its_three_corners() {
        let modules = modules(&drawing("K7QF-M2XD-9TPR-4WHC", true).unwrap());
        assert_eq!((modules.len(), modules[0].len()), (21, 21));
        for (top, left) in [(0, 0), (0, 14), (14, 0)] {
            for (row, places) in modules[top..top + 7].iter().enumerate() {
                for (column, is_dark) in places[left..left + 7].iter().enumerate() {
                    let ring = row.abs_diff(3).max(column.abs_diff(3));
                    assert_eq!(*is_dark, ring != 2, "{top} {left}: {row} {column}");
                }
            }
        }
    }

    #[test]
    fn a_terminal_shows_it_in_its_own_colours_and_a_long_text_is_none() {
        let [plain, shown] = [true, false].map(|is_plain| drawing("A", is_plain).unwrap());
        let bare: Vec<_> = shown
            .lines()
            .map(|line| line.strip_prefix(WHITE_ON_BLACK).unwrap().strip_suffix(USUAL).unwrap())
            .collect();
        assert_eq!(bare, plain.lines().collect::<Vec<_>>());
        assert_eq!(drawing(&"A".repeat(8000), true), None);
    }

    const MARGIN: usize = 4;
}
