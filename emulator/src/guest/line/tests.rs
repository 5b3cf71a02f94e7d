use proptest::prelude::*;

use super::*;

/// Each byte with its time.
type Bytes = Vec<(Instant, u8)>;

/// When the next burst of `line` is noticed, byte by byte.
fn burst(line: &Bytes, most: usize, threshold: usize, quiet: Duration) -> Option<Instant> {
    let mut last = line.first()?.0;
    for (count, &(due, byte)) in (1..).zip(line) {
        if due > last + quiet {
            break;
        }
        last = due;
        if count >= most || threshold == 1 && byte == slip::END {
            return Some(due);
        }
    }
    Some(last + quiet)
}

proptest! {
    #[test]
    fn runs_are_bytes_one_by_one(
        pushes in prop::collection::vec(
            (0_u64..3, 1_u64..4, prop::collection::vec(prop_oneof![Just(slip::END), Just(1)], 0..9), 0_u64..60),
            1..20,
        ),
        most in 1_usize..12,
        threshold in 1_usize..3,
        quiet in 0_u64..5,
    ) {
        let quiet = Duration::from_nanos(quiet);
        let (mut line, mut single) = (Line::default(), Bytes::new());
        let mut free = Instant::ZERO;
        for (gap, byte_ns, bytes, until) in pushes {
            let start = free + Duration::from_nanos(gap);
            prop_assert_eq!(line.push(start, byte_ns, &bytes), 0);
            for (count, &byte) in (1..).zip(&bytes) {
                free = start + Duration::from_nanos(byte_ns * count);
                single.push((free, byte));
            }
            let conditions = Conditions { line_changes: 0, most, threshold, quiet };
            prop_assert_eq!(line.find_burst(conditions), burst(&single, most, threshold, quiet));
            prop_assert_eq!(line.next_due(), single.first().map(|first| first.0));
            let until = Instant::from_nanos(until);
            let count = single.iter().filter(|(due, _)| *due <= until).count();
            let expected: Vec<u8> = single.drain(..count).map(|(_, byte)| byte).collect();
            let mut taken = Vec::new();
            while line.take(until, |_, bytes| taken.extend_from_slice(bytes)).is_some() {}
            prop_assert_eq!(taken, expected);
        }
    }
}

#[test]
fn a_full_line_loses_what_comes_last() {
    let mut line = Line::default();
    assert_eq!(line.push(Instant::ZERO, 10, &vec![0; LINE_MAX - 1]), 0);
    assert_eq!(line.push(Instant::ZERO, 10, &[1, 2, 3]), 2);
    assert_eq!(line.bytes.back(), Some(&1));
}
