use super::*;

fn key() -> SecretKey {
    SecretKey::generate().unwrap()
}

fn component() -> Digest {
    Digest::of(b"component")
}

fn trust(keys: &[&SecretKey]) -> Trust {
    let keys = keys.iter().map(|key| key.public().unwrap());
    Trust {
        keys: keys.collect(),
    }
}

#[test]
fn only_a_trusted_key_over_these_very_bytes_counts() {
    let (ann, bob) = (key(), key());
    let (by_ann, by_bob) = (
        ann.sign(component()).unwrap(),
        bob.sign(component()).unwrap(),
    );
    let anns = trust(&[&ann]);
    assert_eq!(anns.judge(component(), [&by_ann]), Ok(Some(&by_ann)));
    assert_eq!(
        anns.judge(component(), [&by_bob, &by_ann]),
        Ok(Some(&by_ann))
    );
    assert_eq!(anns.judge(component(), []), Err(Distrust::Unsigned));
    let untrusted = anns.judge(component(), [&by_bob]).unwrap_err();
    assert!(matches!(untrusted, Distrust::Untrusted { .. }));
    assert!(untrusted.to_string().contains(&bob.public().unwrap().id()));
    let other = Digest::of(b"other");
    assert!(matches!(
        anns.judge(other, [&by_ann]),
        Err(Distrust::Changed { .. })
    ));
    // A trusted key that somebody else's signature was written under.
    let bobs = serde_json::to_value(&by_bob).unwrap();
    let bobs = bobs["signature"].as_str().unwrap();
    let forged = Signature::new(ann.public().unwrap(), bobs).unwrap();
    assert!(matches!(
        anns.judge(component(), [&forged]),
        Err(Distrust::Changed { .. })
    ));
    // Where nobody asks, one that is good is kept, and others do no harm.
    let open = Trust::default();
    assert_eq!(
        open.judge(component(), [&forged, &by_bob]),
        Ok(Some(&by_bob))
    );
    assert_eq!(open.judge(other, [&by_bob]), Ok(None));
}

#[test]
fn what_is_signed_is_the_text_that_the_documentation_says_as_openssl_sees_it() {
    let key = key();
    let mut signatures = Signatures::default();
    signatures.add(key.sign(component()).unwrap(), component());
    let line = signatures.to_string();
    let base64 = line.lines().nth(1).unwrap().split_once(' ').unwrap().1;
    let bytes = openssl::base64::decode_block(base64).unwrap();
    let public = String::from(key.public().unwrap());
    let public = openssl::base64::decode_block(public.strip_prefix("ed25519:").unwrap()).unwrap();
    let public =
        openssl::pkey::PKey::public_key_from_raw_bytes(&public, openssl::pkey::Id::ED25519);
    let verifies = |text: &str| {
        let key = public.as_ref().unwrap();
        let mut verifier = openssl::sign::Verifier::new_without_digest(key).unwrap();
        verifier.verify_oneshot(&bytes, text.as_bytes()).unwrap()
    };
    let digest = component();
    assert!(verifies(&format!(
        "assay component signature v1\nsha256:{digest}\n"
    )));
    assert!(!verifies(&format!("sha256:{digest}\n")));
    assert!(!verifies(&digest.to_string()));
}

#[test]
fn signatures_are_read_back_one_for_each_key_and_none_of_other_bytes() {
    let (ann, bob) = (key(), key());
    let mut signatures = Signatures::default();
    signatures.add(bob.sign(Digest::of(b"before")).unwrap(), component());
    signatures.add(ann.sign(component()).unwrap(), component());
    assert_eq!(signatures.iter().count(), 1, "one is of other bytes");
    signatures.add(bob.sign(component()).unwrap(), component());
    signatures.add(ann.sign(component()).unwrap(), component());
    assert_eq!(signatures.iter().count(), 2);
    assert_eq!(Signatures::read(&signatures.to_string()), Some(signatures));
    for other in [
        "",
        "assay component signatures v2\n",
        "assay component signatures v1\nx y\n",
    ] {
        assert_eq!(Signatures::read(other), None, "{other:?}");
    }
}

#[test]
fn a_private_key_is_read_back_from_a_file_that_its_owner_alone_may_read() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ann.key");
    let key = key();
    key.write(&path).unwrap();
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&path) & 0o777, 0o600);
    let read = SecretKey::read(&path).unwrap();
    assert_eq!(read.public().unwrap(), key.public().unwrap());
    assert!(key.write(&path).is_err(), "it would be overwritten");
    let pem = std::fs::read_to_string(&path).unwrap();
    assert!(pem.starts_with("-----BEGIN PRIVATE KEY-----"));
    assert!(!format!("{key:?}").contains(pem.lines().nth(1).unwrap()));

    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(
        SecretKey::read(&path),
        Err(KeyError::Readable { .. })
    ));
    let other = folder.path().join("other");
    let rsa = openssl::rsa::Rsa::generate(2048).unwrap();
    std::fs::write(&other, rsa.private_key_to_pem().unwrap()).unwrap();
    std::fs::set_permissions(&other, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert!(matches!(
        SecretKey::read(&other),
        Err(KeyError::SecretKey { .. })
    ));
}

#[test]
fn a_public_key_is_written_in_one_way() {
    let key = key().public().unwrap();
    let text = key.to_string();
    assert_eq!(PublicKey::try_from(text.clone()).unwrap(), key);
    for wrong in [
        text.replace("ed25519:", ""),
        text.replace("ed25519:", "rsa:"),
        text.trim_end_matches('=').to_owned(),
        format!("{text} "),
        "ed25519:".to_owned(),
        "ed25519:AAAA".to_owned(),
    ] {
        assert!(PublicKey::try_from(wrong.clone()).is_err(), "{wrong:?}");
    }
}
