//! `@` files and IDF's `flasher_args.json`.

use std::{collections::BTreeMap, path::Path};

use serde::Deserialize;

use super::{InputError, parse_number, read_image};
use crate::write::Image;

/// The part of `flasher_args.json` that matters here.
#[derive(Debug, Deserialize)]
struct FlasherArgs {
    flash_files: BTreeMap<String, String>,
}

/// Reads IDF's `flasher_args.json`; its paths are relative to its folder.
///
/// # Errors
///
/// [`InputError`].
pub fn flasher_args(path: &Path) -> Result<Vec<Image>, InputError> {
    let json =
        std::fs::read(path).map_err(|cause| InputError::File { path: path.to_owned(), cause })?;
    let args: FlasherArgs = serde_json::from_slice(&json)
        .map_err(|cause| InputError::FlasherArgs { path: path.to_owned(), cause })?;
    let folder = path.parent().unwrap_or(Path::new(""));
    args.flash_files
        .iter()
        .map(|(address, file)| read_image(parse_number(address)?, folder.join(file)))
        .collect()
}

/// Replaces each `@FILE` by the words in it, and drops options of other tools that such files hold
/// (`--flash_mode dio` and the like): the images carry those settings in their headers.
///
/// # Errors
///
/// [`InputError::File`].
pub fn expand_argument_files(words: &[String]) -> Result<Vec<String>, InputError> {
    let mut out = Vec::new();
    for word in words {
        let Some(path) = word.strip_prefix('@') else {
            out.push(word.clone());
            continue;
        };
        let text = std::fs::read_to_string(path)
            .map_err(|cause| InputError::File { path: path.into(), cause })?;
        let mut inside = text.split_whitespace();
        while let Some(word) = inside.next() {
            if word.starts_with("--") {
                inside.next();
            } else {
                out.push(word.to_owned());
            }
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn idfs_file_names_paths_from_its_own_folder() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("boot")).unwrap();
        fs::write(folder.path().join("boot/b.bin"), [1, 2]).unwrap();
        let json = r#"{"write_flash_args": ["--flash_mode", "dio"],
            "flash_files": {"0x1000": "boot/b.bin"}, "extra_esptool_args": {"chip": "esp32"}}"#;
        let path = folder.path().join("flasher_args.json");
        fs::write(&path, json).unwrap();
        let images = flasher_args(&path).unwrap();
        assert_eq!((images[0].offset, images[0].data.as_slice()), (0x1000, [1, 2].as_slice()));
        fs::write(&path, "{}").unwrap();
        assert!(matches!(flasher_args(&path), Err(InputError::FlasherArgs { .. })));
    }

    #[test]
    fn an_argument_file_gives_its_words() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("flash_args");
        fs::write(&path, "--flash_mode dio --flash_freq 40m\n0x1000 b.bin\n0x8000 p.bin").unwrap();
        let words = expand_argument_files(&[format!("@{}", path.display()), "0x9000".into()]);
        assert_eq!(words.unwrap(), ["0x1000", "b.bin", "0x8000", "p.bin", "0x9000"]);
    }
}
