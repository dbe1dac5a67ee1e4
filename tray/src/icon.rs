//! The icons: drawings in `tray/icons`, a phone with a sign in it, made into pixels when they are shown. The signs
//! differ in shape, so that nobody needs the colours.

use std::borrow::Cow;

use resvg::{
    tiny_skia::{Pixmap, Transform},
    usvg::{Options, Tree},
};
use thiserror::Error;
use tray_icon::{BadIcon, Icon};

use crate::model::IconKind;

/// Width and height in pixels. One picture has to serve every panel; Windows shows 16 to 32 pixels.
#[cfg(windows)]
pub(crate) const SIZE: u32 = 32;
/// Width and height in pixels. One picture has to serve every panel: 44 is what a menu bar or panel of 22 points shows
/// at a scale of 2 as it is, and at a scale of 1 by halves.
#[cfg(not(windows))]
pub(crate) const SIZE: u32 = 44;

const FINE: &str = include_str!("../icons/fine.svg");
const PAUSED: &str = include_str!("../icons/paused.svg");
const WORKING: &str = include_str!("../icons/working.svg");
const PROGRESS: &str = include_str!("../icons/progress.svg");
const NEEDS_YOU: &str = include_str!("../icons/needs-you.svg");
const FAILED: &str = include_str!("../icons/failed.svg");
const OFFLINE: &str = include_str!("../icons/offline.svg");

/// What in `progress.svg` says how much of the circle is done, and the length of the circle.
const DONE: &str = "stroke-dasharray=\"10.472 ";
const CIRCLE: f32 = 25.133;

/// Why there is no icon. Never in practice: the drawings come with the program, and a test draws them all.
#[derive(Debug, Error)]
pub(crate) enum IconError {
    /// The drawing is not an SVG.
    #[error("the icon cannot be read: {0}")]
    Drawing(#[from] resvg::usvg::Error),
    /// No memory for the pixels.
    #[error("an icon of {0} pixels cannot be made")]
    Size(u32),
    /// The platform refuses it.
    #[error(transparent)]
    Refused(#[from] BadIcon),
}

/// The icon for the tray.
///
/// # Errors
/// See [`IconError`].
pub(crate) fn icon(kind: IconKind) -> Result<Icon, IconError> {
    Ok(Icon::from_rgba(pixels(kind, SIZE)?, SIZE, SIZE)?)
}

/// The icon with this width and height, as rows of red, green, blue and alpha.
fn pixels(kind: IconKind, size: u32) -> Result<Vec<u8>, IconError> {
    let tree = Tree::from_str(&drawing(kind), &Options::default())?;
    let mut pixmap = Pixmap::new(size, size).ok_or(IconError::Size(size))?;
    let scale = size as f32 / tree.size().width();
    resvg::render(&tree, Transform::from_scale(scale, scale), &mut pixmap.as_mut());
    let straight = pixmap.pixels().iter().map(|pixel| pixel.demultiply());
    Ok(straight.flat_map(|pixel| [pixel.red(), pixel.green(), pixel.blue(), pixel.alpha()]).collect())
}

fn drawing(kind: IconKind) -> Cow<'static, str> {
    Cow::Borrowed(match kind {
        IconKind::Fine => FINE,
        IconKind::Paused => PAUSED,
        IconKind::Working { twelfths: None } => WORKING,
        IconKind::Working { twelfths: Some(twelfths) } => {
            let done = f32::from(twelfths) / 12.0 * CIRCLE;
            return Cow::Owned(PROGRESS.replace(DONE, &format!("stroke-dasharray=\"{done} ")));
        }
        IconKind::NeedsYou => NEEDS_YOU,
        IconKind::Failed => FAILED,
        IconKind::Offline => OFFLINE,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [IconKind; 8] = [
        IconKind::Fine,
        IconKind::Paused,
        IconKind::Working { twelfths: None },
        IconKind::Working { twelfths: Some(2) },
        IconKind::Working { twelfths: Some(9) },
        IconKind::NeedsYou,
        IconKind::Failed,
        IconKind::Offline,
    ];

    const WHITE: [u8; 3] = [255; 3];
    const DARK_PANEL: [u8; 3] = [0x1e; 3];

    /// Black and white as a colour-blind eye or a monochrome panel has it: nothing, body or sign.
    fn shape(kind: IconKind, size: u32) -> Vec<u8> {
        let pixels = pixels(kind, size).unwrap();
        let seen = pixels.chunks_exact(4).map(|pixel| match pixel {
            [.., alpha] if *alpha < 128 => 0,
            [red, green, blue, _] if red.min(green).min(blue) > &200 => 2,
            _ => 1,
        });
        seen.collect()
    }

    fn differing(one: IconKind, other: IconKind, size: u32) -> usize {
        shape(one, size).iter().zip(shape(other, size)).filter(|(left, right)| **left != *right).count()
    }

    #[test]
    fn icons_differ_in_shape_and_not_only_in_colour() {
        for (index, one) in ALL.iter().enumerate() {
            icon(*one).unwrap();
            for other in &ALL[index + 1..] {
                for size in [22, 44] {
                    // A twentieth of the phone's 14 by 20 units.
                    let (differing, least) = (differing(*one, *other, size), (size * size * 14 / 484) as usize);
                    assert!(differing >= least, "{one:?} and {other:?} differ in {differing} of {size}x{size} pixels");
                }
            }
        }
    }

    #[test]
    fn every_twelfth_is_seen() {
        let bright = |twelfths| {
            let shape = shape(IconKind::Working { twelfths: Some(twelfths) }, 44);
            shape.into_iter().filter(|pixel| *pixel == 2).count()
        };
        for twelfths in 1..12 {
            assert!(bright(twelfths) > bright(twelfths - 1) + 5, "{twelfths}");
        }
    }

    fn luminance(colour: [u8; 3]) -> f64 {
        let linear = colour.map(|part| {
            let part = f64::from(part) / 255.0;
            if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
        });
        0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    }

    /// As the Web Content Accessibility Guidelines define it: 1 to 21.
    fn contrast(one: [u8; 3], other: [u8; 3]) -> f64 {
        let (one, other) = (luminance(one) + 0.05, luminance(other) + 0.05);
        one.max(other) / one.min(other)
    }

    /// The colour that most of the pixels have which are not white.
    fn body(kind: IconKind) -> [u8; 3] {
        let pixels = pixels(kind, 44).unwrap();
        let mut counts = std::collections::HashMap::new();
        for pixel in pixels.chunks_exact(4).filter(|pixel| pixel[3] == 255 && pixel[..3] != WHITE) {
            *counts.entry([pixel[0], pixel[1], pixel[2]]).or_insert(0) += 1;
        }
        counts.into_iter().max_by_key(|(_, count)| *count).unwrap().0
    }

    #[test]
    fn icons_are_seen_on_light_and_dark_panels() {
        for kind in ALL {
            let body = body(kind);
            for panel in [WHITE, DARK_PANEL] {
                assert!(contrast(body, panel) >= 3.0, "{kind:?} {body:?} on {panel:?}: {}", contrast(body, panel));
            }
            assert!(contrast(body, WHITE) >= 4.5, "{kind:?}: white sign on {body:?}: {}", contrast(body, WHITE));
        }
    }
}
