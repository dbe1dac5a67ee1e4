//! The icons, drawn by code: a phone with a sign in it. The signs differ in shape, so that nobody needs the colours.

use tray_icon::{BadIcon, Icon};

use crate::model::IconKind;

/// Width and height in pixels; panels scale down, and 64 is enough for a scale of 2.
pub(crate) const SIZE: u32 = 64;

type Point = (f32, f32);
type Rgb = [u8; 3];

const WHITE: Rgb = [255, 255, 255];
/// The size in pixels of the canvas the coordinates below are for.
const CANVAS: f32 = 64.0;
const MIDDLE: Point = (32.0, 32.0);

/// The icon for the tray.
///
/// # Errors
/// Never in practice: the size fits the pixels.
pub(crate) fn icon(kind: IconKind) -> Result<Icon, BadIcon> {
    Icon::from_rgba(pixels(kind), SIZE, SIZE)
}

/// The icon as rows of red, green, blue and alpha.
pub(crate) fn pixels(kind: IconKind) -> Vec<u8> {
    let scale = CANVAS / SIZE as f32;
    let mut rgba = Vec::with_capacity((SIZE * SIZE * 4) as usize);
    for row in 0..SIZE {
        for column in 0..SIZE {
            let point = ((column as f32 + 0.5) * scale, (row as f32 + 0.5) * scale);
            rgba.extend(pixel(kind, point));
        }
    }
    rgba
}

fn pixel(kind: IconKind, at: Point) -> [u8; 4] {
    let body = rounded_box(at, MIDDLE, (21.0, 31.0), 9.0);
    if kind == IconKind::Offline {
        let outline = coverage(body).min(1.0 - coverage(body + 6.0));
        return blend(colour(kind), WHITE, 0.0, outline);
    }
    blend(colour(kind), WHITE, coverage(glyph(kind, at)), coverage(body))
}

/// Dark enough for a white sign, light enough for a black panel.
fn colour(kind: IconKind) -> Rgb {
    match kind {
        IconKind::Paused => [110, 110, 115],
        IconKind::Fine => [36, 138, 61],
        IconKind::Working { .. } => [0, 110, 230],
        IconKind::NeedsYou => [201, 105, 0],
        IconKind::Failed => [208, 32, 44],
        IconKind::Offline => [140, 140, 145],
    }
}

/// The distance to the sign of this kind, negative inside.
fn glyph(kind: IconKind, at: Point) -> f32 {
    const STROKE: f32 = 3.2;
    let line = |from, to| segment(at, from, to) - STROKE;
    match kind {
        IconKind::Fine => line((21.0, 33.0), (29.0, 42.0)).min(line((29.0, 42.0), (43.0, 22.0))),
        IconKind::Working { .. } => {
            let arrow = |x: f32, tail: f32, tip: f32| {
                let wing = tip + if tip < tail { 9.0 } else { -9.0 };
                let head = line((x, tip), (x - 6.5, wing)).min(line((x, tip), (x + 6.5, wing)));
                head.min(line((x, tail), (x, tip)))
            };
            let (up, down) = (arrow(21.5, 40.0, 17.0), arrow(42.5, 24.0, 47.0));
            up.min(down)
        }
        IconKind::Paused => line((26.0, 22.0), (26.0, 42.0)).min(line((38.0, 22.0), (38.0, 42.0))),
        IconKind::NeedsYou => circle(at, MIDDLE, 11.0),
        IconKind::Failed => (segment(at, (32.0, 16.0), (32.0, 34.0)) - 4.6).min(circle(at, (32.0, 47.0), 5.2)),
        IconKind::Offline => f32::INFINITY,
    }
}

fn circle(at: Point, centre: Point, radius: f32) -> f32 {
    (at.0 - centre.0).hypot(at.1 - centre.1) - radius
}

fn segment(at: Point, from: Point, to: Point) -> f32 {
    let (along, across) = ((to.0 - from.0, to.1 - from.1), (at.0 - from.0, at.1 - from.1));
    let length = along.0.mul_add(along.0, along.1 * along.1);
    let part = (across.0.mul_add(along.0, across.1 * along.1) / length).clamp(0.0, 1.0);
    (across.0 - part * along.0).hypot(across.1 - part * along.1)
}

fn rounded_box(at: Point, centre: Point, half: Point, radius: f32) -> f32 {
    let corner = ((at.0 - centre.0).abs() - half.0 + radius, (at.1 - centre.1).abs() - half.1 + radius);
    corner.0.max(0.0).hypot(corner.1.max(0.0)) + corner.0.max(corner.1).min(0.0) - radius
}

/// How much of a pixel lies inside, for smooth edges.
fn coverage(distance: f32) -> f32 {
    (0.5 - distance).clamp(0.0, 1.0)
}

fn blend(ground: Rgb, sign: Rgb, share: f32, alpha: f32) -> [u8; 4] {
    let mix = |index: usize| {
        let (ground, sign) = (f32::from(ground[index]), f32::from(sign[index]));
        (sign - ground).mul_add(share, ground).round() as u8
    };
    [mix(0), mix(1), mix(2), (alpha * 255.0).round() as u8]
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [IconKind; 6] = [
        IconKind::Fine,
        IconKind::Paused,
        IconKind::Working { twelfths: None },
        IconKind::NeedsYou,
        IconKind::Failed,
        IconKind::Offline,
    ];

    /// Black and white as a colour-blind eye or a monochrome panel has it: ground or sign.
    fn shape(kind: IconKind) -> Vec<u8> {
        pixels(kind)
            .chunks_exact(4)
            .map(|pixel| match pixel {
                [.., alpha] if *alpha < 128 => 0,
                [red, green, blue, _] if red.min(green).min(blue) > &200 => 2,
                _ => 1,
            })
            .collect()
    }

    #[test]
    fn icons_differ_in_shape_and_not_only_in_colour() {
        for (index, one) in ALL.iter().enumerate() {
            assert!(icon(*one).is_ok());
            for other in &ALL[index + 1..] {
                let differing = shape(*one).iter().zip(shape(*other)).filter(|(left, right)| **left != *right).count();
                assert!(differing > 150, "{one:?} and {other:?} differ in {differing} pixels only");
            }
        }
    }
}
