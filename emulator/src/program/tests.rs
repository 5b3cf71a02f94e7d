use proptest::prelude::*;

use super::*;

/// An ELF file with one segment and one function symbol, put together by hand.
fn elf(machine: u16, data: &[u8]) -> Vec<u8> {
    let half = |value: u16| value.to_le_bytes();
    let word = |value: u32| value.to_le_bytes();
    let len = u32::try_from(data.len()).unwrap();
    let sections = 84 + len;
    let mut file = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    file.extend([half(2), half(machine)].concat());
    file.extend([word(1), word(0x4008_0004), word(52), word(sections), word(0)].concat());
    file.extend([half(52), half(32), half(1), half(40), half(3), half(0)].concat());
    let header = [1, 84, 0x4008_0000, 0x4008_0000, len, len + 4, 7, 4].map(word);
    file.extend(header.concat());
    file.extend(data);
    let (symbols, names) = (sections + 3 * 40, sections + 3 * 40 + 16);
    file.extend([0; 40]);
    file.extend([0, 2, 0, 0, symbols, 16, 2, 0, 4, 16].map(word).concat());
    file.extend([0, 3, 0, 0, names, 6, 0, 0, 1, 0].map(word).concat());
    file.extend([word(1), word(0x4008_0004), word(8), [0x12, 0, 1, 0]].concat());
    file.extend(b"\0main\0");
    file
}

#[test]
fn an_elf_file_has_segments_zeros_behind_and_symbols() {
    let program = Program::parse(&elf(94, &[1, 2, 3, 4, 5, 6, 7, 8])).unwrap();
    assert_eq!(program.entry, 0x4008_0004);
    assert_eq!(program.segments, [(0x4008_0000, vec![1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0])]);
    assert_eq!(program.symbols.near(0x4008_0006), Some(("main", 2)));
    assert_eq!(program.symbols.near(0x4008_0003), None);
    let refused = Program::parse(&elf(40, &[0; 8]));
    assert_eq!(refused, Err(ProgramError::Elf(ElfError::Machine(40))));
}

#[test]
fn stubs_of_both_clients() {
    let json = r#"{"entry": 1074521560, "text": "AQID", "text_start": 1074520064,
        "data": "BA==", "data_start": 1073605544, "bss_start": 1073528832}"#;
    let toml = "entry = 1074521560\ntext = \"AQID\"\ntext_start = 1074520064\ndata = \"BA==\"\n\
        data_start = 1073605544\nbss_start = 1073528832\n";
    let program = Program::parse(json.as_bytes()).unwrap();
    assert_eq!(program, Program::parse(toml.as_bytes()).unwrap());
    let segments = [(0x400B_E000, vec![1, 2, 3]), (0x3FFD_EBA8, vec![4])];
    assert_eq!((program.entry, program.segments), (0x400B_E5D8, segments.to_vec()));
    let wrong = json.replace("AQID", "A-ID");
    let refused = ProgramError::Stub(StubError::Base64("text"));
    assert_eq!(Program::parse(wrong.as_bytes()), Err(refused));
}

#[test]
fn symbols_of_nm_and_of_linker_scripts() {
    let symbols = Symbols::parse(
        "400be658 T main\nPROVIDE ( ets_printf = 0x40007d54 );\n  U other\n400be660 t loop\n",
    );
    assert_eq!(symbols.at(0x4000_7D54), Some("ets_printf"));
    assert_eq!(symbols.near(0x400B_E65F), Some(("main", 7)));
    assert_eq!(symbols.addresses().count(), 3);
}

proptest! {
    #[test]
    fn damaged_files_are_refused_without_a_panic(
        at in 0_usize..220,
        value: u32,
        cut in 0_usize..230,
        data in prop::collection::vec(any::<u8>(), 8..16),
    ) {
        let mut file = elf(94, &data);
        if let Some(place) = file.get_mut(at..at + 4) {
            place.copy_from_slice(&value.to_le_bytes());
        }
        file.truncate(cut.max(1));
        let _ = Program::parse(&file);
    }
}
