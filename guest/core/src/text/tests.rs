use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::spellings::{CLIENT, any_secret, json, spellings_of};
use super::*;

/// As a credential gives them: the secret, and the pairs of which base64 is made.
fn needles(secret: &str) -> Needles {
    let form: String = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let pair = |secret: &str| {
        Secret::new(format!(
            "Basic {}",
            STANDARD.encode(format!("{CLIENT}:{secret}"))
        ))
    };
    Needles::of(&[Secret::new(secret), pair(secret), pair(&form)])
}

#[test]
fn a_secret_that_is_folded_into_lines_is_found() {
    let secret = "Sup3r+Secret/Val==x9".repeat(6);
    let sent = Needles::of(&[Secret::new(secret.as_str())]);
    let base64 = STANDARD.encode(&secret);
    for text in [secret.as_str(), &base64] {
        for fold in [
            "\n", "\r\n", "\n    ", "\\n", "\\r\\n", "%0D%0A", " ", "=\n", "=\r\n",
        ] {
            for width in [20, 60, 76] {
                let lines: Vec<&str> = text
                    .as_bytes()
                    .chunks(width)
                    .map(|line| std::str::from_utf8(line).unwrap())
                    .collect();
                let shown = clean(&format!("got {} there", lines.join(fold)), &sent);
                assert_eq!(shown, format!("got {REDACTED} there"), "{fold:?} {width}");
            }
        }
    }
    let spaces = secret.replace('+', " ");
    assert_eq!(
        clean(&format!("got {spaces}"), &sent),
        format!("got {REDACTED}")
    );
}

#[test]
fn no_spelling_of_a_secret_is_shown() {
    let mut random = ChaCha8Rng::seed_from_u64(11);
    for _ in 0..50 {
        let secret = any_secret(&mut random);
        let needles = needles(&secret);
        for (name, spelling) in spellings_of(&secret) {
            for (before, after) in [
                ("the value '", "' is wrong"),
                ("(", ")"),
                ("%3D", "%26x"),
                ("a=", "&b=c"),
            ] {
                let text = format!("{before}{spelling}{after}");
                let shown = clean(&text, &needles);
                let expected = text.replace(&spelling, REDACTED);
                // of base64, what stands around it may go as well
                if !name.starts_with("base64") && !shown.contains(REDACTED) {
                    panic!(
                        "{name} of {secret:?}: {text:?} is shown as {shown:?}, not as {expected:?}"
                    );
                }
                assert!(
                    !shown.contains(&spelling),
                    "{name} of {secret:?}: {shown:?}"
                );
            }
            let claims = format!("{{\"a\":{}}}", serde_json::to_string(&spelling).unwrap());
            if let Some(shown) = crate::challenge::clean_claims(&claims, &needles) {
                assert!(
                    !shown.contains(&spelling) && !shown.contains(&json(&spelling)),
                    "{name} of {secret:?}: {shown}"
                );
                assert!(shown.is_ascii(), "{shown}");
            }
        }
    }
}

#[test]
fn a_secret_inside_longer_base64_is_found() {
    let needles = Needles::of(&[Secret::new("Sup3r+Secret/Value==")]);
    for before in [
        "",
        "a",
        "ab",
        "{\"client_secret\":\"",
        "grant_type=x&client_secret=",
    ] {
        let text = format!("{before}Sup3r+Secret/Value==\"}}");
        for encoded in [STANDARD.encode(&text), URL_SAFE_NO_PAD.encode(&text)] {
            assert_eq!(
                clean(&format!("got {encoded} instead"), &needles),
                "got [redacted] instead"
            );
        }
    }
}

#[test]
fn a_part_of_a_secret_is_taken_for_it() {
    let needles = Needles::of(&[
        Secret::new("Sup3r+Secret/Value=="),
        Secret::new("eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0xMjM0NTY3ODkw.c2lnbmF0dXJlLXNpZ25hdHVyZQ"),
    ]);
    for (text, shown) in [
        ("secret 'Sup3r+Secret/V", "secret '[redacted]"),
        ("sup3r_secret/value", "[redacted]"),
        ("SUP3R SECRET V", "[redacted]"),
        ("bm/F0+DXJL L-XNpZ25 hd", "[redacted]"),
        (
            "signature c2lnbmF0dXJlLXNpZ25hdHVyZQ, no",
            "signature [redacted], no",
        ),
        ("payload eyJzdWIiOiJ4In0xMjM0NTY3ODkw", "payload [redacted]"),
        ("Sup3r is not much of it", "Sup3r is not much of it"),
    ] {
        assert_eq!(clean(text, &needles), shown);
    }
}

#[test]
fn a_short_secret_is_taken_out_as_a_word() {
    let needles = Needles::of(&[Secret::new("abc")]);
    for (text, shown) in [
        ("secret abc is wrong", "secret [redacted] is wrong"),
        ("secret 'abc'", "secret '[redacted]'"),
        ("client_secret%3Dabc%26x", "client_secret%3D[redacted]%26x"),
        (r"\nabc\n", r"\n[redacted]\n"),
        ("YWJj", "[redacted]"),
        ("abcess, scabced", "abcess, scabced"),
        ("", ""),
    ] {
        assert_eq!(clean(text, &needles), shown);
    }
}

#[test]
fn what_looks_like_a_jwt_is_not_shown() {
    let jwt = "eyJhbGciOiJSUzI1NiJ9.eyJhIjoxfQ.c2lnbmF0dXJl";
    let none = Needles::default();
    assert_eq!(
        clean(&format!("assertion={jwt}, x"), &none),
        "assertion=[redacted], x"
    );
    // wherever it stands, whole or cut off
    for (before, after) in [
        ("", ""),
        ("Bearer ", " is wrong"),
        ("Bearer%20", ""),
        ("token=", "&x=y"),
        ("\"", "\"}"),
        ("https://h.example/", " not found"),
        ("\\u0022", "\\u0022"),
        ("&quot;", "&quot;"),
        ("x-", ""),
        ("jwt", ""),
        ("got_", ")"),
    ] {
        for jwt in [
            jwt,
            "eyJhbGciOiJub25lIn0.eyJhIjoxfQ.",
            "eyJ0eXAiOiJKV1QiLCJh",
        ] {
            let shown = clean(&format!("{before}{jwt}{after}"), &none);
            let left = shown.replace(REDACTED, "");
            assert!(
                shown.contains(REDACTED) && !left.contains("eyJ") && left.starts_with(before),
                "{before}{jwt}{after}: {shown}"
            );
        }
    }
    // with white space where JSON has it
    for json in [
        "{ \"alg\": \"RS256\" }",
        "{\n  \"alg\": \"RS256\"\n}",
        "{\r\n\t\"alg\":\"RS256\"}",
        "{            \"alg\":\"RS256\"}",
    ] {
        let part = URL_SAFE_NO_PAD.encode(json);
        let shown = clean(&format!("token {part}.{part}.c2ln is wrong"), &none);
        assert_eq!(shown, "token [redacted] is wrong", "{json:?}");
    }
    // whatever else is called so
    for text in [
        "the eyJ of it",
        "api://surveyJobs.example.com/Answers.ReadWrite.All",
        "https://h.example/surveyJournal/.default openid surveyJob_4711.read.write",
        "identity surveyJobsOfTheNorthernDepartment-2026",
        "eyJobs.ReadWrite.All/with-a-long-name.default",
        "eyJOBS-IN-THE-CLOUD-0123456789.read",
    ] {
        assert_eq!(clean(text, &none), text);
        assert_eq!(clean_whole(text, &none), text);
    }
}

#[test]
fn nothing_is_printed_that_is_not_seen() {
    let bad = "a\u{1b}[31m\r\nb\u{202e}c\u{200b}d\u{2028}e\u{9b}2Jf\u{61c}g\u{2066}h\u{feff}i\u{7f}j\u{ad}k";
    let none = Needles::default();
    assert_eq!(clean(bad, &none), "a [31m bcde 2Jfghi jk");
    assert_eq!(printable(bad, 5), "a[31m…");
    let all: Vec<char> = ('\0'..=char::MAX).collect();
    for some in all.chunks(300) {
        let shown = clean(&String::from_iter(some), &none);
        assert!(shown.chars().all(is_printable), "{some:?}");
    }
}

/// Whatever a server writes, reading it takes time in proportion to its length.
#[test]
fn long_texts_of_nothing_but_escapes_end_soon() {
    let needles = needles("%\\&amp;secret%25\\\\");
    for piece in ["&", "\\", "%25", "&amp;", "eyJ", "S3c", " ", "%"] {
        let text = piece.repeat(256 * 1024 / piece.len());
        assert!(clean(&text, &needles).len() <= 4 * MAX_SERVER_TEXT_CHARS + 4);
    }
}
