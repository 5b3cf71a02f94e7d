//! The one table of ROM functions: address, symbol, and what runs in its place.
//!
//! Addresses and symbols are those of Espressif's public linker scripts
//! (esp-idf `components/esp_rom/esp32/ld`). A row without a function is known by name only: a
//! program that calls it stops with a diagnosis.

use super::{Native, arithmetic, callback, crc, flash, hash, libc, nothing, system, text, uart};
use crate::spi::SpiDevice;

/// A function of the ROM.
pub(crate) struct RomFunction<F> {
    /// Address of its first instruction.
    pub(crate) address: u32,
    /// Name.
    pub(crate) symbol: &'static str,
    /// What runs in its place.
    pub(crate) run: Option<Native<F>>,
}

/// The function that starts at `address`.
pub(crate) fn find<F: SpiDevice>(address: u32) -> Option<&'static RomFunction<F>> {
    let rows = Table::<F>::ROWS;
    let at = rows.binary_search_by_key(&address, |row| row.address).ok()?;
    rows.get(at)
}

const fn row<F>(address: u32, symbol: &'static str, run: Native<F>) -> RomFunction<F> {
    RomFunction { address, symbol, run: Some(run) }
}

const fn name<F>(address: u32, symbol: &'static str) -> RomFunction<F> {
    RomFunction { address, symbol, run: None }
}

struct Table<F>(std::marker::PhantomData<F>);

impl<F: SpiDevice> Table<F> {
    /// Sorted by address.
    const ROWS: &'static [RomFunction<F>] = &[
        name(0x4000_074C, "_xtos_set_exception_handler"),
        row(0x4000_0F04, "isalnum", |call| libc::is(call, u8::is_ascii_alphanumeric)),
        row(0x4000_0F18, "isalpha", |call| libc::is(call, u8::is_ascii_alphabetic)),
        row(0x4000_0F2C, "isblank", |call| libc::is(call, |code| matches!(code, b' ' | b'\t'))),
        row(0x4000_0F50, "iscntrl", |call| libc::is(call, u8::is_ascii_control)),
        row(0x4000_0F64, "isdigit", |call| libc::is(call, u8::is_ascii_digit)),
        row(0x4000_0F78, "islower", |call| libc::is(call, u8::is_ascii_lowercase)),
        row(0x4000_0F94, "isgraph", |call| libc::is(call, u8::is_ascii_graphic)),
        row(0x4000_0FA8, "isprint", |call| libc::is(call, |code| matches!(code, 0x20..=0x7E))),
        row(0x4000_0FC0, "ispunct", |call| libc::is(call, u8::is_ascii_punctuation)),
        row(0x4000_0FD4, "isspace", |call| libc::is(call, |code| matches!(code, 9..=13 | b' '))),
        row(0x4000_0FE8, "isupper", |call| libc::is(call, u8::is_ascii_uppercase)),
        row(0x4000_1004, "srand", libc::srand),
        row(0x4000_1058, "rand", libc::rand),
        name(0x4000_10D4, "rand_r"),
        row(0x4000_11CC, "strcasecmp", libc::strcasecmp),
        name(0x4000_1210, "strcasestr"),
        row(0x4000_1274, "strcmp", libc::strcmp),
        row(0x4000_1398, "strcoll", libc::strcmp),
        row(0x4000_13AC, "strcpy", libc::strcpy),
        name(0x4000_143C, "strdup"),
        row(0x4000_1470, "strlcat", libc::strlcat),
        row(0x4000_14C0, "strlen", libc::strlen),
        name(0x4000_1524, "strlwr"),
        row(0x4000_1550, "strncasecmp", libc::strncasecmp),
        row(0x4000_15D4, "strncpy", libc::strncpy),
        name(0x4000_16B0, "strndup"),
        row(0x4000_1708, "strrchr", libc::strrchr),
        name(0x4000_1734, "strsep"),
        name(0x4000_174C, "strupr"),
        row(0x4000_1868, "tolower", libc::tolower),
        row(0x4000_1884, "toupper", libc::toupper),
        row(0x4000_20C0, "__negsf2", |call| arithmetic::word(call, |value| value ^ 1 << 31)),
        row(0x4000_20E8, "__addsf3", |call| {
            arithmetic::words(call, |a, b| Some(arithmetic::singles(a, b, |a, b| a + b)))
        }),
        row(0x4000_21D0, "__subsf3", |call| {
            arithmetic::words(call, |a, b| Some(arithmetic::singles(a, b, |a, b| a - b)))
        }),
        row(0x4000_234C, "__divsf3", |call| {
            arithmetic::words(call, |a, b| Some(arithmetic::singles(a, b, |a, b| a / b)))
        }),
        row(0x4000_240C, "__fixsfsi", |call| arithmetic::word(call, arithmetic::fixsfsi)),
        row(0x4000_244C, "__fixsfdi", |call| arithmetic::widen(call, arithmetic::fixsfdi)),
        row(0x4000_24AC, "__fixunssfsi", |call| arithmetic::word(call, arithmetic::fixunssfsi)),
        row(0x4000_2504, "__fixunssfdi", |call| arithmetic::widen(call, arithmetic::fixunssfdi)),
        row(0x4000_2590, "__adddf3", |call| {
            arithmetic::wides(call, |a, b| Some(arithmetic::doubles(a, b, |a, b| a + b)))
        }),
        row(0x4000_26E4, "__subdf3", |call| {
            arithmetic::wides(call, |a, b| Some(arithmetic::doubles(a, b, |a, b| a - b)))
        }),
        row(0x4000_2954, "__divdf3", |call| {
            arithmetic::wides(call, |a, b| Some(arithmetic::doubles(a, b, |a, b| a / b)))
        }),
        row(0x4000_2A78, "__fixdfsi", |call| arithmetic::narrow(call, arithmetic::fixdfsi)),
        row(0x4000_2AC4, "__fixdfdi", |call| arithmetic::wide(call, arithmetic::fixdfdi)),
        row(0x4000_2B30, "__fixunsdfsi", |call| arithmetic::narrow(call, arithmetic::fixunsdfsi)),
        row(0x4000_2B90, "__truncdfsf2", |call| arithmetic::narrow(call, arithmetic::truncdfsf2)),
        row(0x4000_2C34, "__extendsfdf2", |call| arithmetic::widen(call, arithmetic::extendsfdf2)),
        row(0x4000_2ED0, "__popcountsi2", |call| arithmetic::word(call, u32::count_ones)),
        row(0x4000_2EF8, "__popcountdi2", |call| arithmetic::narrow(call, u64::count_ones)),
        row(0x4000_2F3C, "__paritysi2", |call| {
            arithmetic::word(call, |value| value.count_ones() & 1)
        }),
        row(0x4000_41A4, "rom_i2c_writeReg", nothing),
        name(0x4000_6674, "ets_set_idle_cb"),
        name(0x4000_6688, "ets_task"),
        name(0x4000_66BC, "ets_run"),
        name(0x4000_673C, "ets_post"),
        row(0x4000_67B0, "ets_intr_lock", system::lock_interrupts),
        row(0x4000_67C4, "ets_intr_unlock", system::unlock_interrupts),
        name(0x4000_67D8, "ets_waiti0"),
        row(0x4000_67EC, "ets_isr_attach", system::attach_handler),
        row(0x4000_67FC, "ets_isr_mask", system::mask),
        row(0x4000_6808, "ets_isr_unmask", system::unmask),
        row(0x4000_681C, "intr_matrix_set", system::set_interrupt_matrix),
        row(0x4000_687C, "ets_set_user_start", nothing),
        row(0x4000_688C, "ets_set_startup_callback", nothing),
        row(0x4000_689C, "ets_set_appcpu_boot_addr", nothing),
        name(0x4000_694C, "ets_unpack_flash_code_legacy"),
        name(0x4000_7018, "ets_unpack_flash_code"),
        name(0x4000_76C4, "rom_main"),
        row(0x4000_7CF8, "ets_write_char_uart", uart::write_char),
        row(0x4000_7D18, "ets_install_putc1", |call| callback::install_putc(call, 0)),
        row(0x4000_7D28, "ets_install_uart_printf", callback::install_uart),
        row(0x4000_7D38, "ets_install_putc2", |call| callback::install_putc(call, 1)),
        row(0x4000_7D54, "ets_printf", text::printf),
        name(0x4000_8170, "calc_rtc_memory_crc"),
        row(0x4000_81D4, "rtc_get_reset_reason", system::reset_reason),
        row(0x4000_81F4, "rtc_get_wakeup_cause", system::zero),
        row(0x4000_8208, "set_rtc_memory_crc", nothing),
        name(0x4000_821C, "rtc_boot_control"),
        row(0x4000_824C, "software_reset", system::software_reset),
        row(0x4000_8264, "software_reset_cpu", system::software_reset_cpu),
        row(0x4000_8288, "rtc_select_apb_bridge", nothing),
        row(0x4000_8534, "ets_delay_us", system::delay_us),
        row(0x4000_8550, "ets_update_cpu_frequency", system::set_cpu_mhz),
        row(0x4000_855C, "ets_get_cpu_frequency", system::cpu_mhz),
        name(0x4000_856C, "ets_get_xtal_scale"),
        row(0x4000_8588, "ets_get_detected_xtal_freq", system::crystal_hz),
        row(0x4000_8600, "ets_efuse_read_op", nothing),
        name(0x4000_8628, "ets_efuse_program_op"),
        row(0x4000_8658, "ets_efuse_get_spiconfig", system::zero),
        row(0x4000_8710, "ets_efuse_get_8M_clock", system::efuse_8m_clock),
        name(0x4000_8F4C, "uart_rx_intr_handler"),
        row(0x4000_8FD0, "uartAttach", nothing),
        row(0x4000_9028, "uart_tx_switch", nothing),
        name(0x4000_9034, "uart_baudrate_detect"),
        row(0x4000_90CC, "uart_div_modify", uart::set_divider),
        row(0x4000_9120, "Uart_Init", nothing),
        row(0x4000_9200, "uart_tx_one_char", uart::send_char),
        row(0x4000_922C, "uart_tx_one_char2", uart::send_char),
        row(0x4000_9258, "uart_tx_flush", uart::flush),
        row(0x4000_9278, "uart_tx_wait_idle", uart::flush),
        row(0x4000_92A4, "uart_rx_one_char_block", uart::receive_char_block),
        row(0x4000_92D0, "uart_rx_one_char", uart::receive_char),
        name(0x4000_92FC, "UartRxString"),
        row(0x4000_9340, "send_packet", uart::send_packet),
        row(0x4000_9384, "SendMsg", uart::send_packet),
        row(0x4000_9394, "uart_rx_readbuff", uart::receive_from_buffer),
        row(0x4000_93C0, "uart_buff_switch", nothing),
        name(0x4000_9424, "recv_packet"),
        name(0x4000_954C, "RcvMsg"),
        name(0x4000_9564, "UartGetCmdLn"),
        row(0x4000_9598, "GetUartDevice", uart::device),
        row(0x4000_95A4, "mmu_init", nothing),
        row(0x4000_95E0, "cache_flash_mmu_set_rom", system::zero),
        row(0x4000_97F4, "cache_sram_mmu_set_rom", system::zero),
        row(0x4000_9950, "Cache_Read_Init_rom", nothing),
        row(0x4000_9A14, "Cache_Flush_rom", nothing),
        row(0x4000_9A84, "Cache_Read_Enable_rom", nothing),
        row(0x4000_9AB8, "Cache_Read_Disable_rom", nothing),
        row(0x4000_9B24, "gpio_output_set", nothing),
        row(0x4000_9B5C, "gpio_output_set_high", nothing),
        row(0x4000_9B88, "gpio_input_get", system::zero),
        row(0x4000_9B9C, "gpio_input_get_high", system::zero),
        row(0x4000_9BBC, "gpio_register_set", nothing),
        row(0x4000_9C20, "gpio_init", nothing),
        row(0x4000_9CBC, "gpio_register_get", system::zero),
        row(0x4000_9CEC, "gpio_intr_pending", system::zero),
        row(0x4000_9CF8, "gpio_intr_pending_high", system::zero),
        row(0x4000_9D04, "gpio_pin_intr_state_set", nothing),
        row(0x4000_9DD4, "gpio_intr_ack", nothing),
        row(0x4000_9E1C, "gpio_intr_ack_high", nothing),
        name(0x4000_9E6C, "gpio_intr_handler_register"),
        row(0x4000_9E7C, "gpio_pin_wakeup_enable", nothing),
        row(0x4000_9EB0, "gpio_pin_wakeup_disable", nothing),
        row(0x4000_9EDC, "gpio_matrix_in", nothing),
        row(0x4000_9F0C, "gpio_matrix_out", nothing),
        row(0x4000_9FDC, "gpio_pad_select_gpio", nothing),
        row(0x4000_A11C, "gpio_pad_set_drv", nothing),
        row(0x4000_A22C, "gpio_pad_pullup", nothing),
        row(0x4000_A348, "gpio_pad_pulldown", nothing),
        row(0x4000_A484, "gpio_pad_unhold", nothing),
        row(0x4000_A734, "gpio_pad_hold", nothing),
        name(0x4000_AB7C, "roundup2"),
        name(0x4000_AB8C, "multofup"),
        name(0x4000_BF34, "_xtos_set_interrupt_handler_arg"),
        name(0x4000_BF78, "_xtos_set_interrupt_handler"),
        row(0x4000_BF88, "_xtos_ints_on", system::interrupts_on),
        row(0x4000_BFAC, "_xtos_ints_off", system::interrupts_off),
        row(0x4000_BFDC, "_xtos_set_intlevel", system::set_interrupt_level),
        name(0x4000_BFF8, "_xtos_set_min_intlevel"),
        row(0x4000_C050, "xthal_get_ccount", system::cycle_count),
        row(0x4000_C058, "xthal_set_ccompare", system::set_compare),
        row(0x4000_C078, "xthal_get_ccompare", system::compare),
        row(0x4000_C098, "xthal_bcopy", libc::bcopy),
        row(0x4000_C0BC, "xthal_memcpy", libc::memmove),
        row(0x4000_C1E4, "xthal_get_interrupt", system::pending_interrupts),
        row(0x4000_C1EC, "xthal_set_intclear", system::clear_interrupts),
        row(0x4000_C1F4, "bzero", libc::bzero),
        row(0x4000_C20C, "isascii", |call| libc::is(call, u8::is_ascii)),
        row(0x4000_C220, "memccpy", libc::memccpy),
        row(0x4000_C244, "memchr", libc::memchr),
        row(0x4000_C260, "memcmp", libc::memcmp),
        row(0x4000_C2C8, "memcpy", libc::memmove),
        row(0x4000_C3C0, "memmove", libc::memmove),
        row(0x4000_C400, "memrchr", libc::memrchr),
        row(0x4000_C44C, "memset", libc::memset),
        row(0x4000_C518, "strcat", libc::strcat),
        row(0x4000_C53C, "strchr", libc::strchr),
        row(0x4000_C558, "strcspn", libc::strcspn),
        row(0x4000_C584, "strlcpy", libc::strlcpy),
        row(0x4000_C5C4, "strncat", libc::strncat),
        row(0x4000_C5F4, "strncmp", libc::strncmp),
        row(0x4000_C628, "strnlen", libc::strnlen),
        row(0x4000_C648, "strspn", libc::strspn),
        row(0x4000_C674, "strstr", libc::strstr),
        name(0x4000_C6A8, "__strtok_r"),
        name(0x4000_C70C, "strtok_r"),
        row(0x4000_C720, "toascii", |call| arithmetic::word(call, |code| code & 0x7F)),
        row(0x4000_C7B0, "__mulsi3", |call| {
            arithmetic::words(call, |a, b| Some(a.wrapping_mul(b)))
        }),
        row(0x4000_C7B8, "__divsi3", |call| arithmetic::words(call, arithmetic::divsi3)),
        row(0x4000_C7C0, "__modsi3", |call| arithmetic::words(call, arithmetic::modsi3)),
        row(0x4000_C7C8, "__udivsi3", |call| arithmetic::words(call, u32::checked_div)),
        row(0x4000_C7D0, "__umodsi3", |call| arithmetic::words(call, u32::checked_rem)),
        row(0x4000_C7D8, "__umulsidi3", arithmetic::umulsidi3),
        row(0x4000_C7E8, "__clzsi2", |call| arithmetic::word(call, u32::leading_zeros)),
        row(0x4000_C7F0, "__ctzsi2", |call| arithmetic::word(call, u32::trailing_zeros)),
        row(0x4000_C804, "__ffssi2", |call| {
            arithmetic::word(call, |value| arithmetic::ffs(value.into()))
        }),
        row(0x4000_C818, "__ashldi3", |call| arithmetic::shift(call, arithmetic::ashldi3)),
        row(0x4000_C830, "__ashrdi3", |call| arithmetic::shift(call, arithmetic::ashrdi3)),
        row(0x4000_C84C, "__lshrdi3", |call| arithmetic::shift(call, arithmetic::lshrdi3)),
        row(0x4000_C864, "__floatunsisf", |call| arithmetic::word(call, arithmetic::floatunsisf)),
        row(0x4000_C870, "__floatsisf", |call| arithmetic::word(call, arithmetic::floatsisf)),
        row(0x4000_C8B0, "__floatundisf", |call| arithmetic::narrow(call, arithmetic::floatundisf)),
        row(0x4000_C8C0, "__floatdisf", |call| arithmetic::narrow(call, arithmetic::floatdisf)),
        row(0x4000_C938, "__floatunsidf", |call| arithmetic::widen(call, arithmetic::floatunsidf)),
        row(0x4000_C944, "__floatsidf", |call| arithmetic::widen(call, arithmetic::floatsidf)),
        row(0x4000_C978, "__floatundidf", |call| arithmetic::wide(call, arithmetic::floatundidf)),
        row(0x4000_C988, "__floatdidf", |call| arithmetic::wide(call, arithmetic::floatdidf)),
        row(0x4000_C9FC, "__muldi3", |call| {
            arithmetic::wides(call, |a, b| Some(a.wrapping_mul(b)))
        }),
        row(0x4000_CA14, "__negdi2", |call| arithmetic::wide(call, u64::wrapping_neg)),
        row(0x4000_CA2C, "__ffsdi2", |call| arithmetic::narrow(call, arithmetic::ffs)),
        row(0x4000_CA50, "__clzdi2", |call| arithmetic::narrow(call, u64::leading_zeros)),
        row(0x4000_CA64, "__ctzdi2", |call| arithmetic::narrow(call, u64::trailing_zeros)),
        row(0x4000_CA84, "__divdi3", |call| arithmetic::wides(call, arithmetic::divdi3)),
        row(0x4000_CD4C, "__moddi3", |call| arithmetic::wides(call, arithmetic::moddi3)),
        row(0x4000_CFF8, "__udivdi3", |call| arithmetic::wides(call, u64::checked_div)),
        row(0x4000_D280, "__umoddi3", |call| arithmetic::wides(call, u64::checked_rem)),
        row(0x4005_61F0, "__utoa", libc::utoa),
        row(0x4005_6258, "utoa", libc::utoa),
        row(0x4005_6268, "setjmp", callback::setjmp),
        row(0x4005_62CC, "longjmp", callback::longjmp),
        row(0x4005_6340, "abs", libc::abs),
        name(0x4005_6348, "div"),
        row(0x4005_6370, "labs", libc::abs),
        name(0x4005_6378, "ldiv"),
        row(0x4005_6424, "qsort", callback::qsort),
        row(0x4005_6678, "__itoa", libc::itoa),
        row(0x4005_66B4, "itoa", libc::itoa),
        row(0x4005_66C4, "atoi", libc::atoi),
        row(0x4005_66EC, "atol", libc::atoi),
        row(0x4005_681C, "strtol", libc::strtol),
        row(0x4005_692C, "strtoul", libc::strtoul),
        name(0x4005_C07C, "ets_sha_enable"),
        name(0x4005_C0D4, "ets_sha_init"),
        name(0x4005_C104, "ets_sha_finish"),
        name(0x4005_C2A0, "ets_sha_update"),
        name(0x4005_C8CC, "ets_aes_enable"),
        name(0x4005_C97C, "ets_aes_setkey_enc"),
        name(0x4005_C9B8, "ets_aes_crypt"),
        row(0x4005_CFEC, "crc32_le", |call| crc::crc(call, crc::crc32_le)),
        row(0x4005_D024, "crc32_be", |call| crc::crc(call, crc::crc32_be)),
        row(0x4005_D05C, "crc16_le", |call| crc::crc(call, crc::crc16_le)),
        row(0x4005_D09C, "crc16_be", |call| crc::crc(call, crc::crc16_be)),
        row(0x4005_D0E0, "crc8_le", |call| crc::crc(call, crc::crc8_le)),
        row(0x4005_D114, "crc8_be", |call| crc::crc(call, crc::crc8_be)),
        row(0x4005_D144, "esp_crc8", crc::esp_crc8),
        row(0x4005_DA7C, "MD5Init", hash::md5_init),
        row(0x4005_DA9C, "MD5Update", hash::md5_update),
        row(0x4005_DB1C, "MD5Final", hash::md5_final),
        row(0x4005_EDBC, "mz_adler32", crc::mz_adler32),
        row(0x4005_EE88, "mz_crc32", crc::mz_crc32),
        name(0x4005_EED4, "mz_free"),
        row(0x4005_EF30, "tinfl_decompress", hash::tinfl_decompress),
        name(0x4006_0050, "tinfl_decompress_mem_to_mem"),
        name(0x4006_0090, "tinfl_decompress_mem_to_callback"),
        name(0x4006_00BC, "tdefl_compress"),
        name(0x4006_0810, "tdefl_init"),
        row(0x4006_1DDC, "esp_rom_spiflash_select_qio_pins", nothing),
        row(0x4006_21B0, "SPI_user_command_read", flash::read_user_command),
        row(0x4006_226C, "SPI_read_status", flash::read_status),
        row(0x4006_22C0, "SPI_Wait_Idle", flash::wait_idle),
        row(0x4006_22F0, "SPI_write_status", flash::write_status),
        row(0x4006_2320, "SPI_write_enable", flash::write_enable),
        row(0x4006_2448, "SPI_read_status_high", flash::read_status_high),
        row(0x4006_28B0, "SPIUnlock", flash::unlock),
        row(0x4006_28F0, "SPILock", flash::lock),
        row(0x4006_2A6C, "spi_flash_attach", flash::attach),
        row(0x4006_2B64, "SPIMasterReadModeCnfig", flash::configure_read_mode),
        row(0x4006_2BC8, "esp_rom_spiflash_config_clk", flash::configure_clock),
        row(0x4006_2C14, "SPIEraseChip", flash::erase_chip),
        row(0x4006_2C4C, "SPIEraseBlock", flash::erase_block),
        row(0x4006_2CCC, "SPIEraseSector", flash::erase_sector),
        row(0x4006_2D50, "SPIWrite", flash::write),
        row(0x4006_2DF4, "SPI_Write_Encrypt_Enable", flash::enable_encryption),
        row(0x4006_2E1C, "esp_rom_spiflash_prepare_encrypted_data", flash::prepare_encrypted),
        row(0x4006_2E60, "SPI_Write_Encrypt_Disable", flash::disable_encryption),
        row(0x4006_2E78, "SPI_Encrypt_Write", flash::write_encrypted),
        row(0x4006_2ED8, "SPIRead", flash::read),
        row(0x4006_31AC, "SPIEraseArea", flash::erase_area),
        row(0x4006_3238, "SPIParamCfg", flash::configure),
        row(0x4006_32C8, "__mulsf3", |call| {
            arithmetic::words(call, |a, b| Some(arithmetic::singles(a, b, |a, b| a * b)))
        }),
        row(0x4006_3374, "__eqsf2", |call| {
            arithmetic::words(call, |a, b| Some(arithmetic::compare_singles(a, b, 1)))
        }),
        row(0x4006_33A0, "__gtsf2", |call| {
            arithmetic::words(call, |a, b| Some(arithmetic::compare_singles(a, b, u32::MAX)))
        }),
        row(0x4006_33C0, "__lesf2", |call| {
            arithmetic::words(call, |a, b| Some(arithmetic::compare_singles(a, b, 1)))
        }),
        row(0x4006_340C, "__gesf2", |call| {
            arithmetic::words(call, |a, b| Some(arithmetic::compare_singles(a, b, u32::MAX)))
        }),
        row(0x4006_342C, "__ltsf2", |call| {
            arithmetic::words(call, |a, b| Some(arithmetic::compare_singles(a, b, 1)))
        }),
        row(0x4006_3478, "__unordsf2", |call| {
            arithmetic::words(call, |a, b| {
                Some(u32::from(arithmetic::compare_singles(a, b, 2) == 2))
            })
        }),
        row(0x4006_34A0, "__negdf2", |call| arithmetic::wide(call, |value| value ^ 1 << 63)),
        row(0x4006_358C, "__muldf3", |call| {
            arithmetic::wides(call, |a, b| Some(arithmetic::doubles(a, b, |a, b| a * b)))
        }),
        row(0x4006_36A8, "__eqdf2", |call| {
            arithmetic::judge(call, |a, b| arithmetic::compare_doubles(a, b, 1))
        }),
        row(0x4006_36DC, "__gtdf2", |call| {
            arithmetic::judge(call, |a, b| arithmetic::compare_doubles(a, b, u32::MAX))
        }),
        row(0x4006_3704, "__ledf2", |call| {
            arithmetic::judge(call, |a, b| arithmetic::compare_doubles(a, b, 1))
        }),
        row(0x4006_3768, "__gedf2", |call| {
            arithmetic::judge(call, |a, b| arithmetic::compare_doubles(a, b, u32::MAX))
        }),
        row(0x4006_3790, "__ltdf2", |call| {
            arithmetic::judge(call, |a, b| arithmetic::compare_doubles(a, b, 1))
        }),
        row(0x4006_37F4, "__unorddf2", |call| {
            arithmetic::judge(call, |a, b| u32::from(arithmetic::compare_doubles(a, b, 2) == 2))
        }),
        row(0x4006_3820, "__cmpdi2", |call| {
            arithmetic::judge(call, |a, b| arithmetic::order(a.cast_signed(), b.cast_signed()))
        }),
        row(0x4006_3840, "__ucmpdi2", |call| arithmetic::judge(call, arithmetic::order)),
        row(0x4006_3860, "__clear_cache", nothing),
        row(0x4006_4AE0, "__bswapsi2", |call| arithmetic::word(call, u32::swap_bytes)),
        row(0x4006_4B08, "__bswapdi2", |call| arithmetic::wide(call, u64::swap_bytes)),
        row(0x4006_4BF4, "__udivmoddi4", arithmetic::udivmoddi4),
    ];
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{spi::Transaction, time::Instant, trace::Trace};

    struct NoFlash;

    impl SpiDevice for NoFlash {
        fn transfer(&mut self, _: Instant, _: &mut Transaction<'_>, _: &mut Trace) {}

        fn busy_until(&self) -> Option<Instant> {
            None
        }

        fn power_cycle(&mut self, _: Instant) {}
    }

    #[test]
    fn sorted_and_with_every_function_that_stubs_call() {
        let rows = Table::<NoFlash>::ROWS;
        assert!(rows.is_sorted_by(|a, b| a.address < b.address));
        // XTENSA 1.4: what the four stubs and ram_helloworld call.
        for address in [
            0x4000_41A4,
            0x4000_67EC,
            0x4000_67FC,
            0x4000_6808,
            0x4000_687C,
            0x4000_7D54,
            0x4000_824C,
            0x4000_8534,
            0x4000_8550,
            0x4000_8588,
            0x4000_8658,
            0x4000_90CC,
            0x4000_9200,
            0x4000_922C,
            0x4000_9258,
            0x4000_9278,
            0x4000_92D0,
            0x4000_9598,
            0x4000_9FDC,
            0x4000_C2C8,
            0x4000_C3C0,
            0x4000_C44C,
            0x4005_DA7C,
            0x4005_DA9C,
            0x4005_DB1C,
            0x4005_EF30,
            0x4006_22F0,
            0x4006_2320,
            0x4006_2448,
            0x4006_28B0,
            0x4006_2A6C,
            0x4006_2C14,
            0x4006_2C4C,
            0x4006_2CCC,
            0x4006_2D50,
            0x4006_2DF4,
            0x4006_2E60,
            0x4006_2E78,
            0x4006_2ED8,
            0x4006_3238,
        ] {
            assert!(find::<NoFlash>(address).is_some_and(|row| row.run.is_some()), "{address:#x}");
        }
        assert!(find::<NoFlash>(0x4000_0000).is_none());
    }
}
