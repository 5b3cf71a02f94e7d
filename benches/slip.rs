//! SLIP in both directions, against copying the same bytes.

mod support;

use std::{hint::black_box, time::Duration};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use esp_protocol::slip::{Decoder, encode};

/// One data block of the ROM loader with its header.
const FRAME_BYTES: usize = 0x1800 + 24;
const FRAMES: usize = 256;

fn encode_all(payloads: &[Vec<u8>], wire: &mut Vec<u8>) {
    wire.clear();
    for payload in payloads {
        encode(payload, wire);
    }
}

fn decode_all(wire: &[u8]) -> usize {
    let mut decoder = Decoder::new(2 * FRAME_BYTES);
    let mut rest = wire;
    std::iter::from_fn(|| decoder.next_frame(&mut rest)).flatten().map(|frame| frame.len()).sum()
}

fn copy_all(payloads: &[Vec<u8>], wire: &mut Vec<u8>) {
    wire.clear();
    for payload in payloads {
        wire.extend_from_slice(black_box(payload));
    }
}

fn slip(criterion: &mut Criterion) {
    let mut random = fastrand::Rng::with_seed(1);
    let payloads: Vec<Vec<u8>> =
        (0..FRAMES).map(|_| (0..FRAME_BYTES).map(|_| random.u8(..)).collect()).collect();
    let total = FRAMES * FRAME_BYTES;
    let mut wire = Vec::with_capacity(2 * total);
    let mut copy = Vec::with_capacity(2 * total);

    let copied = support::best(20, || copy_all(&payloads, &mut copy));
    let encoded = support::best(20, || encode_all(&payloads, &mut wire));
    let decoded = support::best(20, || assert_eq!(decode_all(&wire), total));
    support::report_ratio("SLIP encode of 1.5 MiB, random", encoded, "memcpy", copied, None);
    support::report_ratio("SLIP decode of 1.5 MiB, random", decoded, "memcpy", copied, None);

    let mut group = criterion.benchmark_group("slip");
    group.throughput(Throughput::Bytes(total as u64));
    group.warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_secs(1));
    group.bench_function("encode", |bencher| bencher.iter(|| encode_all(&payloads, &mut wire)));
    encode_all(&payloads, &mut wire);
    group.bench_function("decode", |bencher| bencher.iter(|| decode_all(&wire)));
    group.bench_function("memcpy", |bencher| bencher.iter(|| copy_all(&payloads, &mut copy)));
    group.finish();
}

criterion_group!(benches, slip);
criterion_main!(benches);
