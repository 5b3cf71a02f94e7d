//! Every ROM transcript, replayed byte for byte: replies, chip selects, status registers.

pub(crate) mod case;
pub(crate) mod faulty_flash;
mod spi_text;

use std::{collections::BTreeMap, fmt::Write as _, path::Path};

use case::Case;

/// The topics of the mask ROM; `stub_transcripts` has the others.
const TOPICS: &[&str] = &[
    "baud",
    "boot",
    "deflate",
    "flash",
    "flash_end",
    "flash_sr",
    "mem",
    "opcode",
    "pipeline",
    "read",
    "reg",
    "slip",
    "spi",
    "stale",
    "sync",
    "uartboot",
];

pub(crate) fn cases(topic: &str) -> Vec<Case> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = root.join("fixtures/transcripts").join(format!("{topic}.jsonl"));
    let text = std::fs::read_to_string(&path).expect("fixture is there");
    text.lines().map(|line| serde_json::from_str(line).expect("a case")).collect()
}

#[test]
fn every_rom_case_matches() {
    let mut report = String::new();
    let mut total = 0;
    let mut good = 0;
    for topic in TOPICS {
        let mut counts: BTreeMap<bool, u32> = BTreeMap::new();
        for case in cases(topic) {
            let differences = case.replay();
            *counts.entry(differences.is_empty()).or_default() += 1;
            for difference in differences {
                let _ = writeln!(report, "{topic}/{}: {difference}", case.name);
            }
        }
        let matched = counts.get(&true).copied().unwrap_or(0);
        let count: u32 = counts.values().sum();
        println!("{topic:10} {matched:3} of {count:3}");
        total += count;
        good += matched;
    }
    println!("{good} of {total}");
    assert!(report.is_empty(), "{good} of {total} match\n{report}");
    assert_eq!(total, 288);
}
