//! A whole 16 MiB image, flashed and verified in process through the protocol, against inflating
//! and hashing the same bytes alone.

#![expect(clippy::expect_used, reason = "a bench stops where something is wrong")]

mod support;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use esp_protocol::response::Dialect;
use esp32_flasher::{session::Session, write::Prepared};

const IMAGE_BYTES: usize = 16 << 20;
/// Compressed part of `Prepared` that the baseline inflates.
const COMPRESSION_LEVEL: u8 = 6;

fn flash_and_verify(session: &mut Session, prepared: &Prepared) {
    session.write(prepared, &mut |_| {}).expect("the board takes the image");
    session.verify(prepared).expect("the flash holds the image");
}

fn inflate_and_hash(stream: &[u8]) -> md5::Digest {
    let plain = miniz_oxide::inflate::decompress_to_vec_zlib_with_limit(stream, IMAGE_BYTES);
    md5::compute(plain.expect("the stream is whole"))
}

fn flash_image(criterion: &mut Criterion) {
    let image = support::image(0, IMAGE_BYTES);
    let prepared = Prepared::new(&image, Dialect::Rom, true);
    let raw = Prepared::new(&image, Dialect::Rom, false);
    let stream = miniz_oxide::deflate::compress_to_vec_zlib(&image.data, COMPRESSION_LEVEL);
    let mut session = support::session(support::board());

    let alone = support::best(5, || inflate_and_hash(&stream));
    let whole = support::best(5, || flash_and_verify(&mut session, &prepared));
    let plain = support::best(3, || flash_and_verify(&mut session, &raw));
    support::report_ratio("16 MiB flashed, verified", whole, "inflate and MD5", alone, Some(3.0));
    support::report_ratio("16 MiB the same, raw", plain, "inflate and MD5", alone, None);

    let mut group = criterion.benchmark_group("flash_image");
    group.sample_size(10).throughput(Throughput::Bytes(IMAGE_BYTES as u64));
    group.warm_up_time(std::time::Duration::from_millis(300));
    group.measurement_time(std::time::Duration::from_secs(2));
    group.bench_function("16 MiB deflated", |bencher| {
        bencher.iter(|| flash_and_verify(&mut session, &prepared));
    });
    group.bench_function("16 MiB inflate and MD5 alone", |bencher| {
        bencher.iter(|| inflate_and_hash(&stream));
    });
    group.finish();
}

criterion_group!(benches, flash_image);
criterion_main!(benches);
