//! `SPI_FLASH_MD5` of 16 MiB by the board, against MD5 of the same bytes alone.

#![expect(clippy::expect_used, reason = "a bench stops where something is wrong")]

mod support;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const FLASH_BYTES: u32 = 16 << 20;

fn md5_of_flash(criterion: &mut Criterion) {
    let image = support::image(0, FLASH_BYTES as usize);
    let mut board = support::board();
    board.flash_mut().nor_mut().load_image(0, &image.data);
    let mut session = support::session(board);
    let mut ask = || session.flash_md5(0, FLASH_BYTES).expect("the board answers");
    assert_eq!(ask(), md5::compute(&image.data).0, "the digest is right");

    let alone = support::best(5, || md5::compute(&image.data));
    let board = support::best(5, &mut ask);
    support::report_ratio("SPI_FLASH_MD5 of 16 MiB", board, "MD5", alone, None);

    let mut group = criterion.benchmark_group("md5");
    group.sample_size(10).throughput(Throughput::Bytes(FLASH_BYTES.into()));
    group.warm_up_time(std::time::Duration::from_millis(300));
    group.measurement_time(std::time::Duration::from_secs(1));
    group.bench_function("SPI_FLASH_MD5 16 MiB", |bencher| bencher.iter(&mut ask));
    group.finish();
}

criterion_group!(benches, md5_of_flash);
criterion_main!(benches);
