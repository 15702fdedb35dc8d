//! The suite against numbers that others published.
//!
//! A sealed exchange between our two ends proves nothing about the suite: both could be wrong
//! alike. These vectors go through the very calls that [`super::super::session`] and
//! [`super::super::key`] make. Where each comes from stands in its file under `tests/vectors`.
//!
//! We found none published for our triple, X-Wing with HKDF-SHA256 and the export-only AEAD.
//! The parts are covered by three sets:
//! * X-Wing by its own draft;
//! * X-Wing under HPKE's key schedule with HKDF-SHA256 by draft-ietf-hpke-pq, whose vectors have
//!   ChaCha20-Poly1305 as AEAD. The exported values depend on the AEAD by its identifier alone,
//!   so [`ExportOnlyAs`] runs the export-only code under that identifier;
//! * export only under HKDF-SHA256 by RFC 9180, whose KEM is DHKEM(X25519).

use std::sync::Mutex;

use hpke::aead::{Aead, ExportOnlyAead};
use hpke::kdf::{HkdfSha256, Kdf};
use hpke::kem::{X25519HkdfSha256, XWing};
use hpke::{Deserializable as _, Kem, OpModeR, OpModeS, Serializable as _};
use postern_kit::random::{Random, Rng};

use super::*;

/// Randomness that a vector prescribes, to the last byte.
#[derive(Debug)]
struct Script(Mutex<Vec<u8>>);

impl Script {
    fn new(parts: &[&[u8]]) -> Self {
        Self(Mutex::new(parts.concat()))
    }

    #[track_caller]
    fn assert_used_up(&self) {
        assert!(self.0.lock().unwrap().is_empty(), "less was drawn than published");
    }
}

impl Random for Script {
    fn fill(&self, bytes: &mut [u8]) {
        let mut rest = self.0.lock().unwrap();
        assert!(rest.len() >= bytes.len(), "more is drawn than was published");
        bytes.copy_from_slice(&rest.drain(..bytes.len()).collect::<Vec<_>>());
    }
}

/// Bytes in hex.
#[derive(Debug)]
struct Hex(Vec<u8>);

impl<'de> serde::Deserialize<'de> for Hex {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let digits: String = serde::Deserialize::deserialize(deserializer)?;
        hex::decode(digits).map(Self).map_err(serde::de::Error::custom)
    }
}

/// A file of vectors.
#[derive(serde::Deserialize)]
struct Published<V> {
    vectors: Vec<V>,
}

#[derive(serde::Deserialize)]
struct KemVector {
    seed: Hex,
    sk: Hex,
    pk: Hex,
    eseed: Hex,
    ct: Hex,
    ss: Hex,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct HpkeVector {
    mode: u8,
    #[serde(rename = "kem_id")]
    kem: u16,
    #[serde(rename = "kdf_id")]
    kdf: u16,
    #[serde(rename = "aead_id")]
    aead: u16,
    info: Hex,
    #[serde(rename = "ikmR")]
    recipient_ikm: Hex,
    #[serde(rename = "skRm")]
    recipient_private: Hex,
    #[serde(rename = "pkRm")]
    recipient_public: Hex,
    #[serde(rename = "ikmE")]
    sender_ikm: Hex,
    #[serde(rename = "enc")]
    encapsulation: Hex,
    #[serde(rename = "shared_secret")]
    shared_secret: Hex,
    exports: Vec<Export>,
}

#[derive(serde::Deserialize)]
struct Export {
    exporter_context: Hex,
    #[serde(rename = "L")]
    length: usize,
    exported_value: Hex,
}

#[test]
fn x_wing_agrees_with_its_draft() {
    let file = include_str!("../../../tests/vectors/x-wing.json");
    let published: Published<KemVector> = serde_json::from_str(file).unwrap();
    assert_eq!(published.vectors.len(), 3);
    for vector in published.vectors {
        // The private key is the seed that all is expanded from.
        assert_eq!(vector.sk.0, vector.seed.0);
        let private = <XWing as Kem>::PrivateKey::from_bytes(&vector.sk.0).unwrap();
        let public = <XWing as Kem>::PublicKey::from_bytes(&vector.pk.0).unwrap();
        assert_eq!(XWing::sk_to_pk(&private), public);

        let random = Script::new(&[&vector.eseed.0]);
        let (secret, encapsulation) = XWing::encap_with_rng(&public, None, &mut Rng(&random)).unwrap();
        random.assert_used_up();
        assert_eq!(encapsulation.to_bytes().as_slice(), vector.ct.0);
        assert_eq!(secret.0.as_slice(), vector.ss.0);

        let encapsulation = <XWing as Kem>::EncappedKey::from_bytes(&vector.ct.0).unwrap();
        let secret = XWing::decap(&private, None, &encapsulation).unwrap();
        assert_eq!(secret.0.as_slice(), vector.ss.0);
    }
}

/// The export-only AEAD under another's identifier.
struct ExportOnlyAs<const ID: u16>;

impl<const ID: u16> Aead for ExportOnlyAs<ID> {
    type AeadImpl = <ExportOnlyAead as Aead>::AeadImpl;
    const AEAD_ID: u16 = ID;
}

const CHACHA20_POLY1305: u16 = 3;

#[test]
fn x_wing_in_hpke_agrees_with_its_draft() {
    let vector = hpke_vector(include_str!("../../../tests/vectors/hpke-x-wing.json"));
    assert_eq!(vector.kem, 0x647a);
    agrees::<ExportOnlyAs<CHACHA20_POLY1305>, XWing>(&vector);
}

#[test]
fn the_export_only_key_schedule_agrees_with_rfc_9180() {
    let vector = hpke_vector(include_str!("../../../tests/vectors/hpke-export-only.json"));
    agrees::<ExportOnlyAead, X25519HkdfSha256>(&vector);
}

#[test]
fn a_sealing_key_is_derived_as_published() {
    let vector = hpke_vector(include_str!("../../../tests/vectors/hpke-x-wing.json"));
    let random = Script::new(&[&vector.recipient_ikm.0, &[0x0f; 16]]);
    let key = SealingKeyPair::generate(&random);
    random.assert_used_up();
    assert_eq!(key.private.to_bytes().as_slice(), vector.recipient_private.0);
    let world = World::new(24);
    let announcement = key.announce(&world.stream, &world.agent_key);
    assert_eq!(announcement.public_key, vector.recipient_public.0);
}

fn hpke_vector(file: &str) -> HpkeVector {
    let published: Published<HpkeVector> = serde_json::from_str(file).unwrap();
    let [vector] = <[HpkeVector; 1]>::try_from(published.vectors)
        .unwrap_or_else(|vectors| panic!("{} vectors instead of one", vectors.len()));
    vector
}

/// Runs both ends of a vector in base mode with HKDF-SHA256.
#[track_caller]
fn agrees<A: Aead, K: Kem>(vector: &HpkeVector) {
    let base = 0;
    assert_eq!(
        (base, K::KEM_ID, HkdfSha256::KDF_ID, A::AEAD_ID),
        (vector.mode, vector.kem, vector.kdf, vector.aead)
    );
    // Read and written again, because the library clamps X25519 keys and the RFC's are not clamped.
    let published = K::PrivateKey::from_bytes(&vector.recipient_private.0).unwrap();
    let (private, public) = K::derive_keypair(&vector.recipient_ikm.0);
    assert_eq!(private.to_bytes(), published.to_bytes());
    assert_eq!(public.to_bytes().as_slice(), vector.recipient_public.0);

    let random = Script::new(&[&vector.sender_ikm.0]);
    let (encapsulation, sender) = hpke::setup_sender_with_rng::<A, HkdfSha256, K>(
        &OpModeS::Base,
        &public,
        &vector.info.0,
        &mut Rng(&random),
    )
    .unwrap();
    random.assert_used_up();
    assert_eq!(encapsulation.to_bytes().as_slice(), vector.encapsulation.0);

    let encapsulation = K::EncappedKey::from_bytes(&vector.encapsulation.0).unwrap();
    let secret = K::decap(&published, None, &encapsulation).unwrap();
    assert_eq!(secret.0.as_slice(), vector.shared_secret.0);
    let receiver =
        hpke::setup_receiver::<A, HkdfSha256, K>(&OpModeR::Base, &published, &encapsulation, &vector.info.0)
            .unwrap();

    assert!(!vector.exports.is_empty());
    for export in &vector.exports {
        let context = &export.exporter_context.0;
        let (mut sent, mut received) = (vec![0; export.length], vec![0; export.length]);
        sender.export(context, &mut sent).unwrap();
        receiver.export(context, &mut received).unwrap();
        assert_eq!(sent, export.exported_value.0);
        assert_eq!(received, export.exported_value.0);
    }
}
