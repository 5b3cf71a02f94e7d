//! Tests of transcripts.
