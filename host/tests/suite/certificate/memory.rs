//! What is in the memory of the component.

use std::io::{Read, Seek, SeekFrom};

use super::bound;
use crate::providers::graph;
use crate::support::Lab;

#[tokio::test]
async fn the_key_is_not_in_the_memory_of_the_component() {
    let lab = Lab::new();
    let provider = lab.configured(&bound()).build().await.unwrap();
    provider.get_token(&graph()).await.unwrap();
    provider.drop_cached(None).await.unwrap();
    provider.get_token(&graph()).await.unwrap();

    // where the component sends its requests, and unlike any other test's
    let authority = format!(".localhost:{}", lab.emulator.port());
    let memories = guest_memories(authority.as_bytes());
    assert!(!memories.is_empty(), "the component's memory was not found");
    let pem = &lab.emulator.client_certificate().private_key_pem;
    let base64: String = pem
        .lines()
        .filter(|line| !line.starts_with("-----"))
        .collect();
    let der = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, &base64).unwrap();
    // the modulus is public and stands in the certificate: what follows it in PKCS#1 is not
    let secret = &der[der.len() / 3..];
    for memory in &memories {
        for needle in secret
            .windows(24)
            .step_by(24)
            .chain(base64.as_bytes().windows(24).skip(600).step_by(24))
        {
            assert!(!memory.windows(24).any(|window| window == needle));
        }
    }
}

/// The linear memories of the components in this process: wasmtime maps their first pages from an image that has a
/// name, and what they grow by follows it.
fn guest_memories(mark: &[u8]) -> Vec<Vec<u8>> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let regions: Vec<(u64, u64, &str)> = maps
        .lines()
        .map(|line| {
            let (from, to) = line.split(' ').next().unwrap().split_once('-').unwrap();
            let number = |text| u64::from_str_radix(text, 16).unwrap();
            (number(from), number(to), line)
        })
        .collect();
    let writable = |line: &str| {
        line.split(' ')
            .nth(1)
            .is_some_and(|protection| protection.starts_with("rw"))
    };
    let mut memory = std::fs::File::open("/proc/self/mem").unwrap();
    let mut found = Vec::new();
    for (index, &(from, end, line)) in regions.iter().enumerate() {
        if !line.contains("wasm-memory-image") || !writable(line) {
            continue;
        }
        let end = regions[index + 1..]
            .iter()
            .fold(end, |end, &(next, to, line)| {
                if next == end && writable(line) {
                    to
                } else {
                    end
                }
            });
        let mut bytes = vec![0; usize::try_from(end - from).unwrap()];
        memory.seek(SeekFrom::Start(from)).unwrap();
        // another test's component may be gone by now
        if memory.read_exact(&mut bytes).is_ok()
            && bytes.windows(mark.len()).any(|window| window == mark)
        {
            found.push(bytes);
        }
    }
    found
}
