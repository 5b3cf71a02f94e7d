use super::*;

/// Keeps what it hears and answers with a count.
#[derive(Default)]
struct Ear {
    heard: Vec<Vec<u8>>,
}

impl SpiDevice for Ear {
    fn transfer(&mut self, _: Instant, transaction: &mut Transaction<'_>, _: &mut Trace) {
        self.heard.push(transaction.mosi.to_vec());
        for (byte, value) in transaction.miso.iter_mut().zip(0xA1..) {
            *byte = value;
        }
    }

    fn busy_until(&self) -> Option<Instant> {
        None
    }
}

fn run(controller: &mut SpiController, command: u32) -> Vec<Vec<u8>> {
    let mut ear = Ear::default();
    controller.execute(command, Instant::ZERO, &mut ear, &mut Trace::default());
    ear.heard
}

#[test]
fn jedec_id_as_esptool_reads_it() {
    let mut spi = SpiController::reset();
    spi.set(offset::MISO_DLEN, 23);
    spi.set(offset::USER, 0x9000_0000);
    spi.set(offset::USER2, 0x7000_009F);
    assert_eq!(run(&mut spi, cmd::USR), [[0x9F]]);
    assert_eq!(spi.get(offset::W0), 0x00A3_A2A1);
    assert_eq!(spi.get(offset::CMD), 0);
}

#[test]
fn a_missing_command_phase_makes_the_address_the_opcode() {
    let mut spi = SpiController::reset();
    spi.set(offset::USER, user::ADDR | user::MISO);
    spi.set(offset::ADDR, 0x0612_3400);
    spi.set(offset::MISO_DLEN, 511);
    assert_eq!(run(&mut spi, cmd::USR), [[0x06, 0x12, 0x34]]);
}

#[test]
fn all_phases_in_their_order() {
    let mut spi = SpiController::reset();
    spi.set(offset::USER, 0xF800_0000);
    spi.set(offset::USER2, 0x7000_005A);
    spi.set(offset::ADDR, 0x0001_0000 << 8);
    spi.set(offset::MOSI_DLEN, 15);
    spi.set(offset::W0, 0x0000_BBAA);
    assert_eq!(run(&mut spi, cmd::USR), [[0x5A, 1, 0, 0, 0, 0xAA, 0xBB]]);
}

#[test]
fn fixed_commands() {
    let mut spi = SpiController::reset();
    spi.set(offset::ADDR, 0x0301_0203);
    spi.set(offset::W0, 0x4433_2211);
    spi.set(offset::RD_STATUS, 0x0000_021C);
    assert_eq!(run(&mut spi, 1 << 30), [[0x06]]);
    assert_eq!(run(&mut spi, 1 << 25), [[2, 1, 2, 3, 0x11, 0x22, 0x33]]);
    assert_eq!(run(&mut spi, 1 << 24), [[0x20, 1, 2, 3]]);
    assert_eq!(run(&mut spi, 1 << 26), [[1, 0x1C]]);
    spi.set(offset::CTRL, ctrl::WRSR_2B);
    assert_eq!(run(&mut spi, 1 << 26), [[1, 0x1C, 0x02]]);
    assert_eq!(run(&mut spi, 1 << 20), [[0xAB, 0, 0, 0]]);
    assert_eq!(run(&mut spi, 1 << 27), [[0x05]]);
    assert_eq!(spi.get(offset::RD_STATUS), 0x0000_02A1);
}
