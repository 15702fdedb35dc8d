//! The messages of the contract, byte for byte, and the contract itself.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message as _;
use prost::encoding::{DecodeContext, decode_key, skip_field};
use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorSet, field_descriptor_proto::Label};

use super::{Entry, bytes, check, examples, read};
use crate::wire::DESCRIPTORS;

/// The files of the contract.
fn contract() -> FileDescriptorSet {
    FileDescriptorSet::decode(DESCRIPTORS).unwrap()
}

/// Messages by full name, those inside others included.
fn messages() -> BTreeMap<String, DescriptorProto> {
    fn add(scope: &str, message: &DescriptorProto, to: &mut BTreeMap<String, DescriptorProto>) {
        let name = format!("{scope}.{}", message.name());
        for nested in &message.nested_type {
            add(&name, nested, to);
        }
        to.insert(name, message.clone());
    }
    let mut found = BTreeMap::new();
    for file in &contract().file {
        for message in &file.message_type {
            add(file.package(), message, &mut found);
        }
    }
    found
}

/// Enumerations by full name.
pub(super) fn enumerations() -> BTreeMap<String, EnumDescriptorProto> {
    let mut found = BTreeMap::new();
    for file in &contract().file {
        for enumeration in &file.enum_type {
            let name = format!("{}.{}", file.package(), enumeration.name());
            found.insert(name, enumeration.clone());
        }
    }
    for (message, descriptor) in messages() {
        for enumeration in &descriptor.enum_type {
            found.insert(format!("{message}.{}", enumeration.name()), enumeration.clone());
        }
    }
    found
}

/// The numbers of the fields that stand in an encoded message.
fn numbers(mut encoded: &[u8]) -> BTreeSet<i32> {
    let mut found = BTreeSet::new();
    while !encoded.is_empty() {
        let (number, kind) = decode_key(&mut encoded).unwrap();
        skip_field(kind, number, &mut encoded, DecodeContext::default()).unwrap();
        found.insert(i32::try_from(number).unwrap());
    }
    found
}

#[test]
fn every_message_has_its_golden_bytes() {
    let made: Vec<_> = examples::all()
        .iter()
        .map(|example| bytes(&example.name, &example.bytes))
        .collect();
    check("messages.txt", &made);
}

#[test]
fn golden_bytes_decode_to_the_message_they_were_made_from() {
    let golden = read("messages.txt");
    for example in examples::all() {
        let encoded = golden
            .get(&example.name)
            .unwrap_or_else(|| panic!("{} has no golden bytes", example.name));
        assert!(example.is_encoded_by(encoded), "{}", example.name);
    }
}

#[test]
fn no_message_and_no_field_is_left_out() {
    let mut shown: BTreeMap<String, BTreeSet<i32>> = BTreeMap::new();
    for example in examples::all() {
        let numbers = numbers(&example.bytes);
        shown
            .entry(example.message_name().to_owned())
            .or_default()
            .extend(numbers);
    }
    let wanted: BTreeMap<String, BTreeSet<i32>> = messages()
        .into_iter()
        .map(|(name, message)| (name, message.field.iter().map(|field| field.number()).collect()))
        .collect();
    assert!(wanted.len() > 50, "{} messages", wanted.len());
    for (name, fields) in &wanted {
        assert_eq!(shown.get(name), Some(fields), "{name} has no full example");
    }
    for name in shown.keys() {
        assert!(wanted.contains_key(name), "{name} is no message");
    }
}

/// Bytes do not show everything: the paths of calls, the values of enumerations that no example
/// takes, and types that encode alike.
#[test]
fn the_contract_is_as_it_was() {
    let mut made: Vec<Entry> = Vec::new();
    for file in &contract().file {
        for service in &file.service {
            let calls = service.method.iter().map(|call| {
                let stream = |yes| if yes { "stream " } else { "" };
                let (sent, answered) = (stream(call.client_streaming()), stream(call.server_streaming()));
                let (input, output) = (call.input_type(), call.output_type());
                format!("{} {sent}{input} {answered}{output}", call.name())
            });
            made.push((format!("{}.{}", file.package(), service.name()), lines(calls)));
        }
    }
    for (name, message) in messages() {
        let fields = message.field.iter().map(|field| {
            let how = match (field.label(), field.oneof_index) {
                (Label::Repeated, _) => "repeated ",
                (_, Some(_)) if field.proto3_optional() => "optional ",
                (_, Some(_)) => "one of ",
                (_, None) => "",
            };
            let kind = field.r#type().as_str_name().trim_start_matches("TYPE_");
            format!(
                "{} {} {how}{kind} {}",
                field.number(),
                field.name(),
                field.type_name()
            )
        });
        made.push((name, lines(fields)));
    }
    for (name, enumeration) in enumerations() {
        let values = enumeration.value.iter();
        made.push((
            name,
            lines(values.map(|value| format!("{} {}", value.number(), value.name()))),
        ));
    }
    check("contract.txt", &made);
}

fn lines(lines: impl Iterator<Item = String>) -> String {
    let lines: Vec<_> = lines.map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n")
}
