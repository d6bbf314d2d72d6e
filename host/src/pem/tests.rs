use super::*;

fn what(content: impl AsRef<[u8]>) -> &'static str {
    found(content.as_ref()).map_or("", |found| found.what)
}

fn section(label: &str) -> String {
    format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n")
}

#[test]
fn sections_are_named() {
    for (label, expected) in LABELS {
        assert_eq!(what(section(label)), expected.what, "{label}");
        let among_others = format!("Bag Attributes\r\n  friendlyName: x\r\n{}", section(label));
        assert_eq!(what(among_others), expected.what, "{label}");
    }
    for (header, expected) in [
        ("Proc-Type: 4,ENCRYPTED", ENCRYPTED_THE_OLD_WAY.what),
        ("Proc-Type: 4,MIC-ONLY", "a private key"),
        ("Comment: not ENCRYPTED", "a private key"),
    ] {
        let key = section("RSA PRIVATE KEY").replace("AAAA", &format!("{header}\n\nAAAA"));
        assert_eq!(what(key), expected, "{header}");
    }
    assert_eq!(what(section("NOBODY KNOWS")), "");
}

#[test]
fn other_forms_are_named() {
    let utf16: Vec<u8> = section("CERTIFICATE")
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let with_mark = [&b"\xff\xfe"[..], &utf16].concat();
    for (content, expected) in [
        (&b""[..], "empty"),
        (b" \r\n", "empty"),
        (&utf16, "text in UTF-16"),
        (&with_mark, "text in UTF-16"),
        (b"ssh-ed25519 AAAAC3 me@host", "an SSH public key"),
        (b"ssh-rsa AAAAB3", "an SSH public key"),
        (b"ecdsa-sha2-nistp256 AAAAE2", "an SSH public key"),
        (b"PuTTY-User-Key-File-3: ssh-rsa", "a PuTTY private key"),
        (b"{\"kty\":\"RSA\",\"d\":\"x\"}", "a JSON Web Key (JWK)"),
        (b" {\"error\":\"x\"}", "JSON"),
        (b"<!DOCTYPE html>", "HTML or XML"),
        (b"MIIEvQIBADANBgkq", "base64 without the lines around it"),
        (b"MIIPvwIBAzCCD3UGCSqG", "base64 of a PKCS#12 (PFX) file"),
        (
            b"eyJhbGciOiJSUzI1NiJ9.e30.x",
            "a token or another JSON object in base64",
        ),
        (b"\xfe\xed\xfe\xed\0\0", "a Java key store"),
        (
            b"\x30\x82\x09\x31\x02\x01\x03\x30\x82",
            "a PKCS#12 (PFX) file",
        ),
        (b"\x30\x80\x02\x01\x03\x30\x80", "a PKCS#12 (PFX) file"),
        (
            b"\x30\x82\x04\xbd\x02\x01\x00\x30\x0d",
            "a private key in DER",
        ),
        (
            b"\x30\x82\x04\xa4\x02\x01\x00\x02\x82",
            "a private key in DER",
        ),
        (b"\x30\x77\x02\x01\x01\x04\x20", "a private key in DER"),
        (
            b"\x30\x82\x05\x2d\x30\x57\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0d",
            "an encrypted private key in DER",
        ),
        (
            b"\x30\x82\x01\x22\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01",
            "a public key",
        ),
        (
            b"\x30\x82\x02\x4a\x30\x82\x01\x32\x02\x01\x00",
            "a certificate signing request",
        ),
        (
            b"\x30\x82\x05\x00\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02",
            "a PKCS#7 bundle",
        ),
        (b"\x30", ""),
        (b"\x30\x82", ""),
        (b"\x30\x03\x30\x01\x00", "a certificate signing request"),
        (b"hello", ""),
        (b"\x00\x01\x02", ""),
    ] {
        assert_eq!(
            what(content),
            expected,
            "{}",
            String::from_utf8_lossy(content)
        );
    }
}

#[test]
fn keys_of_other_kinds_are_named() {
    for (identifier, reason) in ALGORITHMS {
        let der = [b"\x30\x20\x02\x01\x00\x30\x10", *identifier, b"\x01\x02"].concat();
        assert_eq!(unusable_key(&der), *reason);
    }
    assert!(unusable_key(b"\x30\x00").starts_with("it is damaged"));
}

#[test]
fn sections_are_chosen_by_their_labels() {
    let all = format!(
        "text\n{}between\n{}{}-----BEGIN A-----\ncut",
        section("A"),
        section("B"),
        section("A C")
    );
    for (wanted, expected) in [
        (&["B"][..], section("B")),
        (&["A C", "B"][..], section("B") + &section("A C")),
        (&["A"][..], section("A") + "-----BEGIN A-----\ncut\n\n"),
        (&["X"][..], String::new()),
    ] {
        let chosen = sections(all.as_bytes(), wanted);
        assert_eq!(String::from_utf8_lossy(&chosen), expected, "{wanted:?}");
    }
}

#[test]
fn certificates_are_decoded_as_far_as_they_can_be() {
    let section = |text: &str| section("CERTIFICATE").replace("AAAA", text);
    let cut = "-----BEGIN CERTIFICATE-----\nAAAA\n";
    let (good, bad) = (Some(vec![0, 0, 0]), None);
    for (content, expected) in [
        (String::new(), vec![]),
        (section("AAAA"), vec![good.clone()]),
        (section("AA\nAA"), vec![good.clone()]),
        (section(" AA AA\t"), vec![good.clone()]),
        (section("AAA"), vec![Some(vec![0, 0])]),
        (section("AAA="), vec![Some(vec![0, 0])]),
        (section("AAB="), vec![Some(vec![0, 0])]),
        (section(""), vec![Some(vec![])]),
        (section("A"), vec![bad.clone()]),
        (section("?!"), vec![bad.clone()]),
        (section("Comment: x\n\nAAAA"), vec![bad.clone()]),
        (section("AAAA").replace("CERTIFICATE", "X"), vec![]),
        (section("AAAA").replace('\n', "\r"), vec![good.clone()]),
        (section("AAAA").replace('\n', "\\n"), vec![good.clone()]),
        (cut.to_owned(), vec![bad.clone()]),
        (
            cut.to_owned() + &section("AAAA"),
            vec![bad.clone(), good.clone()],
        ),
        (
            section("AAAA") + &section("?!") + "text\n" + &section("AAAA"),
            vec![good.clone(), bad, good],
        ),
    ] {
        assert_eq!(certificates(content.as_bytes()), expected, "{content:?}");
    }
}

#[test]
fn lines_are_those_of_split() {
    for text in ["", "\n", "a", "a\n", "\na", "a\n\nb", "\n\n"] {
        let split: Vec<&[u8]> = text.as_bytes().split(|b| *b == b'\n').collect();
        assert_eq!(
            lines(text.as_bytes()).collect::<Vec<_>>(),
            split,
            "{text:?}"
        );
    }
}

#[test]
fn what_surrounds_the_lines_is_taken_off() {
    const PLAIN: &[u8] = b"-----BEGIN X-----\nAA+/\nBB==\n-----END X-----\n";
    let lines = ["-----BEGIN X-----", "AA+/", "BB==", "-----END X-----"];
    let without_empty = |text: &str| {
        let normal = normalise(text.as_bytes());
        let lines = normal
            .split(|b| *b == b'\n')
            .filter(|line| !line.is_empty());
        lines
            .map(|line| [line, b"\n"].concat())
            .collect::<Vec<_>>()
            .concat()
    };
    for text in [
        lines.join("\n"),
        lines.join("\r\n"),
        lines.join("\r"),
        lines.join("\\n"),
        lines.join("\\r\\n"),
        format!("\u{feff}{}", lines.join("\r\n")),
        format!("\"{}\\n\"", lines.join("\\n")),
        format!("'{}'", lines.join("\n")),
        lines.map(|line| format!("    {line} \t")).join("\n"),
        lines.map(|line| format!("\"{line}\",")).join("\n"),
        format!("\n\n{}\n\n", lines.join("\n\n")),
    ] {
        assert_eq!(without_empty(&text), PLAIN, "{text:?}");
    }
    assert_eq!(normalise(b"").as_slice(), b"\n");
}
