use super::*;

fn heard(bytes: &[u8], sender: u32, receiver: u32) -> Vec<u8> {
    let mut out = Vec::new();
    for byte in bytes {
        garble(*byte, sender, receiver, &mut out);
    }
    out
}

#[test]
fn equal_rates_pass_every_byte() {
    let all: Vec<u8> = (0..=255).collect();
    assert_eq!(heard(&all, 115_200, 115_200), all);
    assert_eq!(heard(&all, 115_200, 117_000), all);
    assert_eq!(heard(&all, 921_600, 905_000), all);
}

#[test]
fn a_faster_sender_is_heard_as_one_mostly_high_byte() {
    // Two sender's bits to a sample: the frame is over in the middle of the receiver's byte.
    assert_eq!(heard(&[0x00], 230_400, 115_200), [0xF8]);
    assert_eq!(heard(&[0xFF], 921_600, 115_200), [0xFF]);
}

#[test]
fn a_slower_sender_is_heard_as_several_bytes() {
    // One start bit is twelve bit times long: a zero byte without its stop bit.
    assert_eq!(heard(&[0xFF], 9_600, 115_200), [0x00]);
    assert_eq!(heard(&[0x55], 9_600, 115_200), [0x00; 5]);
    assert!(heard(&[0x55; 100], 1, u32::MAX).len() <= 500);
}

#[test]
fn three_percent_are_tolerated() {
    assert!(rates_agree(115_200, 115_211));
    assert!(rates_agree(118_600, 115_200));
    assert!(!rates_agree(119_000, 115_200));
    assert!(!rates_agree(74_880, 115_200));
}

/// Levels of the line in `step`ths of a bit, from the start edge on: written out, not computed by
/// shifts. Independent of the code under test.
fn line(byte: u8, format: Format, step: usize) -> Vec<bool> {
    let data: Vec<bool> =
        (0..format.data_bits).map(|bit| u32::from(byte) / 2_u32.pow(bit.into()) % 2 == 1).collect();
    let ones = data.iter().filter(|bit| **bit).count();
    let parity = match format.parity {
        2 => vec![ones % 2 == 0],
        3 => vec![ones % 2 == 1],
        4 => vec![true],
        5 => vec![false],
        _ => vec![],
    };
    let bits = [vec![false], data, parity, vec![true; 40]].concat();
    bits.iter().flat_map(|bit| vec![*bit; step]).collect()
}

/// A receiver that looks at the line at the middle of each bit, at the sender's rate.
fn receive(line: &[bool], format: Format, width: usize) -> Vec<Sampled> {
    let mut got = Vec::new();
    let mut start = 0;
    while let Some(edge) = (start..line.len()).find(|at| !line[*at] && (*at == 0 || line[at - 1])) {
        let at = |bit: usize| line.get(edge + bit * width + width / 2).copied().unwrap_or(true);
        let bits = usize::from(format.data_bits);
        let data: Vec<bool> = (1..=bits).map(at).collect();
        let byte = data.iter().zip(0_u32..).map(|(one, bit)| u8::from(*one) * 2_u8.pow(bit)).sum();
        let ones = data.iter().filter(|bit| **bit).count();
        let wanted = match format.parity {
            2 => Some(ones % 2 == 0),
            3 => Some(ones % 2 == 1),
            4 => Some(true),
            5 => Some(false),
            _ => None,
        };
        let stop = 1 + bits + usize::from(wanted.is_some());
        let is_wrong = wanted.is_some_and(|wanted| at(1 + bits) != wanted) || !at(stop);
        got.push(Sampled { byte, is_wrong });
        start = edge + stop * width + width / 2 + 1;
    }
    got
}

#[test]
fn every_byte_in_every_pair_of_formats_is_what_the_bits_say() {
    let mut formats = Vec::new();
    for data_bits in 5..=8 {
        formats.extend((1..=5).map(|parity| Format { data_bits, parity, stop_bits: 1 }));
    }
    let mut wrong = 0;
    for (sender, receiver) in
        formats.iter().flat_map(|one| formats.iter().map(move |two| (*one, *two)))
    {
        let end = |format| LineEnd { rate: 115_200, format };
        for byte in 0..=255 {
            let mut got = Vec::new();
            resample(byte, end(sender), end(receiver), &mut got);
            let wanted = receive(&line(byte, sender, 8), receiver, 8);
            assert_eq!(got, wanted, "{byte:#04x} from {sender:?} to {receiver:?}");
            wrong += usize::from(got.iter().any(|it| it.is_wrong));
        }
        let agree = ends_agree(end(sender), end(receiver));
        assert_eq!(agree, sender == receiver && sender.data_bits == 8);
    }
    assert!(wrong > 10_000, "{wrong} of 102400 are noticed");
}

#[test]
fn seven_bits_and_parity_at_a_receiver_of_eight_bits() {
    let end = |data_bits, parity| LineEnd {
        rate: 115_200,
        format: Format { data_bits, parity, stop_bits: 1 },
    };
    let heard = |byte, sender| {
        let mut out = Vec::new();
        resample(byte, sender, end(8, 1), &mut out);
        out.iter().map(|it| (it.byte, it.is_wrong)).collect::<Vec<_>>()
    };
    // The eighth data bit is the sender's stop bit.
    assert_eq!(heard(0x40, end(7, 1)), [(0xC0, false)]);
    assert_eq!(heard(0xC0, end(7, 1)), [(0xC0, false)], "the seventh bit is all there is");
    assert_eq!(heard(0x00, end(7, 1)), [(0x80, false)]);
    // Or its parity.
    assert_eq!(heard(0x00, end(7, 3)), [(0x00, false)]);
    assert_eq!(heard(0x01, end(7, 3)), [(0x81, false)]);
    // Eight bits and parity: the parity bit stands where the stop bit should.
    assert_eq!(heard(0x00, end(8, 3)), [(0x00, true)]);
    assert_eq!(heard(0x01, end(8, 3)), [(0x01, false)]);
    assert_eq!(heard(0xFF, end(8, 2)), [(0xFF, false)]);
    assert_eq!(heard(0xFE, end(8, 2)), [(0xFE, true)]);
    assert_eq!(
        heard(
            0xC0,
            LineEnd { format: Format { stop_bits: 2, ..Format::EIGHT_N_ONE }, ..end(8, 1) }
        ),
        [(0xC0, false)]
    );
}
