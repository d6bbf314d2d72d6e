//! Secrets with odd characters, and the spellings in which a server may give one back.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::{NO_PAD, STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;

pub(crate) const CLIENT: &str = "11111111-2222-3333-4444-555555555555";

fn spelt(text: &str, spell: impl Fn(char) -> String) -> String {
    text.chars().map(spell).collect()
}

fn percent(text: &str, format: fn(u8) -> String, all: bool) -> String {
    spelt(text, |c| {
        if !all && c.is_ascii_alphanumeric() {
            return c.to_string();
        }
        c.to_string().bytes().map(format).collect()
    })
}

fn hex(text: &str, format: fn(u8) -> String) -> String {
    text.bytes().map(format).collect()
}

fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// UTF-16, the low byte of each unit first.
fn wide(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn html(text: &str) -> String {
    spelt(text, |c| match c {
        '<' => "&lt;".into(),
        '>' => "&gt;".into(),
        '&' => "&amp;".into(),
        '"' => "&quot;".into(),
        '\'' => "&#39;".into(),
        'é' => "&eacute;".into(),
        c => c.to_string(),
    })
}

pub(crate) fn json(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    let inner = quoted
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    inner.unwrap_or_default().to_owned()
}

fn unicode(text: &str, all: bool) -> String {
    spelt(text, |c| {
        if !all && c.is_ascii_alphanumeric() {
            return c.to_string();
        }
        let units: Vec<u16> = c.encode_utf16(&mut [0; 2]).to_vec();
        units.iter().map(|unit| format!("\\u{unit:04x}")).collect()
    })
}

/// Every spelling in which a server may give a secret back, with its name.
pub(crate) fn spellings_of(secret: &str) -> Vec<(&'static str, String)> {
    let form: String = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let upper = percent(secret, |b| format!("%{b:02X}"), false);
    let mut deeper = percent(&upper, |b| format!("%{b:02X}"), false);
    let mut all = vec![
        ("raw", secret.to_owned()),
        ("form", form.clone()),
        ("percent, upper", upper.clone()),
        (
            "percent, lower",
            percent(secret, |b| format!("%{b:02x}"), false),
        ),
        (
            "percent, all",
            percent(secret, |b| format!("%{b:02X}"), true),
        ),
        ("percent, twice", deeper.clone()),
        ("json", json(secret)),
        ("json, slashes", json(secret).replace('/', "\\/")),
        ("json, twice", json(&json(secret))),
        ("json, unicode", unicode(secret, false)),
        ("json, all unicode", unicode(secret, true)),
        ("octal", percent(secret, |b| format!("\\{b:03o}"), false)),
        (
            "quoted-printable",
            percent(secret, |b| format!("={b:02X}"), false),
        ),
        ("hexadecimal", hex(secret, |b| format!("{b:02x}"))),
        ("hexadecimal, upper", hex(secret, |b| format!("{b:02X}"))),
        ("html", html(secret)),
        ("html, twice", html(&html(secret))),
        (
            "html, decimal",
            spelt(secret, |c| format!("&#{};", u32::from(c))),
        ),
        (
            "html, hexadecimal",
            spelt(secret, |c| format!("&#x{:X};", u32::from(c))),
        ),
        (
            "html, decimal without its end",
            spelt(secret, |c| format!("&#{}", u32::from(c))),
        ),
        (
            "html, hexadecimal without its end",
            spelt(secret, |c| format!("&#x{:x}", u32::from(c))),
        ),
        ("hexadecimal, of UTF-16", hex_of(&wide(secret))),
    ];
    for name in [
        "percent, three times",
        "percent, four times",
        "percent, five times",
    ] {
        deeper = percent(&deeper, |b| format!("%{b:02X}"), false);
        all.push((name, deeper.clone()));
    }
    // a short one is taken out where it is a word
    if secret.len() >= 7 {
        let pair = format!("{CLIENT}:{secret}");
        all.push(("hexadecimal, of a pair", hex(&pair, |b| format!("{b:02x}"))));
        all.push(("upper case", secret.to_uppercase()));
        all.push(("lower case", upper.to_lowercase()));
    }
    if secret.len() >= 12 {
        all.push((
            "hexadecimal, in pairs",
            hex(secret, |b| format!("{b:02x}:")),
        ));
        for (name, format) in [
            (
                "hexadecimal, a list",
                (|b| format!("0x{b:02x},")) as fn(u8) -> String,
            ),
            ("hexadecimal, a list with spaces", |b| {
                format!("0x{b:02X}, ")
            }),
        ] {
            let list = hex(secret, format);
            all.push((name, list.trim_end_matches([',', ' ']).to_owned()));
        }
    }
    let pairs = [
        secret.to_owned(),
        form.clone(),
        format!("{CLIENT}:{secret}"),
        format!("{CLIENT}:{form}"),
    ];
    for text in pairs {
        for (name, engine) in [
            ("base64", STANDARD),
            (
                "base64, unpadded",
                GeneralPurpose::new(&alphabet::STANDARD, NO_PAD),
            ),
            ("base64url, padded", URL_SAFE),
            ("base64url", URL_SAFE_NO_PAD),
        ] {
            let encoded = engine.encode(&text);
            all.push((name, encoded.clone()));
            all.push((name, format!("Basic {encoded}")));
            all.push((name, percent(&encoded, |b| format!("%{b:02X}"), false)));
        }
    }
    let wide = wide(secret);
    all.push(("base64, of UTF-16", STANDARD.encode(&wide)));
    all.push(("base64url, of UTF-16", URL_SAFE_NO_PAD.encode(&wide)));
    all
}

pub(crate) fn any_secret(random: &mut ChaCha8Rng) -> String {
    const CHARS: &[char] = &[
        '+', '/', '=', '%', '"', '<', '>', '&', '\\', 'é', '\'', ' ', ':', '~', '-', '_', '.', 'a',
        'B', '7', 'x', '0', 'u', '€', '😀', ';', '#',
    ];
    let mut below = |bound: usize| (random.next_u64() % bound as u64) as usize;
    let length = 1 + below(40);
    let middle: String = (0..length)
        .filter_map(|_| CHARS.get(below(CHARS.len())))
        .collect();
    // white space at an end is part of no secret
    format!("S{}", middle.trim_end())
}
