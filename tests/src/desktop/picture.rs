//! What is on a screen, as pixels.

use std::path::Path;

type Colour = [u8; 3];

/// A rectangle of a picture, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Area {
    /// The first column.
    pub left: usize,
    /// The first row.
    pub top: usize,
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

impl Area {
    /// Its middle.
    pub fn middle(&self) -> (usize, usize) {
        (self.left + self.width / 2, self.top + self.height / 2)
    }

    /// The smallest that contains both.
    #[must_use]
    pub fn with(&self, other: &Self) -> Self {
        let (left, top) = (self.left.min(other.left), self.top.min(other.top));
        let right = (self.left + self.width).max(other.left + other.width);
        let bottom = (self.top + self.height).max(other.top + other.height);
        Self { left, top, width: right - left, height: bottom - top }
    }

    /// With so many pixels around it; what lies outside a picture is left off when it is cut out.
    #[must_use]
    pub fn grown(&self, by: usize) -> Self {
        let (left, top) = (self.left.saturating_sub(by), self.top.saturating_sub(by));
        Self { left, top, width: self.width + (self.left - left) + by, height: self.height + (self.top - top) + by }
    }
}

/// A picture.
#[derive(Clone, PartialEq, Eq)]
pub struct Picture {
    width: usize,
    pixels: Vec<Colour>,
}

impl Picture {
    /// Reads the X window dump that Xvfb keeps of its screen: 32-bit pixels, blue first.
    ///
    /// # Panics
    /// When the file is of another kind.
    pub fn of_dump(dump: &[u8]) -> Self {
        let field = |index: usize| u32::from_be_bytes(dump[index * 4..][..4].try_into().unwrap()) as usize;
        // The fields of XWDFileHeader in X11/XWDFile.h.
        let (header, width, height, bits, row, colours) =
            (field(0), field(4), field(5), field(11), field(12), field(19));
        assert_eq!((field(1), bits, row), (7, 32, width * 4), "not the dump of a screen of 24 bits");
        let pixels = &dump[header + colours * 12..][..row * height];
        Self {
            width,
            pixels: pixels.as_chunks::<4>().0.iter().map(|[blue, green, red, _]| [*red, *green, *blue]).collect(),
        }
    }

    /// All of it.
    pub fn area(&self) -> Area {
        Area { left: 0, top: 0, width: self.width, height: self.pixels.len() / self.width }
    }

    /// Where this colour is, give or take what scaling does to it, and on how many pixels.
    pub fn find(&self, colour: Colour) -> Option<(Area, usize)> {
        self.bounds(|index| self.pixels[index].iter().zip(colour).all(|(have, want)| have.abs_diff(want) <= 6))
    }

    /// Where another picture of the same size differs from this one.
    pub fn changes(&self, other: &Self) -> Option<Area> {
        assert_eq!(self.area(), other.area(), "pictures of one screen");
        self.bounds(|index| self.pixels[index] != other.pixels[index]).map(|(area, _)| area)
    }

    fn bounds(&self, belongs: impl Fn(usize) -> bool) -> Option<(Area, usize)> {
        let (mut found, mut count) = (None::<Area>, 0);
        for index in (0..self.pixels.len()).filter(|index| belongs(*index)) {
            let pixel = Area { left: index % self.width, top: index / self.width, width: 1, height: 1 };
            found = Some(found.map_or(pixel, |area| area.with(&pixel)));
            count += 1;
        }
        found.map(|area| (area, count))
    }

    /// What is within this area.
    ///
    /// # Panics
    /// When nothing is.
    #[must_use]
    pub fn cut(&self, area: &Area) -> Self {
        let rows = self.pixels.chunks_exact(self.width).skip(area.top).take(area.height);
        let end = (area.left + area.width).min(self.width);
        let pixels = rows.flat_map(|row| &row[area.left..end]).copied().collect();
        Self { width: end - area.left, pixels }
    }

    /// What stands out in this row of pixels: from where to where it looks different from the first of them.
    pub fn marks(&self, row: usize, columns: std::ops::Range<usize>) -> Vec<std::ops::Range<usize>> {
        let pixels = &self.pixels[row * self.width..][columns.clone()];
        let mut marks: Vec<std::ops::Range<usize>> = Vec::new();
        for (_, column) in pixels.iter().zip(columns).filter(|(pixel, _)| **pixel != pixels[0]) {
            match marks.last_mut() {
                Some(last) if last.end == column => last.end += 1,
                _ => marks.push(column..column + 1),
            }
        }
        marks
    }

    /// Pictures of the same height in a row, with the first at the left.
    ///
    /// # Panics
    /// When there are none, or they differ in height.
    pub fn beside(pictures: &[Self]) -> Self {
        let rows: Vec<Vec<_>> = pictures.iter().map(|one| one.pixels.chunks_exact(one.width).collect()).collect();
        assert!(rows.iter().all(|one| one.len() == rows[0].len()), "pictures of one height");
        let pixels = (0..rows[0].len()).flat_map(|row| rows.iter().flat_map(move |one| one[row])).copied().collect();
        Self { width: pictures.iter().map(|one| one.width).sum(), pixels }
    }

    /// How many colours there are: one only where nothing is drawn.
    pub fn colours(&self) -> usize {
        self.pixels.iter().collect::<std::collections::HashSet<_>>().len()
    }

    /// Writes it as a PNG file.
    pub fn save(&self, path: &Path) {
        let file = std::fs::File::create(path).unwrap();
        let area = self.area();
        let mut encoder = png::Encoder::new(file, area.width as u32, area.height as u32);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_compression(png::Compression::High);
        encoder.write_header().unwrap().write_image_data(self.pixels.as_flattened()).unwrap();
    }
}
