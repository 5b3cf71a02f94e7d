//! What the user gives: numbers, files with addresses, IDF's `flasher_args.json`, `@` files.
//!
//! Everything is checked before the chip is touched.

mod arguments;
mod number;

use std::{io, path::PathBuf};

pub use arguments::{expand_argument_files, flasher_args};
pub use number::{BadNumber, parse_number};

use crate::{flash::SECTOR_BYTES, write::Image};

/// An input that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// A file cannot be read.
    #[error("cannot read {}: {cause}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// A number cannot be read.
    #[error(transparent)]
    Number(#[from] BadNumber),
    /// An address without a file.
    #[error("{address} has no file behind it; give pairs of ADDRESS FILE")]
    Unpaired {
        /// The address.
        address: String,
    },
    /// No file at all.
    #[error("nothing to do: give pairs of ADDRESS FILE, @FILE, or --flasher-args FILE")]
    Nothing,
    /// A file is empty.
    #[error("{name} is empty")]
    Empty {
        /// The file.
        name: String,
    },
    /// An address is not on a sector.
    #[error(
        "{name} begins at {offset:#x}, which is not a multiple of 0x1000; the flash erases whole sectors"
    )]
    Unaligned {
        /// The file.
        name: String,
        /// Its address.
        offset: u32,
    },
    /// A file ends behind the flash.
    #[error("{name} at {offset:#x} ends at {end:#x}, behind the flash of {flash_bytes:#x} bytes")]
    TooBig {
        /// The file.
        name: String,
        /// Its address.
        offset: u32,
        /// One past its last byte.
        end: u64,
        /// Size of the flash in bytes.
        flash_bytes: u32,
    },
    /// Two files share a sector.
    #[error("{first} and {second} share the sector at {offset:#x}: writing one erases the other")]
    Overlap {
        /// The lower file.
        first: String,
        /// The upper file.
        second: String,
        /// Address of the shared sector.
        offset: u32,
    },
    /// `flasher_args.json` is not what IDF writes.
    #[error("{} is no flasher_args.json: {cause}", .path.display())]
    FlasherArgs {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: serde_json::Error,
    },
}

/// Sorts images by address and checks all that can be known before a chip answers.
///
/// # Errors
///
/// [`InputError`] for empty, unaligned and overlapping images, and such beyond 4 GiB.
pub fn check_images(images: &mut [Image]) -> Result<(), InputError> {
    if images.is_empty() {
        return Err(InputError::Nothing);
    }
    images.sort_by_key(|image| image.offset);
    for image in images.iter() {
        if image.data.is_empty() {
            return Err(InputError::Empty { name: image.name.clone() });
        }
        if !image.offset.is_multiple_of(SECTOR_BYTES) {
            let name = image.name.clone();
            return Err(InputError::Unaligned { name, offset: image.offset });
        }
    }
    for pair in images.windows(2) {
        let end = sector_end(&pair[0]);
        if end > u64::from(pair[1].offset) {
            return Err(InputError::Overlap {
                first: pair[0].name.clone(),
                second: pair[1].name.clone(),
                offset: pair[1].offset,
            });
        }
    }
    check_fit(images, u32::MAX)
}

/// Checks that all images end inside a flash of `flash_bytes`.
///
/// # Errors
///
/// [`InputError::TooBig`].
pub fn check_fit(images: &[Image], flash_bytes: u32) -> Result<(), InputError> {
    for image in images {
        let end = u64::from(image.offset) + image.data.len() as u64;
        if end > u64::from(flash_bytes) {
            let (name, offset) = (image.name.clone(), image.offset);
            return Err(InputError::TooBig { name, offset, end, flash_bytes });
        }
    }
    Ok(())
}

/// One past the last sector that an image needs.
fn sector_end(image: &Image) -> u64 {
    (u64::from(image.offset) + image.data.len() as u64).next_multiple_of(SECTOR_BYTES.into())
}

/// Reads the files of `pairs`: address and path in turn.
///
/// # Errors
///
/// [`InputError`].
pub fn read_pairs(pairs: &[String]) -> Result<Vec<Image>, InputError> {
    pairs
        .chunks(2)
        .map(|pair| match pair {
            [address, path] => read_image(parse_number(address)?, path.into()),
            [address] => Err(InputError::Unpaired { address: address.clone() }),
            _ => Err(InputError::Nothing),
        })
        .collect()
}

/// Reads one file as an image at `offset`.
///
/// # Errors
///
/// [`InputError::File`].
pub fn read_image(offset: u32, path: PathBuf) -> Result<Image, InputError> {
    match std::fs::read(&path) {
        Ok(data) => Ok(Image { name: path.display().to_string(), offset, data }),
        Err(cause) => Err(InputError::File { path, cause }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(name: &str, offset: u32, len: usize) -> Image {
        Image { name: name.into(), offset, data: vec![0; len] }
    }

    #[test]
    fn images_that_share_a_sector_are_refused_in_either_order() {
        let mut images = [image("app", 0x2000, 1), image("boot", 0x1000, 0x1001)];
        let error = check_images(&mut images).unwrap_err();
        let InputError::Overlap { first, second, offset } = error else { panic!("{error}") };
        assert_eq!((first.as_str(), second.as_str(), offset), ("boot", "app", 0x2000));
    }

    #[test]
    fn neighbours_are_fine() {
        check_images(&mut [image("b", 0x1000, 0x1000), image("a", 0x2000, 5)]).unwrap();
    }

    #[test]
    fn unaligned_empty_and_too_big_are_refused() {
        assert!(matches!(
            check_images(&mut [image("a", 0x1001, 1)]),
            Err(InputError::Unaligned { offset: 0x1001, .. })
        ));
        assert!(matches!(check_images(&mut [image("a", 0, 0)]), Err(InputError::Empty { .. })));
        assert!(matches!(check_images(&mut []), Err(InputError::Nothing)));
        assert!(matches!(
            check_fit(&[image("a", 0x1000, 0x1001)], 0x2000),
            Err(InputError::TooBig { end: 0x2001, .. })
        ));
    }

    #[test]
    fn an_address_without_a_file_is_named() {
        let error = read_pairs(&["0x1000".into()]).unwrap_err();
        assert!(matches!(error, InputError::Unpaired { .. }), "{error}");
    }
}
