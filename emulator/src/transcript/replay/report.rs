//! What a replay found.

use esp_protocol::response::Dialect;
use serde::{Serialize, Serializer, ser::SerializeStruct};

use crate::{
    time::Instant,
    transcript::{
        format::hex,
        words::{self, Words},
    },
};

/// What kind of difference it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The answers differ in what they say.
    Answer,
    /// The answers differ in fields that mean nothing.
    Leftovers,
    /// The board did not answer.
    Missing,
    /// The board said more.
    Extra,
    /// The board printed something else.
    Text,
}

/// One difference between the recorded board and this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// When the request was sent.
    pub at: Instant,
    /// Number of the request, from 1; 0: before the first.
    pub request_number: u64,
    /// What kind of difference it is.
    pub kind: Kind,
    /// The request in words.
    pub request: Option<Words>,
    /// What the recorded board answered, and in whose dialect.
    pub recorded: Option<(Vec<u8>, Dialect)>,
    /// What this board answered.
    pub board: Option<(Vec<u8>, Dialect)>,
}

impl Difference {
    /// Both answers in words.
    #[must_use]
    pub fn words(&self) -> [Option<Words>; 2] {
        [&self.recorded, &self.board].map(|side| {
            side.as_ref().map(|(frame, dialect)| match self.kind {
                Kind::Text => Words {
                    name: format!("{:?}", String::from_utf8_lossy(frame)),
                    fields: Vec::new(),
                },
                _ => words::answer(frame, *dialect),
            })
        })
    }

    /// Names of the fields that differ.
    #[must_use]
    pub fn fields(&self) -> Vec<&'static str> {
        match self.words() {
            [Some(recorded), Some(board)] => recorded.differences(&board),
            _ => Vec::new(),
        }
    }
}

impl Serialize for Difference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let [recorded, board] = self.words();
        let bytes = |side: &Option<(Vec<u8>, Dialect)>| side.as_ref().map(|(frame, _)| hex(frame));
        let mut fields = serializer.serialize_struct("Difference", 9)?;
        fields.serialize_field("us", &(self.at.as_nanos() / 1_000))?;
        fields.serialize_field("request", &self.request_number)?;
        fields.serialize_field("kind", &self.kind)?;
        fields.serialize_field("sent", &self.request)?;
        fields.serialize_field("fields", &self.fields())?;
        fields.serialize_field("recorded", &recorded)?;
        fields.serialize_field("board", &board)?;
        fields.serialize_field("recorded_bytes", &bytes(&self.recorded))?;
        fields.serialize_field("board_bytes", &bytes(&self.board))?;
        fields.end()
    }
}

/// What a replay found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Report {
    /// Requests that were played.
    pub requests: u64,
    /// Answers that were compared.
    pub compared: u64,
    /// Answers to SYNC that one side gave more than the other, and what a flush discarded.
    pub not_compared: u64,
    /// Polls of status register 1 that saw the flash busy on one side and ready on the other.
    pub other_moment: u64,
    /// The recording has lost so many bytes; what comes behind them was not played.
    pub lost: u64,
    /// Differences, also those that are not kept.
    pub difference_count: u64,
    /// The differences, in order.
    pub differences: Vec<Difference>,
}
