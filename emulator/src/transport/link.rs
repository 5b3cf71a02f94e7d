//! A symbolic link to the PTY: made atomically, removed at the end.

use std::{
    ffi::OsString,
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process,
};

/// A symbolic link that lives as long as this value.
#[derive(Debug)]
pub struct Link {
    path: PathBuf,
    target: PathBuf,
}

impl Link {
    /// Makes `path` point to `target`, in one step for everybody who looks. An old link there is
    /// replaced; anything else there is left alone.
    ///
    /// # Errors
    ///
    /// Something that is no link is in the way, or the folder cannot be written.
    pub fn create(path: &Path, target: &Path) -> io::Result<Self> {
        if fs::symlink_metadata(path).is_ok_and(|meta| !meta.file_type().is_symlink()) {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                format!("{} exists and is not a symbolic link", path.display()),
            ));
        }
        let mut temporary = OsString::from(path);
        temporary.push(format!(".{}.tmp", process::id()));
        let _ = fs::remove_file(&temporary);
        symlink(target, &temporary)?;
        fs::rename(&temporary, path).inspect_err(|_| {
            let _ = fs::remove_file(&temporary);
        })?;
        Ok(Self { path: path.to_owned(), target: target.to_owned() })
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // Another server may have taken the name over since.
        if fs::read_link(&self.path).is_ok_and(|target| target == self.target) {
            let _ = fs::remove_file(&self.path);
        }
    }
}
