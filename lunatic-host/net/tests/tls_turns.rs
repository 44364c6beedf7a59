//! A peer that goes on and on with what is no data: a read takes in some of it, and lets others have a turn.

mod peers;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use lunatic_net::tls;
use peers::{connect, identity, key, read, shake_hands};
use rcgen::{CertifiedKey, KeyPair};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use rustls::{ConnectionTrafficSecrets, ServerConfig, ServerConnection};

/// What records are about.
const HANDSHAKE: u8 = 22;
const DATA: u8 = 23;
/// So many tickets fit into the buffers of the system.
const TICKETS: u64 = 1000;

/// Serves one client: tickets, each in a record of its own, and then a byte. What a library would not send is encrypted here.
fn send_tickets(own: &CertifiedKey<KeyPair>, mut tcp: TcpStream) {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap();
    let config = config.with_no_client_auth();
    let mut config = config.with_single_cert(vec![own.cert.der().clone()], key(own)).unwrap();
    config.enable_secret_extraction = true;
    config.send_tls13_tickets = 0;
    let mut connection = ServerConnection::new(Arc::new(config)).unwrap();
    while connection.is_handshaking() {
        connection.complete_io(&mut tcp).unwrap();
    }
    let secrets = connection.dangerous_extract_secrets().unwrap();
    let (first, ConnectionTrafficSecrets::Aes256Gcm { key, iv }) = secrets.tx else {
        panic!("both sides prefer this cipher");
    };
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key.as_ref()).unwrap());
    let record = |number: u64, text: &[u8], kind: u8| {
        // What it is stands behind the text.
        let mut sealed = [text, &[kind]].concat();
        let len = u16::try_from(sealed.len() + AES_256_GCM.tag_len())
            .unwrap()
            .to_be_bytes();
        let head = [DATA, 3, 3, len[0], len[1]];
        let mut nonce: [u8; 12] = iv.as_ref().try_into().unwrap();
        nonce[4..]
            .iter_mut()
            .zip(number.to_be_bytes())
            .for_each(|(byte, own)| *byte ^= own);
        let nonce = Nonce::assume_unique_for_key(nonce);
        key.seal_in_place_append_tag(nonce, Aad::from(head), &mut sealed)
            .unwrap();
        [&head[..], &sealed].concat()
    };
    // Good for an hour; a nonce and a ticket of a byte each, and no extension.
    let ticket = [4, 0, 0, 15, 0, 0, 14, 16, 0, 0, 0, 0, 1, 7, 0, 1, 7, 0, 0];
    let tickets = (first..first + TICKETS).flat_map(|number| record(number, &ticket, HANDSHAKE));
    let last = record(first + TICKETS, b"!", DATA);
    tcp.write_all(&tickets.chain(last).collect::<Vec<u8>>()).unwrap();
    // Until the other side has gone.
    let _ = tcp.read(&mut [0]);
}

#[test]
fn a_peer_that_sends_tickets_only_takes_turns() {
    let own = identity();
    let config = read(&format!("client\0root={}\0", own.cert.pem()));
    let (reactor, tcp, peer) = connect(move |stream| send_tickets(&own, stream));
    let socket = tls::wrap(&reactor, tcp, config.connection(Some("localhost")).unwrap()).unwrap();
    shake_hands(&socket).unwrap();
    let (mut turns, mut byte) = (0, [0]);
    loop {
        match socket.try_read(&mut byte) {
            Ok(read) => break assert_eq!((read, byte), (1, *b"!")),
            Err(error) if error.kind() == ErrorKind::Interrupted => turns += 1,
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
    }
    // 42 KB, of which no turn takes more than 16 KiB.
    assert!(turns >= 2, "{turns}");
    drop(socket);
    peer.join().unwrap();
}
