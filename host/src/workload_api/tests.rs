//! What is asked of an agent, and what of its answers is taken.

use super::*;

fn need(audience: &str, spiffe_id: Option<&str>) -> WorkloadApiNeed {
    let mut need = WorkloadApiNeed::default();
    need.audience = audience.to_owned();
    need.spiffe_id = spiffe_id.map(str::to_owned);
    need
}

/// By `google.protobuf` for Python.
#[test]
fn a_question_is_that_of_the_protocol() {
    assert_eq!(question(&need("a", None)), b"\0\0\0\0\x03\x0a\x01a");
    assert_eq!(
        question(&need("aud", Some("spiffe://x/y"))),
        b"\0\0\0\0\x13\x0a\x03aud\x12\x0cspiffe://x/y"
    );
    let long = "a".repeat(300);
    let framed = question(&need(&long, None));
    assert_eq!(framed.get(..8), Some(&b"\0\0\0\x01\x2f\x0a\xac\x02"[..]));
}

/// A JWT of nobody, with that signature.
fn jwt(signature: &str) -> String {
    format!("eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ4In0.{signature}")
}

/// An identity in a `JWTSVIDResponse`.
fn jwt_svid(id: &str, token: &str) -> Vec<u8> {
    let mut svid = Vec::new();
    for (tag, value) in [(0x0a, id), (0x12, token), (0x1a, "hint")] {
        svid.extend([tag, u8::try_from(value.len()).unwrap()]);
        svid.extend_from_slice(value.as_bytes());
    }
    let mut message = vec![0x0a, u8::try_from(svid.len()).unwrap()];
    message.extend(svid);
    message
}

#[test]
fn an_answer_is_read_whatever_else_is_in_it() {
    let token = jwt("AAAA");
    let good = jwt_svid("spiffe://x/y", &token);
    assert_eq!(answer(&framed(&good), None), Ok(token.as_str()));
    // two, and fields of the future of each wire type
    let mut more = b"\x78\xff\x01\x79\0\0\0\0\0\0\0\0\x7d\0\0\0\0".to_vec();
    more.extend_from_slice(&good);
    more.extend(jwt_svid("spiffe://x/z", &jwt("BBBB")));
    assert_eq!(answer(&framed(&more), None), Ok(token.as_str()));
    // whatever is cut off or turned is no token, and no end of the program
    let whole = framed(&good);
    for end in 0..whole.len() {
        assert!(answer(&whole[..end], None).is_err(), "{end}");
    }
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut turned = whole.clone();
            turned[at] ^= 1 << bit;
            // what can never be read is said at once, and not waited for
            if let Ok(token) = answer(&turned, None) {
                assert!(token.len() <= whole.len());
            }
        }
    }
    for bad in [
        &b""[..],
        b"\x12\x01x",
        b"\x0a\x02\x12\x00",
        b"\x0b",
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    ] {
        assert!(answer(&framed(bad), None).is_err(), "{bad:?}");
    }
    let mut compressed = whole;
    compressed[0] = 1;
    assert!(answer(&compressed, None).is_err());
    assert!(answer(b"\0\xff\xff\xff\xff", None).is_err());
}

/// Whatever an agent answers, no token goes on but a JWT of the identity that was asked for.
#[test]
fn a_jwt_svid_is_the_one_that_was_asked_for_and_a_jwt() {
    const MINE: &str = "spiffe://x/mine";
    const OTHER: &str = "it answered with the JWT-SVID of another identity than spiffe://x/mine";
    const NO_JWT: &str = "what it calls a JWT-SVID is no JWT";
    let (mine, other) = (jwt("AAAA"), jwt("BBBB"));
    let of = |svids: &[(&str, &str)]| {
        let svids = svids.iter().map(|(id, token)| jwt_svid(id, token));
        framed(&svids.collect::<Vec<_>>().concat())
    };
    for (svids, id, expected) in [
        (&[(MINE, mine.as_str())][..], Some(MINE), Ok(mine.as_str())),
        (
            &[("spiffe://x/other", &other), (MINE, &mine)],
            Some(MINE),
            Ok(&mine),
        ),
        (
            &[("spiffe://x/other", &other), (MINE, &mine)],
            None,
            Ok(&other),
        ),
        (&[("spiffe://x/other", &other)], Some(MINE), Err(OTHER)),
        (&[("", &other)], Some(MINE), Err(OTHER)),
        (&[("spiffe://x/mine2", &other)], Some(MINE), Err(OTHER)),
        (&[("SPIFFE://x/mine", &other)], Some(MINE), Err(OTHER)),
        (&[(MINE, "hello")], Some(MINE), Err(NO_JWT)),
        (&[(MINE, "")], None, Err(NO_JWT)),
        (&[(MINE, "a.b.c")], None, Err(NO_JWT)),
        (&[(MINE, "hello"), (MINE, &mine)], Some(MINE), Err(NO_JWT)),
    ] {
        let expected = expected.map_err(|why| AssertionError::Other(why.to_owned()));
        assert_eq!(answer(&of(svids), id), expected, "{svids:?} {id:?}");
    }
}

/// What is no socket is told from one on which nobody listens: the one stays as it is, and the other may pass.
#[tokio::test]
async fn what_is_no_socket_is_final() {
    let folder = std::env::temp_dir().join(format!("edgepass-agents-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let at = |name: &str| folder.join(name);
    std::fs::write(at("file"), "text").unwrap();
    std::fs::create_dir(at("folder")).unwrap();
    drop(std::os::unix::net::UnixListener::bind(at("silent")).unwrap());
    for (to, link) in [
        ("file", "to-file"),
        ("folder", "to-folder"),
        ("silent", "to-silent"),
        ("none", "to-none"),
    ] {
        std::os::unix::fs::symlink(at(to), at(link)).unwrap();
    }
    let other = |why: &str| AssertionError::Other(why.to_owned());
    let silent = || AssertionError::Temporary("nobody listens on its socket".to_owned());
    for (name, expected) in [
        ("file", other("it is no socket but a file")),
        ("folder", other("it is no socket but a folder")),
        ("to-file", other("it is no socket but a file")),
        ("to-folder", other("it is no socket but a folder")),
        ("silent", silent()),
        ("to-silent", silent()),
        ("none", AssertionError::NotConfigured),
        ("to-none", AssertionError::NotConfigured),
    ] {
        let path = at(name).display().to_string();
        let mut need = need("a", None);
        need.socket.clone_from(&path);
        let (of_jwt, of_x509) = (
            assertion(&need).await.err(),
            Svids::open(&path, None).await.err(),
        );
        assert_eq!(of_jwt, Some(expected.clone()), "{name}");
        assert_eq!(of_x509, Some(expected), "{name}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

/// Of several the one that is asked for, and nothing of a message that is cut off or turned.
#[test]
fn an_x509_svid_is_the_one_that_is_wanted() {
    let of = |id: &str, chain: &[u8], key: &[u8]| {
        let mut svid = Vec::new();
        for (tag, value) in [
            (0x0a, id.as_bytes()),
            (0x12, chain),
            (0x1a, key),
            (0x22, b"\x30\0"),
        ] {
            svid.extend([tag, u8::try_from(value.len()).unwrap()]);
            svid.extend_from_slice(value);
        }
        let mut message = vec![0x0a, u8::try_from(svid.len()).unwrap()];
        message.extend(svid);
        message
    };
    // two certificates as far as DER goes, one after the other
    let chain = b"\x30\x03\x02\x01\x01\x30\x03\x02\x01\x02";
    let mut message = of("spiffe://x/a", chain, b"key a");
    message.extend(of("spiffe://x/b", &chain[..5], b"key b"));
    for (id, certificates, key) in [
        (None, 2, &b"key a"[..]),
        (Some("spiffe://x/a"), 2, b"key a"),
        (Some("spiffe://x/b"), 1, b"key b"),
    ] {
        let found = svid(&message, id).unwrap();
        assert_eq!(found.chain.len(), certificates);
        assert_eq!(found.key.secret_der(), key);
    }
    for bad in [
        &b""[..],
        &message[..message.len() - 1],
        b"\x0a\x00",
        b"\x0b",
    ] {
        assert!(svid(bad, None).is_err(), "{bad:?}");
    }
    assert!(svid(&message, Some("spiffe://x/c")).is_err());
    assert!(svid(&of("i", b"\x30\x09\x02", b"k"), None).is_err());
    for at in 0..message.len() {
        for bit in 0..8 {
            let mut turned = message.clone();
            turned[at] ^= 1 << bit;
            // an answer that is in it or an error, and no end of the program
            if let Ok(found) = svid(&turned, None) {
                let bytes: usize = found.chain.iter().map(|one| one.len()).sum();
                assert!(bytes + found.key.secret_der().len() <= turned.len());
            }
        }
    }
    // messages come one after the other, and in pieces
    let two = [framed(&message), framed(b"next")].concat();
    assert_eq!(whole(&two[..4]), Ok(None));
    assert_eq!(whole(&two[..message.len() + 4]), Ok(None));
    let (first, length) = whole(&two).unwrap().unwrap();
    assert_eq!((first, length), (&message[..], message.len() + 5));
    assert_eq!(whole(&two[length..]), Ok(Some((&b"next"[..], 9))));
}

#[test]
fn what_an_agent_says_is_shown_as_it_is_meant() {
    for (sent, expected) in [
        ("no identity issued", "no identity issued"),
        ("no identity for \u{25}C3\u{25}A9", "no identity for \u{e9}"),
        ("a%1b[31mb%0a%zz%", "a[31mb%zz%"),
    ] {
        let mut headers = HeaderMap::new();
        headers.insert("grpc-message", sent.parse().unwrap());
        assert_eq!(said(&headers), expected);
    }
    assert_eq!(said(&HeaderMap::new()), "");
}
