use super::*;

#[test]
fn dividers_of_the_usual_rates() {
    let mut uart = Uart::reset(Crystal::Mhz40);
    for (clkdiv, baud) in [(0x0030_015B, 115_200), (0x00C0_0056, 460_800), (0x0060_002B, 921_600)] {
        uart.set_clkdiv(clkdiv);
        assert!(uart.baud().abs_diff(baud) < baud / 1000, "{} is not near {baud}", uart.baud());
    }
}

#[test]
fn bytes_leave_one_after_the_other_and_the_fifo_blocks() {
    let mut uart = Uart::reset(Crystal::Mhz40);
    let byte = uart.byte_time();
    assert_eq!(uart.send(Instant::ZERO, 1), Instant::ZERO);
    assert_eq!(uart.send(Instant::ZERO, 2), Instant::ZERO);
    let mut out = Vec::new();
    uart.take_sent(Instant::ZERO + byte, &mut out);
    assert_eq!(out, [1]);
    assert_eq!(uart.next_sent(), Some(Instant::ZERO + byte + byte));
    let blocked = (0..200).map(|_| uart.send(Instant::ZERO, 3)).last();
    assert_eq!(blocked, Some(Instant::from_nanos(byte.as_nanos() * (202 - 128))));
}

#[test]
fn receive_interrupts_are_levels() {
    let mut uart = Uart::reset(Crystal::Mhz40);
    uart.write(Instant::ZERO, 0x0C, 0x101);
    assert_eq!(uart.read(Instant::ZERO, 0x08), 0);
    uart.push_received(b"ab");
    assert_eq!(uart.read(Instant::ZERO, 0x08), 0x101);
    uart.write(Instant::ZERO, 0x10, 0xFFFF_FFFF);
    assert_eq!(uart.read(Instant::ZERO, 0x08), 0x101, "still there while bytes wait");
    assert_eq!(uart.read(Instant::ZERO, 0x1C) & 0xFF, 2);
    assert_eq!(uart.read(Instant::ZERO, 0x00), u32::from(b'a'));
    assert_eq!(uart.read(Instant::ZERO, 0x00), u32::from(b'b'));
    assert_eq!(uart.read(Instant::ZERO, 0x08), 0);
}

#[test]
fn a_host_that_never_reads_costs_bounded_memory() {
    let mut uart = Uart::reset(Crystal::Mhz40);
    for _ in 0..TX_QUEUE_MAX + 10 {
        uart.send(Instant::ZERO, 0);
    }
    assert_eq!(uart.tx.len(), TX_QUEUE_MAX);
    assert_eq!(uart.tx_lost_bytes(), 10);
}

#[test]
fn a_real_fifo_holds_128_bytes_and_says_when_it_lost_some() {
    let mut uart = Uart::reset(Crystal::Mhz40);
    uart.use_real_fifo();
    assert_eq!(uart.push_received(&[1; 120]), None);
    assert_eq!(uart.read(Instant::ZERO, 0x04) & 0x10, 0);
    assert_eq!(uart.push_received(&[2; 11]), Some(8), "the first that is lost");
    assert_eq!(uart.push_received(&[3]), None);
    assert_eq!(uart.read(Instant::ZERO, 0x1C) & 0xFF, 128);
    assert_eq!(uart.read(Instant::ZERO, 0x04) & 0x10, 0x10);
    uart.write(Instant::ZERO, 0x10, 0x10);
    assert_eq!(uart.read(Instant::ZERO, 0x04) & 0x10, 0);
    assert_eq!(uart.read(Instant::ZERO, 0x00), 1);
    assert_eq!(uart.push_received(&[4]), None, "there is room again");
    uart.write(Instant::ZERO, 0x20, 1 << 17);
    assert_eq!(uart.read(Instant::ZERO, 0x1C) & 0xFF, 0);
}
