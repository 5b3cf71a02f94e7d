use super::*;

#[test]
fn every_file_is_a_part_of_that_name() {
    let refused: Vec<String> = FILES
        .iter()
        .filter_map(|(name, text)| Part::parse(text, name).err())
        .map(|error| error.to_string())
        .collect();
    assert!(refused.is_empty(), "{}", refused.join("\n"));
    let parts = parse_all().unwrap();
    let file_names: Vec<&str> = names().collect();
    let part_names: Vec<&str> = parts.iter().map(|part| part.name.as_str()).collect();
    assert_eq!(part_names, file_names);
    assert!(file_names.is_sorted());
    assert!(parts.len() >= 64);
}

#[test]
fn letter_case_does_not_matter() {
    assert_eq!(part("w25q128fv").map(|p| p.name), Some("W25Q128FV".to_owned()));
    assert!(part("W25Q128").is_none());
    assert!(text("gd25q32c").is_some_and(|text| text.contains("GigaDevice")));
}

#[test]
fn an_id_finds_the_parts_that_have_it_and_no_other() {
    let parts = parse_all().unwrap();
    for part in &parts {
        let found: Vec<&Part> = with_id(part.jedec_id).map(Result::unwrap).collect();
        let expected: Vec<&Part> =
            parts.iter().filter(|other| other.jedec_id == part.jedec_id).collect();
        assert_eq!(found, expected, "{}", part.name);
    }
    assert_eq!(with_id(JedecId([0x12, 0x34, 0x56])).count(), 0);
}
