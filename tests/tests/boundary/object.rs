//! The gate's program is the one that its source says.

use sha2::{Digest, Sha256};

#[test]
fn the_gates_object_was_built_from_its_source() {
    let gate = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../controller/src/node/gate");
    let source = std::fs::read(gate.join("gate.bpf.c")).unwrap();
    let built = std::fs::read_to_string(gate.join("gate.bpf.o.source")).unwrap();
    let hash = data_encoding::HEXLOWER.encode(&Sha256::digest(&source));
    let wanted = built.split_whitespace().next();
    assert_eq!(wanted, Some(hash.as_str()), "gate.bpf.c has changed: run `make gate`");
}
