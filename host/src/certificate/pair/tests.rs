use std::time::Duration;

use x509_cert::der::DateTime;

use super::chain::{ChainCertificate, Name};
use super::*;

/// One field of DER.
fn field(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).unwrap();
    let header = if length < 0x80 {
        vec![tag, length]
    } else {
        vec![tag, 0x81, length]
    };
    [&header[..], content].concat()
}

fn sequence(fields: &[Vec<u8>]) -> Vec<u8> {
    field(0x30, &fields.concat())
}

/// A certificate of version 1 with these names; its key and signature are any bytes.
fn certificate(subject: &str, issuer: &str, key: &[u8]) -> CertificateDer<'static> {
    let name = |name: &str| {
        let common_name = field(0x06, &[0x55, 0x04, 0x03]);
        let text = field(0x0c, name.as_bytes());
        sequence(&[field(0x31, &sequence(&[common_name, text]))])
    };
    let algorithm = || {
        sequence(&[
            field(0x06, b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b"),
            field(0x05, b""),
        ])
    };
    let bits = |content: &[u8]| field(0x03, &[&[0], content].concat());
    let time = || field(0x17, b"260101000000Z");
    let fields = sequence(&[
        field(0x02, &[1]),
        algorithm(),
        name(issuer),
        sequence(&[time(), time()]),
        name(subject),
        sequence(&[algorithm(), bits(key)]),
    ]);
    CertificateDer::from(sequence(&[fields, algorithm(), bits(b"signature")]))
}

#[test]
fn every_order_becomes_the_one_from_the_leaf_to_the_root() {
    let leaf = certificate("leaf", "middle", b"the key");
    let middle = certificate("middle", "root", b"m");
    let root = certificate("root", "root", b"r");
    let other = certificate("other", "nobody", b"o");
    let all = [&leaf, &middle, &root, &other];
    let mut orders = 0;
    for a in 0..4 {
        for b in 0..4 {
            for c in 0..4 {
                let d = 6_usize.wrapping_sub(a + b + c);
                let mut order = vec![a, b, c, d];
                order.sort_unstable();
                order.dedup();
                if order != [0, 1, 2, 3] {
                    continue;
                }
                orders += 1;
                let chain: Vec<_> = [a, b, c, d].map(|at| all[at].clone()).into();
                let (sorted, left_out) = leaf_first(&chain, b"the key").ok().unwrap();
                assert!(
                    sorted == [leaf.clone(), middle.clone(), root.clone()],
                    "{a}{b}{c}{d}"
                );
                assert_eq!(left_out, ["CN=other"]);
            }
        }
    }
    assert_eq!(orders, 24);
}

fn sorted(
    chain: &[CertificateDer<'static>],
    key: &[u8],
) -> (Vec<CertificateDer<'static>>, Vec<String>) {
    leaf_first(chain, key).ok().unwrap()
}

#[test]
fn names_are_the_same_however_they_are_written() {
    let middle = certificate("middle ca", "root", b"m");
    for issuer in ["middle ca", "Middle CA", "MIDDLE  ca"] {
        let leaf = certificate("leaf", issuer, b"the key");
        let expected = (vec![leaf.clone(), middle.clone()], vec![]);
        for chain in [[leaf.clone(), middle.clone()], [middle.clone(), leaf]] {
            assert!(sorted(&chain, b"the key") == expected, "{issuer}");
        }
    }
}

#[test]
fn what_is_of_another_chain_is_left_out_and_named() {
    let leaf = certificate("leaf", "nowhere", b"the key");
    let [other, root] = [
        certificate("Other Leaf", "root", b"o"),
        certificate("root", "root", b"r"),
    ];
    let found = sorted(&[other.clone(), root.clone(), leaf.clone()], b"the key");
    let names = ["CN=Other Leaf".to_owned(), "CN=root".to_owned()];
    assert!(
        found == (vec![leaf.clone()], names.to_vec()),
        "{:?}",
        found.1
    );
    // one that signed itself needs nobody
    let own = certificate("own", "own", b"own key");
    let found = sorted(&[leaf, own.clone(), root], b"own key");
    assert!(found.0 == [own] && found.1.len() == 2);
}

/// A certificate with this key, names and identifiers of keys.
fn certificate_of(subject: &str, issuer: &str, ids: [Option<&[u8]>; 2]) -> ChainCertificate {
    let [key_id, issuer_key_id] = ids.map(|id| id.map(<[u8]>::to_vec));
    ChainCertificate {
        der: None,
        subject: Name(subject.to_owned()),
        shown: subject.to_owned(),
        issuer: Name(issuer.to_owned()),
        public_key: subject.as_bytes().to_vec(),
        key_id,
        issuer_key_id,
    }
}

#[test]
fn of_two_issuers_of_one_name_the_one_with_the_key_that_is_meant_counts() {
    let leaf = certificate_of("leaf", "ca", [None, Some(b"new")]);
    let rate = |subject: &str, id: Option<&[u8]>| {
        leaf.issued_by(&certificate_of(subject, "root", [id, None]))
    };
    assert_eq!(rate("ca", Some(b"new")), 3);
    assert_eq!(rate("c.a.", Some(b"new")), 2);
    assert_eq!(rate("ca", Some(b"old")), 1);
    assert_eq!(rate("ca", None), 1);
    assert_eq!(rate("another", Some(b"old")), 0);
    let unread = ChainCertificate::default();
    assert_eq!(ChainCertificate::default().issued_by(&unread), 0);
}

#[test]
fn when_a_certificate_is_good() {
    let date = |day| DateTime::new(2026, 3, day, 0, 0, 0).unwrap();
    let of = |from, to| Validity {
        not_before: date(from),
        not_after: date(to),
    };
    let validity = of(2, 28);
    let at = |day: u8, second: u64| date(day).unix_duration() + Duration::from_secs(second);
    for (now, over, ending) in [
        (at(1, 0), "becomes valid in 24 h, 2026-03-02T00:00:00Z", ""),
        (
            at(1, 86_399),
            "becomes valid in 1 s, 2026-03-02T00:00:00Z",
            "",
        ),
        (at(2, 0), "", ""),
        (at(25, 0), "", ""),
        // a tenth of its validity is left
        (
            at(25, 43_200),
            "",
            "expires in 2 days, 2026-03-28T00:00:00Z",
        ),
        (at(28, 0), "", "expires in 0 s, 2026-03-28T00:00:00Z"),
        (at(28, 300), "expired 5 min ago, 2026-03-28T00:00:00Z", ""),
        (at(31, 0), "expired 3 days ago, 2026-03-28T00:00:00Z", ""),
    ] {
        let said = (validity.over(now), validity.ending(now));
        let expected = [over, ending].map(|text| (!text.is_empty()).then(|| text.to_owned()));
        assert_eq!([said.0, said.1], expected, "{now:?}");
    }
    let long = Validity {
        not_before: DateTime::new(2020, 1, 1, 0, 0, 0).unwrap(),
        not_after: date(28),
    };
    assert_eq!(long.ending(at(13, 0)), None, "two weeks before at the most");
    assert!(long.ending(at(15, 0)).is_some());
}

#[test]
fn issuers_that_sign_each_other_are_no_circle() {
    let [a, b] = [certificate("a", "b", b"a"), certificate("b", "a", b"b")];
    let chain = [b.clone(), a.clone()];
    assert!(sorted(&chain, b"a").0 == [a, b]);
}
