//! What the library tells while it works.

/// What a long operation is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Erasing.
    Erase,
    /// Writing.
    Write,
    /// Comparing digests.
    Verify,
    /// Reading.
    Read,
    /// Uploading a stub.
    Upload,
}

/// One report of progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What is being done.
    pub phase: Phase,
    /// Flash offset or address of the whole range.
    pub offset: u32,
    /// Bytes done.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
}

/// Takes reports of progress.
pub type Observer<'a> = &'a mut dyn FnMut(Progress);

/// Serializes a time as seconds.
pub(crate) fn seconds<S: serde::Serializer>(
    span: &std::time::Duration,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(span.as_secs_f64())
}
